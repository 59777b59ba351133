"""Makes tickets.csv, 500 tickets, the same each time: python make_tickets.py"""

import csv
import random
from pathlib import Path

TEXTS = (
    "Where is order {n}?",
    "My parcel {n} has not arrived",
    "I want my money back for {n}",
    "Refund {n}, it is broken!",
    "I cannot log in, customer {n}",
    "Change the address of account {n}",
    "Do you have {n} in blue?",
)


def main() -> None:
    """Write it."""
    dice = random.Random(6)
    with Path("tickets.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "text"))
        table.writerows((number, dice.choice(TEXTS).format(n=1000 + number)) for number in range(1, 501))


if __name__ == "__main__":
    main()

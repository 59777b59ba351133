"""Makes `orders.csv`: 2,400 orders as a shop's export has them, with the faults such exports have.

The same seed gives the same file, byte for byte: `python make_orders.py [FILE]`.
"""

import csv
import random
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

REGIONS = ("North", "South", "East", "West", "Overseas")
PRODUCTS = {"Classic": 29.9, "Blue": 34.5, "Iron": 64.9, "Travel": 19.95, "Samovar": 212.0}
FAULTY = 0.025
"""Share of the orders that have a fault."""
STATES = ("paid", "paid", "paid", "paid", "open", "cancelled")


def rows(seed: int = 2026, count: int = 2400) -> Iterator[dict[str, str]]:
    """The orders; about one in forty has a fault."""
    rng = random.Random(seed)
    for number in range(count):
        product = rng.choice(list(PRODUCTS))
        quantity = rng.choice((1, 1, 1, 2, 2, 3, 6, 24))
        row = {
            "order": str(10_000 + number),
            "date": str(date(2026, 1, 1) + timedelta(days=rng.randrange(300))),
            "region": rng.choice(REGIONS),
            "product": product,
            "quantity": str(quantity),
            "total": f"{PRODUCTS[product] * quantity:.2f}",
            "state": rng.choice(STATES),
            "email": f"customer{rng.randrange(700)}@example.org",
        }
        if rng.random() < FAULTY:
            fault, value = rng.choice(
                (
                    ("total", "-1.00"),
                    ("region", ""),
                    ("quantity", "0"),
                    ("email", "no address"),
                    ("state", "payed"),
                )
            )
            row[fault] = value
        yield row


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("orders.csv"))
    made = list(rows())
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(made[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)


if __name__ == "__main__":
    main()

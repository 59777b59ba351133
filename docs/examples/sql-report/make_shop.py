"""Makes shop.db, a small SQLite database of invoices: `python make_shop.py`."""

import sqlite3
from contextlib import closing
from pathlib import Path

CUSTOMERS = ["Harbour Supplies", "Nordwind Reederei", "Blue Anchor", "Çelik Tersanesi"]

Path("shop.db").unlink(missing_ok=True)
with closing(sqlite3.connect("shop.db")) as shop, shop:
    shop.execute(
        "create table invoices (number text primary key, customer text, due text, cents integer, paid text)"
    )
    rows = [
        (
            f"INV-{number:03}",
            CUSTOMERS[number * 7 % 4],
            f"2026-{1 + number % 9:02}-{1 + number % 28:02}",
            1000 + number * 777 % 90_000,
            None if number % 3 else "2026-10-01",
        )
        for number in range(60)
    ]
    shop.executemany("insert into invoices values (?, ?, ?, ?, ?)", rows)

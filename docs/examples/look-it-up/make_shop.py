"""Makes shop.db, a small SQLite database of invoices: `python make_shop.py`."""

import sqlite3
from contextlib import closing
from pathlib import Path

ROWS = [
    ("INV-001", "Harbour Supplies", "2026-08-03", 184_050, "EUR", None),
    ("INV-002", "Nordwind Reederei", "2026-08-10", 1_250_000, "DKK", None),
    ("INV-003", "Blue Anchor", "2026-08-12", 990_000, "SEK", None),
    ("INV-004", "Harbour Supplies", "2026-09-01", 62_000, "EUR", None),
    ("INV-005", "Nordwind Reederei", "2026-09-03", 310_000, "DKK", "2026-09-20"),
    ("INV-006", "Blue Anchor", "2026-09-15", 1_450_000, "SEK", "2026-09-16"),
]

Path("shop.db").unlink(missing_ok=True)
with closing(sqlite3.connect("shop.db")) as shop, shop:
    shop.execute(
        "create table invoices "
        "(number text primary key, customer text, due text, cents integer, currency text, paid text)"
    )
    shop.executemany("insert into invoices values (?, ?, ?, ?, ?, ?)", ROWS)

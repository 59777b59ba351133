"""Makes the invoices of this example in `invoices/`: python make_invoices.py (needs fpdf2)."""

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

FOLDER = Path("invoices")
PDFS = {
    "harbour.pdf": (
        "Harbour Supplies Ltd",
        ("Invoice HS-2041", "Date: 3 November 2026", "Rope and shackles"),
        ("Net 410.00 EUR", "VAT 77.90 EUR", "Total 487.90 EUR"),
    ),
    "tersane.pdf": (
        "Celik Tersanesi",
        ("Fatura No: CT-88", "Tarih: 12.11.2026", "Dock, two days"),
        ("Net 1,200.00 EUR", "VAT 240.00 EUR", "Total 1,400.00 EUR"),  # wrong by 40: it has to be marked
    ),
}
TEXT = """\
NORDWIND REEDEREI
Rechnung Nr. NW-17-330
Datum: 05.11.2026

Fracht Hamburg-Malmö         890,00
Netto                        890,00 EUR
USt. 19 %                    169,10 EUR
Gesamt                     1.059,10 EUR
"""
PAGE = """\
<html><body><h1>Blue Anchor</h1><p>Invoice <b>BA-9</b>, no date given</p>
<table><tr><td>Net</td><td>55.00 EUR</td></tr><tr><td>VAT</td><td>11.00 EUR</td></tr>
<tr><td>Total</td><td>66.00 EUR</td></tr></table></body></html>
"""


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, (firm, head, sums) in PDFS.items():
        page = FPDF()
        page.set_creation_date(datetime(2026, 11, 20, tzinfo=UTC))
        page.add_page()
        page.set_font("helvetica", size=16)
        page.cell(text=firm, new_x="LMARGIN", new_y="NEXT")
        page.set_font("helvetica", size=11)
        for line in (*head, *sums):
            page.cell(text=line, new_x="LMARGIN", new_y="NEXT")
        page.output(str(FOLDER / name))
    (FOLDER / "nordwind.txt").write_text(TEXT, encoding="utf-8")
    (FOLDER / "blue-anchor.html").write_text(PAGE, encoding="utf-8")


if __name__ == "__main__":
    main()

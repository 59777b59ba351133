"""Made contacts.xlsx, as people fill in workbooks: `python make_contacts.py` (needs openpyxl)."""

from datetime import date

from openpyxl import Workbook

book = Workbook()
sheet = book.active
sheet.title = "Contacts"
sheet.append(["Contacts, as of October"])
sheet.append([" Name ", "E-Mail", "Country", "Since", "Orders"])
for row in (
    ["Ada Lovelace", "ADA@example.org ", "UK", date(2024, 3, 4), 12],
    ["  Bo Berg", "bo@example.org", "SE", date(2025, 1, 15), 3],
    ["Ada Lovelace", "ada@example.org", "UK", date(2024, 3, 4), 12],
    [None, None, None, None, None],
    ["Çağ Demir", "cag@example.org", "TR", None, 7],
    ["Di Unknown", "di@example.org", "XX", date(2026, 2, 1), 1],
    ["No mail", None, "DE", date(2026, 5, 1), 2],
):
    sheet.append(row)
lookup = book.create_sheet("Countries")
COUNTRIES = (
    ["code", "country", "currency"],
    ["UK", "United Kingdom", "GBP"],
    ["SE", "Sweden", "SEK"],
    ["TR", "Türkiye", "TRY"],
    ["DE", "Germany", "EUR"],
)
for line in COUNTRIES:
    lookup.append(line)
book.save("contacts.xlsx")

"""What the document connector promises, with documents that other programs made."""

import io
import struct
import zipfile
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use
from intendant_connector_document import DocumentConnector

CALL = ConnectorCall(None, "k", "r", "s")


class TestDocumentContract(ConnectorContract):
    plugin = DocumentConnector
    entry_point = "document"

    @asynccontextmanager
    async def place(self):
        with TemporaryDirectory() as folder:
            path = Path(folder).resolve() / "a.pdf"
            path.write_bytes(pdf("One page"))
            yield Place(DocumentConnector({"roots": [folder]}), {"read": Use({"path": str(path)})})


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def reading(data, name="file.bin", settings=None, **parameters):
        (tmp_path / name).write_bytes(data)
        return await DocumentConnector(settings or {}).do("read", {"path": name, **parameters}, CALL)

    return reading


def pdf(*pages, password=None, title=None):
    from fpdf import FPDF

    made = FPDF()
    made.set_font("Helvetica", size=12)
    if title:
        made.set_title(title)
    if password:
        made.set_encryption(owner_password=password, user_password=password)
    for text in pages:
        made.add_page()
        made.multi_cell(0, 10, text)
    return bytes(made.output())


def workbook(sheets):
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


ROWS = [
    ["Id", "Name", "Name", None, "Since"],
    [1, "Ada", "x", 1.5, datetime.fromisoformat("2026-03-04")],
    [None] * 5,
    [2.0, "B\u00f6", None, True, datetime.fromisoformat("2026-03-04T10:30:00")],
]


async def test_reads_the_text_of_a_pdf(read):
    document = await read(pdf("Invoice 17\nTotal 12.50 EUR", "Second page", title="Bill"))
    assert (document["kind"], document["title"], document["pages"]) == ("pdf", "Bill", 2)
    assert "Invoice 17\nTotal 12.50 EUR" in document["text"]
    assert [page["page"] for page in document["by_page"]] == [1, 2]


@pytest.mark.parametrize(("pages", "found"), [("2", [2]), ("2-", [2, 3]), ("1,3", [1, 3]), ("2-9", [2, 3])])
async def test_reads_some_pages(read, pages, found):
    document = await read(pdf("a", "b", "c"), pages=pages)
    assert [page["page"] for page in document["by_page"]] == found


async def test_pages_that_are_not_there_are_an_error(read):
    with pytest.raises(ConnectorError, match="has 1 pages, and `pages: 7`"):
        await read(pdf("a"), pages="7")


async def test_an_encrypted_pdf_wants_its_password(read):
    data = pdf("hidden", password="pa55word")
    with pytest.raises(ConnectorError, match="is encrypted") as caught:
        await read(data)
    assert "secrets" in caught.value.hint
    with pytest.raises(ConnectorError, match="does not open"):
        await read(data, password="wrong")
    assert "hidden" in (await read(data, password="pa55word"))["text"]


async def test_a_pdf_of_pictures_is_refused(read):
    with pytest.raises(ConnectorError, match="pictures") as caught:
        await read(pdf(""))
    assert "OCR" in caught.value.hint


async def test_reads_the_rows_of_a_workbook(read):
    document = await read(workbook({"One": ROWS, "Two": [["a"], [1]]}))
    assert document["kind"] == "workbook"
    one, two = document["sheets"]
    assert one["rows"] == [
        {"Id": 1, "Name": "Ada", "Name_2": "x", "column_4": 1.5, "Since": "2026-03-04"},
        {"Id": 2, "Name": "B\u00f6", "Name_2": None, "column_4": True, "Since": "2026-03-04T10:30:00"},
    ]
    assert two == {"name": "Two", "rows": [{"a": 1}]}


async def test_reads_one_sheet_by_name_or_number(read):
    data = workbook({"One": [["a"], [1]], "Two": [["note"], ["b"], [2]]})
    assert await read(data, sheet="One") == [{"a": 1}]
    assert await read(data, sheet=2, header=2) == [{"b": 2}]
    assert await read(data, sheet=2, header=None) == [["note"], ["b"], [2]]
    with pytest.raises(ConnectorError, match="no sheet 'Three'") as caught:
        await read(data, sheet="Three")
    assert "One, Two" in caught.value.hint


async def test_reads_all_that_match_a_pattern(read, tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf("first"))
    (tmp_path / "b.xlsx").write_bytes(workbook({"S": [["n"], [1]]}))
    found = await DocumentConnector().do("read", {"path": "*"}, CALL)
    assert [item["path"] for item in found] == [str(tmp_path / "a.pdf"), str(tmp_path / "b.xlsx")]


async def test_reads_from_an_address(httpserver):
    httpserver.expect_request("/x.pdf").respond_with_data(pdf("by wire"))
    connector = DocumentConnector({"allow": ["localhost"]})
    assert "by wire" in (await connector.do("read", {"url": httpserver.url_for("/x.pdf")}, CALL))["text"]
    await connector.close()


def archive(**members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (archive(word__document_xml=""), "a Word document"),
        (archive(ppt__presentation_xml=""), "a PowerPoint presentation"),
        (archive(other=""), "an archive"),
        (b"PK\x03\x04broken", "a damaged archive"),
        (b"\x89PNG\r\n", "a picture"),
        (b"{\\rtf1", "an RTF document"),
        (b"<html>", "a web page"),
        (b"", "empty"),
        (b"just text", "of no kind that is known"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"x" * 600, "an old Office document"),
    ],
)
async def test_other_kinds_are_named(read, data, what):
    with pytest.raises(ConnectorError, match=f"is {what}") as caught:
        await read(data)
    assert "xlsx" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n" + b"garbage" * 100,
        pdf("a" * 50)[:400],
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 1 0 R/Kids[1 0 R]>>endobj trailer<</Root 1 0 R>>",
        archive(xl__workbook_xml="<broken"),
        workbook({"S": ROWS})[:-200],
    ],
)
async def test_damaged_documents_are_an_error_for_users(read, data):
    with pytest.raises(ConnectorError, match="damaged|pictures"):
        await read(data)


async def test_a_zip_bomb_is_refused(read):
    bomb = archive(xl__workbook_xml=b"0" * 30_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(ConnectorError, match="unpacks to more than 1000000 bytes") as caught:
        await read(bomb, settings={"max_unpacked": 1_000_000})
    assert "max_unpacked" in caught.value.hint


async def test_a_zip_bomb_that_lies_about_its_size_is_refused(read):
    bomb = bytearray(archive(xl__workbook_xml=b"0" * 5_000_000))
    at = bomb.index(b"PK\x01\x02")
    struct.pack_into("<I", bomb, at + 24, 100)
    with pytest.raises(ConnectorError, match="damaged archive"):
        await read(bytes(bomb), settings={"max_unpacked": 1_000_000})


async def test_a_workbook_has_its_limit_of_cells(read):
    data = workbook({"S": [["a", "b"]] * 60})
    with pytest.raises(ConnectorError, match="more than 100 cells"):
        await read(data, settings={"max_cells": 100})


async def test_a_file_has_its_limit_and_lies_inside_the_roots(read, tmp_path):
    with pytest.raises(ConnectorError, match="larger than 10 bytes"):
        await read(pdf("a"), settings={"max_bytes": 10})
    with pytest.raises(ConnectorError, match="outside the folders") as caught:
        await DocumentConnector().do("read", {"path": "../../etc/passwd"}, CALL)
    assert "connector:document.roots" in caught.value.hint
    (tmp_path / "link.pdf").symlink_to("/etc/passwd")
    with pytest.raises(ConnectorError, match="outside the folders"):
        await DocumentConnector().do("read", {"path": "link.pdf"}, CALL)


async def test_reading_that_takes_too_long_is_killed(read):
    with pytest.raises(ConnectorError, match="cannot be read") as caught:
        await read(pdf(*["word " * 900] * 60), settings={"read_seconds": 0.01})
    assert "read_seconds" in caught.value.hint


def test_days_are_dates():
    from intendant_connector_document._documents import _value

    assert _value(date(2026, 3, 4)) == "2026-03-04"
    assert _value(float("nan")) is None


async def test_a_document_is_looked_for_beside_the_workflows_file_first(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.pdf").write_bytes(pdf("Beside"))
    (tmp_path / "a.pdf").write_bytes(pdf("Here"))
    (tmp_path / "b.pdf").write_bytes(pdf("Here too"))
    monkeypatch.chdir(tmp_path)
    call = ConnectorCall(None, "k", "r", "s", str(tmp_path / "jobs"))
    assert (await DocumentConnector().do("read", {"path": "a.pdf"}, call))["text"] == "Beside"
    assert [one["text"] for one in await DocumentConnector().do("read", {"path": "*.pdf"}, call)] == ["Beside"]
    assert call.notes == []
    assert (await DocumentConnector().do("read", {"path": "b.pdf"}, call))["text"] == "Here too"
    assert call.notes == ["b.pdf was read in the working folder: it is not beside the workflow file"]


async def test_one_document_of_many_that_cannot_be_read_names_the_way_to_read_the_others(read, tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf("A"))
    with pytest.raises(ConnectorError, match="damaged") as caught:
        await read(b"%PDF-1.7 broken", "b.pdf", path="*.pdf")
    assert "on_item_error: keep" in caught.value.hint
    with pytest.raises(ConnectorError, match="damaged") as caught:
        await read(b"%PDF-1.7 broken", "b.pdf")
    assert "for_each" not in caught.value.hint


def test_ligatures_are_the_letters_that_they_stand_for():
    """Programs set `fi` as one glyph; a pattern for "Office" would not find it."""
    from intendant_connector_document._documents import _clean

    assert _clean("O\ufb03ce \ufb01le \ufb02at \ufb00 \ufb06 \0x") == "Office file flat ff st x"


def merged_book(*areas):
    from openpyxl import Workbook

    book = Workbook()
    for row in (
        ["Title", None, None],
        ["A", "B", "C"],
        [1, "x", 2],
        [None, None, 3],
        [None, None, None],
        [4, "y", 5],
    ):
        book.active.append(row)
    for area in areas:
        book.active.merge_cells(area)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("areas", "filled", "noted"),
    [
        (["A3:A4"], [[1, "x", 2], [1, None, 3], [4, "y", 5]], 1),
        (["A3:B5", "A1:C1"], [[1, 1, 2], [1, 1, 3], [1, 1, None], [4, "y", 5]], 1),
        (["A1:C1"], [[1, "x", 2], [None, None, 3], [4, "y", 5]], 0),
        (["C6:Z99"], [[1, "x", 2], [None, None, 3], [4, "y", 5]], 1),
    ],
)
async def test_merged_cells_have_their_value_once_or_everywhere(tmp_path, monkeypatch, areas, filled, noted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(merged_book(*areas))
    call = ConnectorCall(None, "k", "r", "s")
    given = {"path": "a.xlsx", "sheet": 1, "header": 2}
    once = await DocumentConnector().do("read", given, call)
    assert [row["C"] for row in once] == [2, 3, 5]
    assert sum("merged: fill" in note for note in call.notes) == noted
    rows = await DocumentConnector().do("read", {**given, "merged": "fill"}, ConnectorCall(None, "k", "r", "s"))
    assert [list(row.values())[:3] for row in rows] == filled


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ([2, 3], ["Nr", "Maths 1st", "Maths 2nd", "Note"]),
        ([3, 2], ["Nr", "1st Maths", "2nd Maths", "Note"]),
        ([3], ["column_1", "1st", "2nd", "column_4"]),
        (2, ["Nr", "Maths", "column_3", "Note"]),
        ([1, 2, 3], ["Report Nr", "Maths 1st", "Maths 2nd", "Note"]),
    ],
)
async def test_a_header_may_have_several_rows(tmp_path, monkeypatch, header, names):
    """A heading over several columns is a part of the name of each; one over several rows is told once."""
    from openpyxl import Workbook

    monkeypatch.chdir(tmp_path)
    book = Workbook()
    for row in (["Report"], ["Nr", "Maths", None, "Note"], [None, "1st", "2nd", None], [1, 2, 3, "x"]):
        book.active.append(row)
    for area in ("B2:C2", "A2:A3", "D2:D3"):
        book.active.merge_cells(area)
    book.create_sheet("Short").append(["a"])
    book.save(tmp_path / "a.xlsx")
    call = ConnectorCall(None, "k", "r", "s")
    found = await DocumentConnector().do("read", {"path": "a.xlsx", "header": header}, call)
    first, short = found["sheets"]
    assert list(first["rows"][0]) == names
    assert list(first["rows"][-1].values()) == [1, 2, 3, "x"]
    assert short["rows"] == []
    assert any("'Short': it has 1 rows, and none below its header" in note for note in call.notes)


async def test_formulas_that_no_program_computed_are_said(tmp_path, monkeypatch):
    """They are null: a workbook that a library wrote has formulas and no values."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(workbook({"s": [["a", "b"], [1, "=A2*2"], ["=SUM(A2:A2)", 7]]}))
    call = ConnectorCall(None, "k", "r", "s")
    assert await DocumentConnector().do("read", {"path": "a.xlsx", "sheet": 1}, call) == [
        {"a": 1, "b": None},
        {"a": None, "b": 7},
    ]
    assert [
        note for note in call.notes if note.startswith("a.xlsx: 2 formulas of the workbook have no saved value")
    ]


async def test_cells_that_are_errors_are_said(tmp_path, monkeypatch):
    """They are null, as what has no value is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(
        workbook({"s": [["a", "e"], [1, "#N/A"], ["#DIV/0!", "N/A"]], "t": [["#REF!"]]})
    )
    call = ConnectorCall(None, "k", "r", "s")
    assert await DocumentConnector().do("read", {"path": "a.xlsx", "sheet": 1}, call) == [
        {"a": 1, "e": None},
        {"a": None, "e": "N/A"},
    ]
    assert [note for note in call.notes if "errors" in note] == [
        "a.xlsx: 3 cells of the workbook are errors such as #N/A or #DIV/0! and are null"
    ]


def test_a_formula_with_a_value_or_an_empty_text_is_computed():
    from intendant_connector_document._documents import _FORMULA

    def unsaved(cell):
        return [match for match in _FORMULA.finditer(cell) if b't="str"' not in match[1]]

    for cell in (
        b'<c r="A1"><f>1+1</f><v>2</v></c>',
        b'<c r="A1" t="str"><f>""</f><v></v></c>',
        b'<c r="A1" s="1"/><c r="B1"><v>1</v></c>',
        b'<c r="A1"><f t="shared" si="0"/><v>2</v></c>',
    ):
        assert not unsaved(cell)
    for cell in (
        b'<c r="A1"><f>1+1</f><v></v></c>',
        b'<c r="A1"><f>1+1</f><v /></c>',
        b'<c r="A1"><f si="0"/></c>',
    ):
        assert unsaved(cell)


def sheet(lines, *, size=10):
    """A page with words at their places: lines of (left, right, text), of which one of both is None."""
    from fpdf import FPDF

    made = FPDF(unit="pt")
    made.add_page()
    made.set_font("Helvetica", size=size)
    for number, line in enumerate(lines):
        for left, right, text in line:
            start = left if left is not None else right - made.get_string_width(text)
            made.text(start, 60 + 14 * number, text)
    return made


def statement(rows, *, header=True):
    """A page of a bank's statement: columns without lines, amounts aligned at their right."""
    names = [[(50, None, "Date"), (130, None, "Details"), (None, 420, "Amount"), (None, 520, "Balance")]]
    body = [[(50, None, day), (130, None, text), (None, 420, a), (None, 520, b)] for day, text, a, b in rows]
    return [*(names if header else []), *body]


MARCH = [
    ("2026-03-02", "Rent, flat 12", "-900.00", "1,100.00"),
    ("2026-03-05", "Salary of Example Ltd", "3,100.50", "4,200.50"),
    ("2026-03-09", "Coffee", "-2.40", "4,198.10"),
]
AS_RECORDS = [dict(zip(("Date", "Details", "Amount", "Balance"), row, strict=True)) for row in MARCH]


async def test_finds_a_table_with_lines_in_a_pdf(read):
    pytest.importorskip("pdfplumber")
    from fpdf import FPDF

    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=10)
    made.cell(0, 10, "Statement of account")
    made.ln()
    with made.table() as table:
        for row in [("Item", "Qty", "Price"), ("Bolts, M8", "20", "1.50"), ("Washers", "", "0.05")]:
            table.row(row)
    document = await read(bytes(made.output()), tables=True)
    assert document["tables"] == [
        {
            "page": 1,
            "rows": [
                {"Item": "Bolts, M8", "Qty": "20", "Price": "1.50"},
                {"Item": "Washers", "Qty": None, "Price": "0.05"},
            ],
        }
    ]
    assert "Statement of account" in document["text"]


async def test_finds_a_table_that_white_space_tells(read):
    """Its names are aligned at another side than their columns, and text around it is no part of it."""
    pytest.importorskip("pdfplumber")
    title = [[(50, None, "Your account at a glance, with all that was booked in March")], [], []]
    document = await read(bytes(sheet(title + statement(MARCH)).output()), tables=True)
    assert document["tables"] == [{"page": 1, "rows": AS_RECORDS}]


async def test_names_at_the_left_of_numbers_at_the_right_are_theirs(read):
    pytest.importorskip("pdfplumber")
    lines = [[(50, None, "Part"), (300, None, "No")]]
    lines += [
        [(50, None, part), (None, 400, number)] for part, number in (("axle", "7"), ("hub", "19"), ("rim", "4"))
    ]
    document = await read(bytes(sheet(lines).output()), tables=True)
    assert document["tables"][0]["rows"][1] == {"Part": "hub", "No": "19"}


async def test_a_line_that_goes_on_in_one_column_belongs_to_the_row_above(read):
    pytest.importorskip("pdfplumber")
    lines = statement(MARCH)
    lines.insert(3, [(130, None, "for February")])
    document = await read(bytes(sheet(lines).output()), tables=True)
    assert [row["Details"] for row in document["tables"][0]["rows"]] == [
        "Rent, flat 12",
        "Salary of Example Ltd for February",
        "Coffee",
    ]


@pytest.mark.parametrize("header", [True, False], ids=["header again", "no header"])
async def test_a_table_that_goes_on_on_the_next_page_is_one(read, header):
    pytest.importorskip("pdfplumber")
    made = sheet(statement(MARCH))
    made.add_page()
    april = [(day.replace("-03-", "-04-"), *rest) for day, *rest in MARCH]
    for number, line in enumerate(statement(april, header=header)):
        for left, right, text in line:
            made.text(left if left is not None else right - made.get_string_width(text), 60 + 14 * number, text)
    (table,) = (await read(bytes(made.output()), tables=True))["tables"]
    assert [row["Date"] for row in table["rows"]] == [row[0] for row in MARCH + april]


async def test_text_in_columns_is_no_table(read):
    pytest.importorskip("pdfplumber")
    left = "a sentence that runs on", "over the line and goes", "to the next one until", "it comes to its end."
    lines = [[(50, None, text), (320, None, text[::-1])] for text in left * 3]
    assert (await read(bytes(sheet(lines).output()), tables=True))["tables"] == []


async def test_tables_without_names_are_rows(read):
    pytest.importorskip("pdfplumber")
    document = await read(bytes(sheet(statement(MARCH)).output()), tables=True, header=None)
    assert document["tables"][0]["rows"][1] == list(MARCH[0])


async def test_tables_are_found_on_the_pages_that_are_named_and_only_if_asked(read):
    pytest.importorskip("pdfplumber")
    made = sheet(statement(MARCH))
    made.add_page()
    made.text(50, 60, "nothing")
    data = bytes(made.output())
    assert (await read(data, tables=True, pages="2"))["tables"] == []
    assert "tables" not in await read(data)


async def test_names_of_a_table_may_stand_in_several_rows(read):
    pytest.importorskip("pdfplumber")
    above = [(130, None, "Booked"), (None, 420, "EUR"), (None, 520, "EUR")]
    document = await read(bytes(sheet([above, *statement(MARCH)]).output()), tables=True, header=[1, 2])
    (first, *_) = document["tables"][0]["rows"]
    assert first == {
        "Date": "2026-03-02",
        "Booked Details": "Rent, flat 12",
        "EUR Amount": "-900.00",
        "EUR Balance": "1,100.00",
    }

"""Reads one document, in a process that may be killed."""

import io
import re
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from intendant.plugin import Json

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MOST_TEXT = 50_000_000
"""Characters of a document's text."""
_PIECE = 1 << 20
_PARTS = {
    "xl/workbook.xml": "workbook",
    "xl/workbook.bin": "workbook",
    "word/document.xml": "a Word document",
    "ppt/presentation.xml": "a PowerPoint presentation",
}
_MIMES = {
    b"application/vnd.oasis.opendocument.spreadsheet": "workbook",
    b"application/vnd.oasis.opendocument.text": "an OpenDocument text",
    b"application/epub+zip": "an e-book",
}
_OTHERS = (
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
)
_HINT = "PDF, xlsx, xlsm, xlsb, xls and ods are read; save it as one of these"


_FAULTS = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError)
"""What the library raises on damaged files."""


_FORMULA = re.compile(rb"<c\b([^>]*)>\s*<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")
"""A cell with a formula and without a value."""
_ERROR = re.compile(rb"""<c\b[^>]*\bt=["']e["']""")


class Unreadable(Exception):
    """Why a document cannot be read, as the end of a sentence."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read(data: str, how: dict[str, Any]) -> dict[str, Json]:
    """A document.

    Args:
        data: The file, in Base64.
        how: The parameters of the step, and the bounds.

    Returns:
        `value` and `notes`, or `error` and `hint`.
    """
    notes: list[str] = []
    try:
        return {"value": _read(b64decode(data), how, notes), "notes": [*notes]}
    except Unreadable as error:
        return {"error": str(error), "hint": error.hint}
    except MemoryError:
        return {"error": "takes more memory than is admitted", "hint": "see the setting read_megabytes"}


def _read(data: bytes, how: dict[str, Any], notes: list[str]) -> Json:
    if b"%PDF-" in data[:1024]:
        return _pdf(data, how)
    kind = kind_of(data)
    if kind != "workbook":
        raise Unreadable(f"is {kind}, which document.read does not read", _HINT)
    if data.startswith(b"PK"):
        _check_archive(data, how["max_unpacked"])
        unsaved, errors = _without_value(data)
        if unsaved:
            notes.append(
                f"{unsaved} formulas of the workbook have no saved value and are null, as nothing computed them; "
                "open it in a spreadsheet program and save it"
            )
        if errors:
            notes.append(f"{errors} cells of the workbook are errors such as #N/A or #DIV/0! and are null")
    return _workbook(data, how, notes)


def kind_of(data: bytes) -> str:
    """What a file is: `workbook`, or the end of a sentence about any other."""
    if not data:
        return "empty"
    if data.startswith(OLE):
        is_workbook = any(name.encode("utf-16-le") in data for name in ("Workbook", "Book"))
        return "workbook" if is_workbook else "an old Office document, or an encrypted one"
    if data.startswith(b"PK"):
        return _archive_kind(data)
    head = data.lstrip()[:20].lower()
    return next((what for mark, what in _OTHERS if head.startswith(mark.lower())), "of no kind that is known")


def _archive_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            kind = next((what for part, what in _PARTS.items() if part in names), None)
            if kind is None and "mimetype" in names and archive.getinfo("mimetype").file_size < 200:  # noqa: PLR2004
                kind = _MIMES.get(archive.read("mimetype").strip())
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, ValueError):
        return "a damaged archive"
    return kind or "an archive"


def _check_archive(data: bytes, most: int) -> None:
    """Refuse an archive that unpacks to more than *most* bytes, whatever it says of itself."""
    left = most
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most:
                raise _bomb(most)
            for member in members:
                with archive.open(member) as part:
                    # A size that is too small is found by the checksum.
                    while piece := part.read(_PIECE):
                        left -= len(piece)
                        if left < 0:
                            raise _bomb(most)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise Unreadable(f"is a damaged archive: {error}") from None


def _bomb(most: int) -> Unreadable:
    return Unreadable(f"unpacks to more than {most} bytes", "see the setting max_unpacked of connector:document")


# --- PDF ---


def _pdf(data: bytes, how: dict[str, Any]) -> Json:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(how["password"] or ""):
            what = "is encrypted" if how["password"] is None else "does not open with that password"
            raise Unreadable(what, 'give `password: "{{ secrets.NAME }}"`')
        count = len(reader.pages)
        numbers = _numbers(how["pages"], count)
        if len(numbers) > how["max_pages"]:
            hint = "name some with `pages`, or see the setting max_pages of connector:document"
            raise Unreadable(f"has {len(numbers)} pages, more than {how['max_pages']}", hint)
        texts: list[str] = []
        size = 0
        for number in numbers:
            texts.append(_clean(reader.pages[number - 1].extract_text()))
            size += len(texts[-1])
            if size > MOST_TEXT:
                raise Unreadable(f"has more than {MOST_TEXT} characters", "name some pages with `pages`")
        title = reader.metadata.title if reader.metadata is not None else None
        tables = _pdf_tables(data, numbers, how) if how["tables"] else None
    except (DependencyError, ImportError):
        raise Unreadable("is encrypted in a way that needs cryptography", "pip install cryptography") from None
    except (PyPdfError, *_FAULTS) as error:
        what = f"is a damaged PDF ({type(error).__name__})"
        raise Unreadable(what, "open it in a viewer and save it anew") from None
    if numbers and not any(text.strip() for text in texts):
        raise Unreadable("has pages without text: they are pictures", "run text recognition (OCR) on it first")
    by_page: Json = [{"page": number, "text": text} for number, text in zip(numbers, texts, strict=True)]
    name = str(title) if title else None
    read: dict[str, Json] = {"kind": "pdf", "title": name, "pages": count, "text": "\n\n".join(texts)}
    return read | {"by_page": by_page} | ({} if tables is None else {"tables": tables})


def _pdf_tables(data: bytes, numbers: list[int], how: dict[str, Any]) -> list[Json]:
    """The tables of a PDF, with records by the names in their header, or rows without."""
    from intendant_connector_document._tables import tables_of

    try:
        found = tables_of(data, numbers, how["password"] or "")
    except ImportError:
        hint = "pip install 'intendant-connector-document[tables]'"
        raise Unreadable("is a PDF, and finding tables in one needs pdfplumber", hint) from None
    made: list[Json] = []
    for table in found:
        rows: list[list[Json]] = [[_clean(cell) or None for cell in row] for row in table.rows]
        made.append({"page": table.page, "rows": _headed(rows, _header_rows(how))})
    return made


_LIGATURES = str.maketrans(
    {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
)
"""Letters that are set as one glyph, which no word is searched with."""


def _clean(text: str) -> str:
    """A page's text without half characters, and with the letters that ligatures stand for."""
    return text.encode("utf-8", "replace").decode().replace("\0", "").translate(_LIGATURES)


def _numbers(pages: str | None, count: int) -> list[int]:
    """The pages that `1-3,7` names."""
    if pages is None:
        return list(range(1, count + 1))
    found: list[int] = []
    for part in pages.split(","):
        first, dash, last = part.partition("-")
        end = int(last) if last else count if dash else int(first)
        found += range(int(first), min(end, count) + 1)
    wrong = [number for number in found if not 1 <= number <= count]
    if wrong or not found:
        raise Unreadable(f"has {count} pages, and `pages: {pages}` names none of them")
    return list(dict.fromkeys(found))


# --- workbooks ---


def _without_value(data: bytes) -> tuple[int, int]:
    """How many formulas have no value beside them, and how many cells are errors. A text that is empty is one."""
    unsaved = errors = 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                sheet = archive.read(name)
                unsaved += sum(b't="str"' not in match[1] for match in _FORMULA.finditer(sheet))
                errors += sum(1 for _ in _ERROR.finditer(sheet))
    return unsaved, errors


def _workbook(data: bytes, how: dict[str, Any], notes: list[str]) -> Json:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = book.sheet_names
        if how["sheet"] is not None:
            return _rows(book, _sheet(how["sheet"], names), how, how["max_cells"], notes)[0]
        left = how["max_cells"]
        sheets: list[Json] = []
        for name in names:
            rows, cells = _rows(book, name, how, left, notes)
            left -= cells
            sheets.append({"name": name, "rows": rows})
    except CalamineError as error:
        raise Unreadable(f"is a damaged workbook: {error}", "open it and save it anew") from None
    return {"kind": "workbook", "sheets": sheets}


def _sheet(wanted: str | int, names: list[str]) -> str:
    if isinstance(wanted, int) and 1 <= wanted <= len(names):
        return names[wanted - 1]
    if wanted in names:
        return str(wanted)
    raise Unreadable(f"has no sheet {wanted!r}", f"its sheets: {', '.join(names[:20])}")


def _rows(book: Any, name: str, how: dict[str, Any], most: int, notes: list[str]) -> tuple[list[Json], int]:
    """A sheet's rows, those without any value left out, and how many cells it has."""
    sheet = book.get_sheet_by_name(name)
    end = sheet.end
    if end is None:
        return [], 0
    cells = (end[0] + 1) * (end[1] + 1)
    if cells > most:
        hint = "name one with `sheet`, or see the setting max_cells of connector:document"
        raise Unreadable(f"has more than {how['max_cells']} cells (sheet '{name}': {cells})", hint)
    rows = [[_value(cell) for cell in row] for row in sheet.to_python(skip_empty_area=False)]
    header = _header_rows(how)
    first = max(header, default=0)
    areas = sheet.merged_cell_ranges or ()
    merged = [area for area in areas if area[0][0] >= first]
    if len(header) > 1:
        _fill(rows, [area for area in areas if area[0][0] < first])
    if how["merged"] == "fill":
        _fill(rows, merged)
    elif merged:
        notes.append(
            f"sheet '{name}': {len(merged)} areas of merged cells, whose value the first cell alone has; "
            "`merged: fill` gives it to all of them"
        )
    records = _headed(rows, header)
    if not records and first > 1:
        notes.append(f"sheet '{name}': it has {len(rows)} rows, and none below its header in row {first}")
    return records, cells


def _header_rows(how: dict[str, Any]) -> list[int]:
    """The rows of a table that have the names, from 1; none for none."""
    return [how["header"]] if isinstance(how["header"], int) else how["header"] or []


def _headed(rows: list[list[Json]], header: list[int]) -> list[Json]:
    """A table's rows, those without any value left out: as records by the names in its header, or as lists."""
    filled = [row for row in rows[max(header, default=0) :] if any(cell is not None for cell in row)]
    if not header:
        return [*filled]
    heads = [rows[at - 1] for at in header if at <= len(rows)]
    titles = _titles([_joined(column) for column in zip(*heads, strict=True)])
    return [dict(zip(titles, row, strict=True)) for row in filled]


def _joined(parts: Sequence[Json]) -> Json:
    """The name of a column of which several rows of a header tell a part, from the top: `Maths 2nd term`."""
    texts = [" ".join(str(part).split()) for part in parts if part is not None]
    return " ".join(text for at, text in enumerate(texts) if at == 0 or text != texts[at - 1]) or None


def _fill(rows: list[list[Json]], merged: list[Any]) -> None:
    """Give each cell of the areas the value of their first."""
    for (top, left), (bottom, right) in merged:
        for row in rows[top : bottom + 1]:
            for column in range(left, min(right + 1, len(row))):
                row[column] = rows[top][left]


def _titles(row: list[Json]) -> list[str]:
    """Names of the columns, each once; columns without one get `column_3`."""
    names: list[str] = []
    taken: set[str] = set()
    for number, cell in enumerate(row, 1):
        name = " ".join(str(cell).split()) if cell is not None else f"column_{number}"
        unique, count = name, 1
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        names.append(unique)
    return names


def _value(cell: Any) -> Json:
    """A cell as JSON: dates in ISO 8601, whole numbers without a fraction, empty ones as null."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, float):
        if cell != cell or cell in (float("inf"), float("-inf")):  # noqa: PLR0124  # not a number
            return None
        return int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell
    if isinstance(cell, date | time):
        is_day = isinstance(cell, datetime) and cell.time() == time()
        return cell.isoformat()[:10] if is_day else cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return cell if isinstance(cell, bool | int) else _clean(str(cell))

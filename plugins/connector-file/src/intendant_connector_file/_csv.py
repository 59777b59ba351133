"""Reads tables: CSV with any usual delimiter."""

from typing import Literal
from unicodedata import normalize

from intendant.plugin import UNWATCHED, ConnectorError, Json, Watch
from intendant_connector_file._cells import Sign, TypeGuess, typed_cell
from intendant_connector_file._dialect import Row, opened, rows, sniff

LOOKS = 1000
"""Rows between two looks at the watch."""
MAX_CELLS = 10_000_000


def read_csv(
    text: str,
    name: str,
    *,
    delimiter: str | None = None,
    skip: int = 0,
    header: bool = True,
    ragged: Literal["fail", "pad"] = "fail",
    names: Literal["strict", "repair"] = "strict",
    types: Literal["text", "auto"] = "text",
    decimal: Sign | None = None,
    notes: list[str] | None = None,
    max_cells: int = MAX_CELLS,
    watch: Watch = UNWATCHED,
) -> list[Json]:
    """The rows as records, or as lists where there is no header.

    Args:
        text: The file's text. A first line `sep=;` names the delimiter.
        name: What to call it in messages.
        delimiter: By default the one of `, ; tab |` that splits the first rows most evenly.
        skip: Lines before the table, which are left out.
        header: Whether the first row has the names.
        ragged: What happens to rows of another length than the first: short ones are padded with null, and what
            a long one has too many goes into `column_4` and so on.
        names: Columns without a name, or with one that another has, are an error, or get `column_4` and `name_2`.
        types: `auto` reads columns of which every value is a number, or true or false, as such.
        decimal: What stands before the decimals of such numbers; see `TypeGuess`.
        notes: Takes what a reader should know.
        max_cells: Rows times columns at most.
        watch: Looked at between rows.

    Raises:
        ConnectorError: The table is malformed (names the line), or has too many cells.
    """
    table, chosen, first = opened(text, delimiter, skip)
    found = _read(table, separator := chosen or sniff(table), name, first, max_cells, watch)
    if not found:
        return []
    titles = found.pop(0)[1] if header else [""] * len(found[0][1])
    if header:
        titles = _without_empty([title.strip() for title in titles], found)
        titles = named(titles, name, repair=names == "repair")
    cells = [_even(row, titles, name, header=header, pad=ragged == "pad") for row in found]
    width = max(map(len, cells), default=len(titles))
    titles += [f"column_{index + 1}" for index in range(len(titles), width)]
    if header and len(set(titles)) < len(titles):
        message = f"{name}: a row is longer than the header, which has a name such as 'column_3' itself"
        raise ConnectorError(message, hint="rename that column")
    guesses = [TypeGuess(separator, decimal) if types == "auto" else None for _ in range(width)]
    columns = [
        _typed([row[index] if index < len(row) else None for row in cells], guess)
        for index, guess in enumerate(guesses)
    ]
    if notes is not None:
        notes += [
            guess.doubt(name, title) for guess, title in zip(guesses, titles, strict=True) if guess and guess.open
        ]
    lines: list[Json] = [list(row) for row in zip(*columns, strict=True)] if cells else []
    return [dict(zip(titles, row, strict=True)) for row in lines] if header else lines


def _read(text: str, delimiter: str, name: str, first: int, max_cells: int, watch: Watch) -> list[Row]:
    """All rows, if they have no more cells than admitted, those filled up included."""
    found: list[Row] = []
    width = 0
    for row in rows(text, delimiter, name, first=first):
        found.append(row)
        width = max(width, len(row[1]))
        if len(found) * width > max_cells:
            raise ConnectorError(
                f"{name}, line {row[0]}: {len(found)} rows of {width} columns are more than {max_cells} cells",
                hint="read a part, or raise the setting max_cells of connector:file",
            )
        if len(found) % LOOKS == 0:
            watch.look()
    return found


def _without_empty(titles: list[str], found: list[Row]) -> list[str]:
    """The titles without columns at the end that have neither a name nor a value, as spreadsheets leave them."""
    width = len(titles)
    while width > 1 and not titles[width - 1] and found:
        if any(cell for _, row in found for cell in row[width - 1 :]):
            return titles
        width -= 1
    if width < len(titles):
        for _, row in found:
            del row[width:]
    return titles[:width]


def named(titles: list[str], name: str, *, repair: bool) -> list[str]:
    """The titles, each once. Canonically equal ones are the same to a reader, and count as such."""
    taken = {normalize("NFC", title) for title in titles}
    seen: set[str] = set()
    counts: dict[str, int] = {}
    made: list[str] = []
    for index, title in enumerate(titles):
        key = normalize("NFC", title)
        if title and key not in seen:
            seen.add(key)
        elif not repair:
            raise _unusable(name, index, title)
        else:
            title = _fresh(title or f"column_{index + 1}", taken, counts, blank=not title)  # noqa: PLW2901
        made.append(title)
    return made


def _unusable(name: str, index: int, title: str) -> ConnectorError:
    if title:
        hint = "rename one of the columns, or read the file with `names: repair`"
        return ConnectorError(f"{name}: the header has '{title}' twice", hint=hint)
    hint = (
        "name it, or read the file with `names: repair` or `header: false`; where the table begins further down, "
    )
    hint += "`skip: 3` leaves out the lines before it"
    return ConnectorError(f"{name}: column {index + 1} has no name in the header", hint=hint)


def _fresh(title: str, taken: set[str], counts: dict[str, int], *, blank: bool) -> str:
    """A name that no column has: `title_2` and so on; a column without one gets *title* itself if it is free."""
    number = counts.get(title, 0 if blank else 1)
    while normalize("NFC", wanted := f"{title}_{number + 1}" if number else title) in taken:
        number += 1
    counts[title] = number
    taken.add(normalize("NFC", wanted))
    return wanted


def _even(row: Row, titles: list[str], name: str, *, header: bool, pad: bool) -> list[str | None]:
    line, cells = row
    if len(cells) != len(titles) and not pad:
        first = "header" if header else "first row"
        raise ConnectorError(
            f"{name}, line {line}: {len(cells)} values, but the {first} has {len(titles)}",
            hint="quote values that hold the delimiter, or read with `ragged: pad`; `skip` leaves out first lines",
        )
    return [*cells, *[None] * (len(titles) - len(cells))]


def _typed(column: list[str | None], guess: TypeGuess | None) -> list[Json]:
    if guess is None:
        return list(column)
    guess.look(column)
    kind = guess.kind
    return list(column) if kind == "text" else [typed_cell(cell, kind, guess.decimal) for cell in column]

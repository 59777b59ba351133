"""Operations between data and text."""

import json
import re
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, StepError
from intendant.records import describe_value
from intendant_intent_transform._records import (
    Absent,
    Op,
    Record,
    as_text,
    columns_of,
    each_record,
    get,
    look,
    records_of,
    require_somewhere,
    within,
)

_BRACES = re.compile(r"\{([^{}\r\n]{1,300})\}")
_NAME = re.compile(r"(?=[^{}]*[^\W\d_])[\w#][\w.()\[\]/%&#’'-]*(?: [\w.()\[\]/%&#’'-]+)*")  # noqa: RUF001
"""What looks like the name of a field: words with single blanks between them, and a letter among them."""
_INDEX = re.compile(r"\[(\d{1,9})\]")
MAX_TEXT = 50_000_000
"""Characters that a rendered text may have."""


class Split(Op):
    """Splits text, or a text field of records, into a list."""

    op: Literal["split"]
    field: str | None = None
    by: str = Field("\n", min_length=1)
    trim: bool = True
    """Whether blanks around the parts are taken off."""
    keep_empty: bool = False

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The parts, or the records with the parts in the field."""
        name = self.field
        if name is None:
            return self._parts(value)
        return each_record(value, lambda records: [self._changed(record, name) for record in records])

    def _changed(self, record: Record, name: str) -> Record:
        require_somewhere([record], [name])
        return record if record[name] is None else {**record, name: self._parts(record[name])}

    def _parts(self, text: Json) -> list[Json]:
        if not isinstance(text, str):
            raise StepError(
                f"it takes text, not {describe_value(text)}", hint="name the `field` that has the text"
            )
        parts = [part.strip() if self.trim else part for part in text.split(self.by)]
        return [part for part in parts if part or self.keep_empty]


class ParseJson(Op):
    """Reads JSON from text, or from a text field of records."""

    op: Literal["parse_json"]
    field: str | None = None
    on_error: Literal["fail", "null"] = "fail"

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The data, or the records with the data in the field."""
        name = self.field
        if name is None:
            return self._read(value, "the text", notes)

        def change(records: list[Record]) -> list[Record]:
            require_somewhere(records, [name])
            return [
                {**record, name: self._read(record[name], f"record {index}", notes)}
                if record.get(name) is not None
                else record
                for index, record in enumerate(records)
            ]

        return each_record(value, change)

    def _read(self, text: Json, place: str, notes: list[str]) -> Json:
        if not isinstance(text, str):
            raise StepError(
                f"it takes text, not {describe_value(text)}", hint="name the `field` that has the text"
            )
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            message = f"{place} is not JSON: {error}"
            if self.on_error == "fail":
                raise StepError(message, hint="on_error: null lets it pass") from None
            notes.append(f"{message}; it is null")
            return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


class ToJson(Op):
    """Writes data, or a field of records, as JSON text."""

    op: Literal["to_json"]
    field: str | None = None
    indent: int | None = Field(None, ge=0, le=8)
    compact: bool = False
    """Without blanks, as JavaScript writes it."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The text, or the records with the text in the field."""
        name = self.field
        if name is None:
            return self._written(value)

        def change(records: list[Record]) -> list[Record]:
            require_somewhere(records, [name])
            return [{**one, name: self._written(one[name])} if name in one else one for one in records]

        return each_record(value, change)

    def _written(self, value: Json) -> str:
        separators = (",", ":") if self.compact else None
        try:
            return json.dumps(
                value, ensure_ascii=False, allow_nan=False, indent=self.indent, separators=separators
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise StepError(f"it cannot be written as JSON: {error}") from None


class Table(Op):
    """What tables as text have in common."""

    columns: list[str] = Field(default_factory=list)
    """Fields in their order; by default all."""

    def cells(self, value: Json) -> list[list[str]]:
        """The header and the rows, as text."""
        records = [value] if isinstance(value, dict) else records_of(value)
        require_somewhere(records, self.columns)
        columns = self.columns or columns_of(records)
        within(len(records), len(columns))
        return [columns, *([as_text(get(record, name)) for name in columns] for record in records)]


class ToCsv(Table):
    """Writes records as CSV (RFC 4180, with single line feeds)."""

    op: Literal["to_csv"]
    delimiter: str = Field(",", pattern=r'^[^"\r\n]$')
    header: bool = True

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The text."""
        rows = self.cells(value)[0 if self.header else 1 :]
        return "".join(self._line(row) for row in rows if row)

    def _line(self, row: list[str]) -> str:
        # The standard library's writer leaves a carriage return unquoted before Python 3.13.
        special = (self.delimiter, '"', "\r", "\n")
        cells = [
            '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in special) else cell for cell in row
        ]
        return (self.delimiter.join(cells) or '""') + "\n"


class ToMarkdownTable(Table):
    """Writes records as a Markdown table."""

    op: Literal["to_markdown_table"]

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The text; bars are escaped, and line breaks in cells become `<br>`."""
        header, *rows = self.cells(value)
        if not header:
            return ""
        lines = [header, ["---"] * len(header), *rows]
        return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(cell: str) -> str:
    return "<br>".join(cell.replace("\\", "\\\\").replace("|", "\\|").splitlines())


class Render(Op):
    """Writes a text for each record, and joins them.

    `{name}`, `{customer.name}` and `{items[0].id}` stand for fields, whatever letters, blanks and dots their names
    have: what stands between braces is a field where a record has one of that name, or where it looks like a name.
    """

    op: Literal["render"]
    template: str
    join: str = "\n"
    before: str = ""
    """Text before the first."""
    after: str = ""
    """Text after the last."""
    empty: str | None = None
    """The whole text where there is no record."""
    missing: Literal["fail", "empty"] = "fail"
    """What a field is where a record has it not. A field that is null is empty."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The text. A value is put in as it is: braces in it stand for nothing."""
        records = [value] if isinstance(value, dict) else records_of(value)
        if not records and self.empty is not None:
            return self.empty
        places = self._places(records)
        texts: list[str] = []
        size = 0
        for index, record in enumerate(records):
            texts.append(self._text(record, places, index))
            size += len(texts[-1]) + len(self.join)
            if size > MAX_TEXT:
                raise StepError(f"the text is longer than {MAX_TEXT} characters", hint="render fewer records")
        return self.before + self.join.join(texts) + self.after

    def _places(self, records: list[Record]) -> frozenset[str]:
        """What of the template's braces stands for a field."""
        found = {match[1] for match in _BRACES.finditer(self.template)}
        return frozenset(
            name
            for name in found
            if _NAME.fullmatch(name) or any(_look(record, name) is not Absent for record in records)
        )

    def _text(self, record: Record, places: frozenset[str], index: int) -> str:
        def fill(match: re.Match[str]) -> str:
            if match[1] not in places:
                return match[0]
            found = _look(record, match[1])
            if found is Absent and self.missing == "fail":
                hint = f"it has: {', '.join(list(record)[:12])}; missing: empty leaves it empty"
                raise StepError(f"record {index} has no field '{match[1]}'", hint=hint)
            return "" if found is Absent else as_text(found)

        return _BRACES.sub(fill, self.template)


def _look(record: Record, path: str) -> Json | type[Absent]:
    """What a path such as `items[0].id` leads to; a key that holds the signs itself comes first."""
    found = look(record, path)
    return look(record, _INDEX.sub(r".\1", path)) if found is Absent and "[" in path else found


class Shorten(Op):
    """Cuts texts to so many characters, at the end of a word where there is one."""

    op: Literal["shorten"]
    field: str | list[str] | None = None
    """Fields of records; by default the elements of a list, or the text itself."""
    length: int = Field(ge=1)
    """Characters at most, what `end` adds included."""
    end: str = "…"

    @model_validator(mode="after")
    def _room(self) -> "Shorten":
        if len(self.end) >= self.length:
            raise ValueError("`length` has no room for `end`")
        return self

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The texts, each at most as long as asked; other values stay."""
        count = 0

        def cut(text: Json) -> Json:
            nonlocal count
            if not isinstance(text, str) or len(text) <= self.length:
                return text
            count += 1
            return shortened(text, self.length, self.end)

        def changed(records: list[Record]) -> list[Record]:
            require_somewhere(records, names)
            return [record | {name: cut(record[name]) for name in names if name in record} for record in records]

        names = [self.field] if isinstance(self.field, str) else self.field or []
        if names:
            result = each_record(value, changed)
        else:
            result = [cut(item) for item in value] if isinstance(value, list) else cut(value)
        if count:
            notes.append(f"{count} texts cut to {self.length} characters")
        return result


def shortened(text: str, length: int, end: str) -> str:
    """The beginning of a text; a word that the cut falls into is left out, unless little would be left."""
    room = length - len(end)
    whole = text[: room + 1].rpartition(" ")[0].rstrip()
    kept = whole if len(whole) * 2 > room else text[:room].rstrip()
    return kept + end

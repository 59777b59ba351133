"""Filters a plain table in a file with DuckDB, where a condition means the same there as in CEL.

Of CEL it knows comparisons of fields with texts and numbers, `&&`, `||`, `!`, `in`, `has`, `double`, `int`,
`contains`, `startsWith` and `endsWith`. Every other condition, and every value that CEL would refuse, is read
record by record.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unicodedata import normalize

from intendant.plugin import Json, StepRequest, StepResult, Table, TableUnfit, literal, open_table, quoted
from intendant_intent_filter._parameters import FilterParameters

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<text>"[^"\\\n]*"|'[^'\\\n]*')|(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<sign>&&|\|\||[=!<>]=|[<>!().,\[\]-]))"""
)
_DOUBLE = r"[+-]?\d{1,15}(\.\d{1,15})?"
_INT = r"[+-]?\d{1,18}"
_METHODS = {"contains": "contains", "startsWith": "starts_with", "endsWith": "ends_with"}
_COMPARED = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
EXACT = 15
"""Characters of a number that a double keeps."""
LINES = 20_000
"""Records that are fetched at once."""

Typed = tuple[str, str]
"""An expression, and whether it is `text`, `number` or `truth`."""


async def filtered_fast(request: StepRequest[FilterParameters], table: Table) -> StepResult:
    """The records that match a condition.

    Raises:
        TableUnfit: They have to be read one by one.
    """
    options = request.parameters
    given = {name for name, value in options.model_dump(exclude_defaults=True).items() if value is not None}
    if options.where is None or given - {"where", "values", "on_error"}:
        raise TableUnfit
    condition = _Translation(options.where, table.columns, options.values)
    statement = condition.truth()
    writer = request.records.writer()
    kept = 0
    with open_table(table) as engine:
        record = ", ".join(f"{literal(name)}, {quoted(name)}" for name in table.columns)
        chosen = f"SELECT json_object({record})::VARCHAR FROM {engine.source} WHERE {statement}"  # noqa: S608
        try:
            whole = engine.rows(f"SELECT count(*) FROM {engine.source}")  # noqa: S608  # names are quoted
            read = (await asyncio.to_thread(next, whole))[0][0]
            reading = engine.rows(chosen, condition.values, LINES)
            while lines := await asyncio.to_thread(_lines, reading):
                await writer.add_lines(*lines)
                kept += lines[1]
        except asyncio.CancelledError:
            engine.interrupt()
            raise
    note = f"kept {kept} of {read} records, dropped {read - kept}"
    return StepResult(output=await writer.finish(), notes=(note,))


def _lines(reading: Iterator[Sequence[tuple[Any, ...]]]) -> tuple[str, int] | None:
    rows = next(reading, None)
    return None if rows is None else ("\n".join([row[0] for row in rows]) + "\n", len(rows))


class _Translation:
    """A CEL condition as SQL.

    Raises:
        TableUnfit: It says something that this does not know.
    """

    def __init__(self, source: str, columns: Sequence[str], values: dict[str, Json]) -> None:
        self._columns, self._given = set(columns), values
        self._tokens = list(_tokens(normalize("NFC", source)))
        self._at = 0
        self.values: list[Json] = []
        """What is bound to the statement's question marks."""

    def truth(self) -> str:
        """The whole condition."""
        found = self._is(self._or(), "truth")
        if self._at < len(self._tokens):
            raise TableUnfit
        return found

    # --- tokens ---

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise TableUnfit
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *tokens: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at] in tokens:
            return self._next()
        return None

    def _need(self, token: str) -> None:
        if self._next() != token:
            raise TableUnfit

    @staticmethod
    def _is(value: Typed, kind: str) -> str:
        if value[1] != kind:
            raise TableUnfit
        return value[0]

    # --- grammar ---

    def _or(self) -> Typed:
        return self._chain("||", "OR", self._and)

    def _and(self) -> Typed:
        return self._chain("&&", "AND", self._not)

    def _chain(self, token: str, word: str, part: Callable[[], Typed]) -> Typed:
        found = part()
        while self._take(token):
            found = (f"({self._is(found, 'truth')} {word} {self._is(part(), 'truth')})", "truth")
        return found

    def _not(self) -> Typed:
        if self._take("!"):
            return f"(NOT {self._is(self._not(), 'truth')})", "truth"
        left = self._value()
        if (sign := self._take(*_COMPARED)) is not None:
            right = self._value()
            if left[1] != right[1] or left[1] == "truth":
                raise TableUnfit
            return f"({left[0]} {_COMPARED[sign]} {right[0]})", "truth"
        if self._take("in"):
            return self._in(left)
        return left

    def _in(self, left: Typed) -> Typed:
        self._need("[")
        items = [self._is(self._value(), left[1])]
        while self._take(","):
            items.append(self._is(self._value(), left[1]))
        self._need("]")
        return f"({left[0]} IN ({', '.join(items)}))", "truth"

    def _value(self) -> Typed:  # noqa: PLR0911  # a case for each form
        part = self._next()
        if part[0] in "'\"":
            return self._called((self._bound(part[1:-1]), "text"))
        if part[0].isdigit():
            return self._digits(part, 1)
        match part:
            case "(":
                found = self._or()
                self._need(")")
                return found
            case "-":
                return self._digits(self._next(), -1)
            case "item":
                found = f"nfc_normalize({quoted(self._name())})", "text"
                return self._called(found)
            case "values":
                return self._called(self._known())
            case "double" | "int":
                return self._number(part)
            case "has":
                return self._has()
        raise TableUnfit

    def _digits(self, part: str, sign: int) -> Typed:
        if not part[0].isdigit() or len(part) > EXACT:
            raise TableUnfit
        return self._bound(float(part) * sign), "number"

    def _name(self) -> str:
        if self._take("["):
            name = self._next()
            if name[0] not in "'\"":
                raise TableUnfit
            self._need("]")
            name = name[1:-1]
        else:
            self._need(".")
            name = self._next()
        if name not in self._columns:
            raise TableUnfit
        return name

    def _known(self) -> Typed:
        self._need(".")
        value = self._given.get(self._next())
        if isinstance(value, str):
            return self._bound(normalize("NFC", value)), "text"
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 1 << 53:
            raise TableUnfit
        return self._bound(float(value)), "number"

    def _bound(self, value: Json) -> str:
        self.values.append(value)
        return f"?::{'VARCHAR' if isinstance(value, str) else 'DOUBLE'}"

    def _number(self, kind: str) -> Typed:
        self._need("(")
        text = self._is(self._value(), "text")
        self._need(")")
        if "?" in text:
            raise TableUnfit
        pattern, sql = (_DOUBLE, "DOUBLE") if kind == "double" else (_INT, "BIGINT")
        # Another text is an error in CEL, and ends this statement.
        checked = (
            f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN {text}::{sql} ELSE error('unfit')::{sql} END"
        )
        return f"({checked})", "number"

    def _has(self) -> Typed:
        self._need("(")
        self._need("item")
        self._need(".")
        there = self._next() in self._columns
        self._need(")")
        return str(there).upper(), "truth"

    def _called(self, value: Typed) -> Typed:
        if value[1] != "text" or not self._take("."):
            return value
        method = _METHODS.get(self._next())
        if method is None:
            raise TableUnfit
        self._need("(")
        argument = self._is(self._value(), "text")
        self._need(")")
        return f"{method}({value[0]}, {argument})", "truth"


def _tokens(source: str) -> Iterator[str]:
    at, end = 0, len(source.rstrip())
    while at < end:
        found = _TOKEN.match(source, at)
        if found is None:
            raise TableUnfit
        at = found.end()
        yield found[found.lastgroup or 0]

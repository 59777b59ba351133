"""What the columns of a table hold, told from their cells."""

import re
from collections.abc import Iterable
from typing import Literal

from intendant.plugin import Json

Sign = Literal[".", ","]

EXACT = 15
"""Digits that a double keeps. Longer numbers are mostly numbers of cards or accounts, and stay text."""
_BOOLEAN = {"true": True, "false": False}
_GROUPING = "\u00a0\u202f\u2009 '\u2019"
"""What stands between groups of three digits besides the other one of point and comma."""
_WHOLE = r"(?:0|[1-9]\d{0,14})"
_PLAIN = {sign: re.compile(rf"-?{_WHOLE}(?:{re.escape(sign)}\d{{1,15}})?", re.ASCII) for sign in (".", ",")}
_GROUPED = {
    sign: re.compile(
        rf"-?[1-9]\d{{0,2}}(?:([{other}{_GROUPING}])\d{{3}}(?:\1\d{{3}})*)(?:{re.escape(sign)}\d{{1,15}})?",
        re.ASCII,
    )
    for sign, other in ((".", ","), (",", "."))
}
_MAYBE_GROUPS = re.compile(r"-?[1-9]\d{0,2}\.\d{3}", re.ASCII)


class TypeGuess:
    """What a column holds, told from its cells, which may come in parts."""

    def __init__(self, delimiter: str = ",", decimal: Sign | None = None) -> None:
        """Begin.

        Args:
            delimiter: Of the table. Where it is no comma, the comma may stand before decimals, and `1.250` may be
                read in two ways: a column whose points all stand so is text.
            decimal: What stands before decimals, where that is known. Groups of digits are then read too.
        """
        self.decimal = decimal
        self._doubtful = delimiter != "," and decimal is None
        self._possible = ["integer", "number", "boolean"]
        self._seen = False
        self._points: str | None = None
        self._clear = False

    def look(self, column: Iterable[str | None]) -> None:
        """Look at further cells; empty ones say nothing."""
        values = [cell for cell in column if cell]
        self._seen = self._seen or bool(values)
        # `-0` is a code: no number is written so.
        self._possible = [
            kind
            for kind in self._possible
            if "-0" not in values and all(_fits(value, kind, self.decimal) for value in values)
        ]
        if self._doubtful and not self._clear and "number" in self._possible:
            for value in values:
                if "." in value:
                    self._points = self._points or value
                    self._clear = self._clear or not _MAYBE_GROUPS.fullmatch(value)

    @property
    def open(self) -> bool:
        """Whether its numbers can be read in two ways."""
        return self._possible[:1] == ["number"] and self._points is not None and not self._clear

    @property
    def kind(self) -> str:
        """`integer`, `number`, `boolean` or `text`."""
        return self._possible[0] if self._possible and self._seen and not self.open else "text"

    def doubt(self, name: str, title: str) -> str:
        """What a reader is told of a column that is `open`."""
        column = title or "a column"
        return f"{name}: {column} stays text, as '{self._points}' can be read in two ways: say `decimal`"


def typed_cell(cell: str | None, kind: str, decimal: Sign | None = None) -> Json:
    """A cell of a column of that kind; an empty one is null, but in a column of text."""
    if kind == "text":
        return cell
    if not cell:
        return None
    if kind == "boolean":
        return _BOOLEAN[cell.lower()]
    plain = cell if decimal is None else re.sub(rf"[^\d{decimal}-]", "", cell).replace(",", ".")
    return int(plain) if kind == "integer" else float(plain)


def _fits(cell: str, kind: str, decimal: Sign | None) -> bool:
    """Whether a cell is written as a value of that kind."""
    if kind == "boolean":
        return cell.lower() in _BOOLEAN
    sign = decimal or "."
    if kind == "integer" and sign in cell:
        return False
    if not _PLAIN[sign].fullmatch(cell) and not (decimal and _GROUPED[sign].fullmatch(cell)):
        return False
    return len(cell) <= EXACT or len(re.sub(r"\D", "", cell).lstrip("0")) <= EXACT

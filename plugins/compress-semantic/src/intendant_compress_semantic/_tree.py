"""JSON in parts: small values as they are, lists, records and long texts by what they hold."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from intendant.plugin import TextUnit, text_units
from intendant_compress_semantic._outliers import outlying

SMALL = 160
"""Characters up to which a value is kept or left out whole."""
LONG_TEXT = 500
"""Characters above which a text is kept by its sentences."""
MOST_DEPTH = 60
_NAMES = re.compile(
    r"(?:\w*_)?(?:id|name|key|title|sha|number|path|slug|code|label|login|type|kind)", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?:\w+_)?(?:url|uri|href|link|node_id|gravatar_id|avatar)s?|_links", re.IGNORECASE)


@dataclass(slots=True)
class _Node:
    """A value: kept whole as one unit, or by its parts."""

    value: Any = None
    unit: int = -1
    parts: list[tuple[str | int, "_Node"]] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)


class Tree:
    """JSON in units, and what is left of it with some of them.

    Args:
        value: A list or a record.
    """

    what = "values"

    def __init__(self, value: Any) -> None:
        self.units: list[TextUnit] = []
        self._columns: dict[object, list[tuple[int, str]]] = {}
        self._root = self._read(value, (), -1, 0)

    def outlying(self) -> frozenset[int]:
        """Units whose value stands out among those of the same name."""
        return outlying(self._columns)

    def written(self, kept: list[int]) -> str:
        """The JSON with the units *kept* only."""
        value = self._left(self._root, frozenset(kept))
        return _written(value if value is not _NOTHING else type(self._root.value)())

    def _read(self, value: Any, path: tuple[str, ...], under: int, depth: int) -> _Node:
        node = _Node(value)
        text = _written(value)
        if isinstance(value, str) and len(value) > LONG_TEXT:
            for piece in text_units(value, "prose").units:
                node.pieces.append(self._add(piece.text, under, path))
        elif not isinstance(value, dict | list) or len(text) <= SMALL or not value or depth > MOST_DEPTH:
            node.unit = self._add(text, under, path)
        elif isinstance(value, list):
            node.parts = [(at, self._read(item, path, under, depth + 1)) for at, item in enumerate(value)]
        else:
            node.parts = list(self._fields(value, path, under, depth))
        return node

    def _fields(
        self, record: dict[str, Any], path: tuple[str, ...], under: int, depth: int
    ) -> Iterator[tuple[str | int, _Node]]:
        """The fields of a record, those under the one that names it."""
        name = next((key for key, value in record.items() if _NAMES.fullmatch(key) and _is_name(value)), None)
        read: dict[str, _Node] = {}
        lead = under
        if name is not None:
            read[name] = self._read(record[name], (*path, name), under, depth + 1)
            lead = read[name].unit
            self.units[lead].role = "heading"
        for key, value in record.items():
            if key != name:
                read[key] = self._read(value, (*path, key), lead, depth + 1)
        for key in record:
            yield key, read[key]

    def _add(self, text: str, under: int, path: tuple[str, ...]) -> int:
        index = len(self.units)
        name = path[-1] if path else ""
        role = "boiler" if _ADDRESS.fullmatch(name) else "body"
        self.units.append(TextUnit(f"{'.'.join(path[-2:])}: {text}", role, under))
        self._columns.setdefault(path, []).append((index, text))
        return index

    def _left(self, node: _Node, kept: frozenset[int]) -> Any:
        if node.unit >= 0:
            return node.value if node.unit in kept else _NOTHING
        if node.pieces:
            texts = [self.units[index].text.split(": ", 1)[1] for index in node.pieces if index in kept]
            whole = len(texts) == len(node.pieces)
            return node.value if whole else "".join(texts).rstrip() + " […]" if texts else _NOTHING
        left = [(key, self._left(part, kept)) for key, part in node.parts]
        left = [(key, value) for key, value in left if value is not _NOTHING]
        if not left:
            return _NOTHING
        return dict(left) if isinstance(node.value, dict) else [value for _, value in left]


_NOTHING: Any = object()


def _is_name(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= SMALL)


def tree_in(text: str) -> Tree | None:
    """The JSON that *text* is; None if it is none, or one that could not be written again as it was."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_exact, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return Tree(value) if value else None


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name comes twice")
    return record


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _exact(digits: str) -> float:
    """Refuses figures of which a float would keep less than is written."""
    value = float(digits)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"{digits} is no float")
    return value

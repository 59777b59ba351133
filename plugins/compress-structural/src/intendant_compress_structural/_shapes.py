"""Keys that several records have in common."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._cells import NAME
from intendant_compress_structural._derive import templates
from intendant_compress_structural._equal import Equals, Record, equal

MOST_SHAPES = 26
LEAST_KEYS = 2
LEAST_GAIN = 24
"""Characters of keys that a shape has to save."""


@dataclass(slots=True)
class Shape:
    label: str
    constant: Record
    open: tuple[str, ...]
    """Keys whose values stand in each record."""
    named: bool = False
    """The first of them names the record: where it comes again, that is all that is written."""
    derived: dict[str, str] = field(default_factory=dict)
    """What gives the texts of keys (see `_derive`)."""


def shapes(values: Sequence[Any], equals: Equals, *, dense: bool) -> dict[tuple[str, ...], Shape]:
    """Keys that records among *values* have in common, where saying them once pays."""
    found: dict[tuple[str, ...], list[Record]] = {}
    level: list[Any] = [value for value in values if isinstance(value, dict | list)]
    while level:
        for item in level:
            if isinstance(item, dict) and len(item) >= LEAST_KEYS:
                found.setdefault(tuple(item), []).append(item)
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    gains = Counter(
        {keys: (len(records) - 1) * (sum(map(len, keys)) + 3 * len(keys)) for keys, records in found.items()}
    )
    chosen = [keys for keys, gain in gains.most_common(MOST_SHAPES) if gain >= LEAST_GAIN]
    order = [keys for keys in found if keys in set(chosen)]
    made = {keys: _shape(chr(ord("A") + index), found[keys], equals) for index, keys in enumerate(order)}
    if dense:
        for keys, shape in made.items():
            _derive(shape, equals.distinct(found[keys]))
    return made


def _derive(shape: Shape, records: Sequence[Record]) -> None:
    """Leaves out of *shape* what follows from other keys."""
    first = shape.open[:1] if shape.named else ()
    found = templates({key: [record[key] for record in records] for key in shape.open})
    shape.derived = {key: template for key, template in found.items() if key not in first and NAME.fullmatch(key)}
    parts = [key for key, template in shape.derived.items() if "{}" in template]
    shape.open = (*(key for key in shape.open if key not in shape.derived), *parts)
    shape.derived = {key: shape.derived[key] for key in dict.fromkeys([*parts, *shape.derived])}


def _shape(label: str, records: Sequence[Record], equals: Equals) -> Shape:
    keys = list(records[0])
    constant = {
        key: records[0][key]
        for key in keys
        if not isinstance(records[0][key], dict | list)
        and all(equal(item[key], records[0][key]) for item in records)
    }
    shown = [key for key in keys if key not in constant]
    name = _name(shown, records, equals) if len(shown) > 1 else None
    if name is not None:
        shown.sort(key=lambda key: key != name)
    return Shape(label, constant, tuple(shown), named=name is not None)


def _name(keys: Sequence[str], records: Sequence[Record], equals: Equals) -> str | None:
    """The first key whose values tell the *records* apart, if some of these come again."""
    different = equals.distinct(records)
    if len(different) == len(records):
        return None
    for key in keys:
        values = [record[key] for record in different]
        if all(isinstance(value, str) and value for value in values) and len(set(values)) == len(values):
            return key
    return None

"""Telling which parts of JSON values are equal, in time linear in their size."""

from collections.abc import Sequence
from typing import Any

from intendant_compress_structural._loading import same

Record = dict[str, Any]


class Equals:
    """Numbers for the records of values: two have the same number if they are equal, with types."""

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}
        self._records: dict[int, int] = {}
        self._kept: list[Any] = []

    def add(self, value: Any) -> dict[tuple[str, ...], list[Record]]:
        """Number all records in *value*.

        Returns:
            Those of two or more keys, by their keys, in the order of the text.
        """
        self._kept.append(value)  # objects that are gone could leave their `id` to others
        found: dict[tuple[str, ...], list[Record]] = {}
        self._add(value, found)
        return found

    def number(self, record: Record) -> int:
        """The number of *record*, an object of a value that was added."""
        return self._records[id(record)]

    def distinct(self, records: Sequence[Record]) -> list[Record]:
        """*records* without those that are equal to one before them."""
        return list({self.number(record): record for record in reversed(records)}.values())[::-1]

    def _add(self, value: Any, found: dict[tuple[str, ...], list[Record]]) -> int:
        key: Any
        if isinstance(value, dict):
            if len(value) > 1:
                found.setdefault(tuple(value), []).append(value)
            parts: Any = value.values()
            flat = not any(isinstance(part, dict | list) for part in parts)
            key = (dict, repr(value)) if flat else (dict, *value, *[self._add(part, found) for part in parts])
            number = self._records[id(value)] = self._seen.setdefault(key, len(self._seen))
            return number
        if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
            key = (list, *[self._add(part, found) for part in value])
        else:
            # Zero and minus zero are equal, but not written alike.
            key = (type(value), repr(value))
        return self._seen.setdefault(key, len(self._seen))


def equal(one: Any, other: Any) -> bool:
    """True if both are the same value, of the same type."""
    return type(one) is type(other) and one == other and (not isinstance(one, dict | list) or same(one, other))

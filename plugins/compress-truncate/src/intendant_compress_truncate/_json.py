"""JSON cut short, and closed properly."""

import json
import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

MOST_DEPTH = 30
"""Nesting above which content is cut as text."""


def parse(text: str) -> Any:
    """The list or record in *text*; None if it holds none, or one that cannot be written again as it was."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_exact)
    except (ValueError, RecursionError):
        return None


def written(value: Any) -> str:
    """*value* as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Cutter:
    """Cuts a value to a number of tokens.

    Args:
        count: Counts tokens.

    Attributes:
        dropped: How many list items, fields and texts were left out or cut.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self.dropped: Counter[str] = Counter()

    def cut(self, value: Any, limit: int, depth: int = 0) -> Any:
        """*value*, or what of it takes at most about *limit* tokens."""
        if depth > MOST_DEPTH or self._count(written(value)) <= limit:
            return value
        if isinstance(value, list):
            return self._list(value, limit - 2, depth)
        if isinstance(value, dict):
            return self._record(value, limit - 2, depth)
        return self._text(value, limit - 2) if isinstance(value, str) else value

    def _list(self, items: list[Any], limit: int, depth: int) -> list[Any]:
        """The first item of each shape, then the first of all."""
        kept: list[int] = []
        for index in _shapes_first(items):
            size = self._count(written(items[index])) + 1
            if size > limit:
                break
            kept.append(index)
            limit -= size
        self.dropped["list items"] += len(items) - len(kept)
        if not kept and items and isinstance(items[0], dict | list | str) and depth < MOST_DEPTH:
            self.dropped["list items"] -= 1
            return [self.cut(items[0], limit, depth + 1)]
        return [items[index] for index in sorted(kept)]

    def _record(self, record: dict[str, Any], limit: int, depth: int) -> dict[str, Any]:
        sizes = {key: self._count(f"{written(key)}:{written(value)}") + 1 for key, value in record.items()}
        kept: dict[str, Any] = {}
        for key in sorted(sizes, key=sizes.__getitem__):
            names = self._count(written(key)) + 3
            if sizes[key] <= limit:
                kept[key] = record[key]
                limit -= sizes[key]
            elif limit > names and isinstance(record[key], dict | list | str) and depth < MOST_DEPTH:
                kept[key] = self.cut(record[key], limit - names, depth + 1)
                limit = 0
            else:
                self.dropped["fields"] += 1
        return {key: kept[key] for key in record if key in kept}

    def _text(self, text: str, limit: int) -> str:
        self.dropped["parts of texts"] += 1
        return shortened(text, limit, lambda part: self._count(written(part)) - 2)


def _shapes_first(items: list[Any]) -> list[int]:
    """The indexes of *items*, those first that are the first of their type and names."""
    seen: set[object] = set()
    first: list[int] = []
    others: list[int] = []
    for index, item in enumerate(items):
        shape = tuple(item) if isinstance(item, dict) else type(item)
        (others if shape in seen else first).append(index)
        seen.add(shape)
    return [*first, *others]


def shortened(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The longest beginning of *text* that takes at most *limit* tokens, cut between words if it has any."""
    low, high = 0, min(len(text), 12 * max(limit, 0) + 12)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    space = text.rfind(" ", 0, low)
    return text[:low] if low >= len(text) or space < low // 2 else text[:space]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _exact(digits: str) -> float:
    """Refuses figures of which a float would keep less than is written."""
    value = float(digits)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"{digits} is no float")
    return value

"""Reading JSON so strictly that nothing in it is lost."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MOST_DEPTH = 100
"""Nesting above which content is left as it is."""
MAX_TEXT = 8_000_000
"""Characters above which content is left as it is."""
SAFE_DIGITS = 15
"""Digits that every float keeps."""


def loaded(text: str) -> Any:
    """The value of the JSON *text*; None if it is not JSON, is scalar, or holds what would be lost.

    That are doubled keys, figures that a float cannot hold, `NaN` and `Infinity`, and nesting above `MOST_DEPTH`.
    """
    if len(text) > MAX_TEXT or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_exact)
    except (ValueError, RecursionError):
        return None
    return value if _depth(value) <= MOST_DEPTH else None


def compact(value: Any) -> str:
    """*value* as JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def same(one: Any, other: Any) -> bool:
    """Equal with types: 1, 1.0 and true are three values. The order of keys means nothing in JSON."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _exact(digits: str) -> float:
    """Refuses figures of which a float would keep less than is written."""
    value = float(digits)
    if len(digits) <= SAFE_DIGITS and "e" not in digits and "E" not in digits:
        return value
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"{digits} is no float")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """Refuses doubled keys: one of their values would be lost."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key stands twice")
    return record


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level and deepest <= MOST_DEPTH:
        deepest += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    return deepest

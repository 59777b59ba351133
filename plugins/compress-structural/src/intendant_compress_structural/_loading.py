"""Reading JSON so strictly that nothing in it is lost."""

import json
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

MOST_DEPTH = 100
"""Nesting above which content is left as it is."""
MAX_TEXT = 8_000_000
"""Characters above which content is left as it is."""
MOST_DIGITS = 4000
"""Digits of a whole number above which content is left as it is: Python reads none that are much longer."""
_MINUS = re.compile(r"-0(?![.\deE])")
_FIGURE = re.compile(r'"\\u0000(-?\d[\d.eE+-]*)"')


class Figure(str):
    """A figure that Python's numbers would write in another way, such as `1.10`: its digits, after a null."""

    __slots__ = ()

    @property
    def digits(self) -> str:
        """The figure as it was written."""
        return self[1:]


def loaded(text: str) -> Any:
    """The value of the JSON *text*; None if it is not JSON, is scalar, or holds what would be lost.

    That are doubled keys, `NaN` and `Infinity`, nesting above `MOST_DEPTH`, and whole numbers above `MOST_DIGITS`.
    """
    if len(text) > MAX_TEXT or text.lstrip()[:1] not in ("{", "["):
        return None
    whole = integer if "-0" in text and _MINUS.search(text) else None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=figure, parse_int=whole
        )
    except (ValueError, RecursionError):
        return None
    return value if _depth(value) <= MOST_DEPTH else None


def compact(value: Any) -> str:
    """*value* as JSON without spaces."""
    if type(value) is str:
        return encode_basestring(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if type(value) is int:
        return str(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _FIGURE.sub(r"\1", text) if '"\\u0000' in text else text


def same(one: Any, other: Any) -> bool:
    """Equal with types: 1, 1.0 and true are three values. The order of keys means nothing in JSON."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def figure(digits: str) -> float | Figure:
    """A figure that will be written as it was."""
    value = float(digits)
    return value if repr(value) == digits else Figure(f"\0{digits}")


def integer(digits: str) -> int | Figure:
    """A whole number that will be written as it was.

    Raises:
        ValueError: It has too many digits.
    """
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"this number has {len(digits)} digits")
    return Figure(f"\0{digits}") if digits == "-0" else int(digits)


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

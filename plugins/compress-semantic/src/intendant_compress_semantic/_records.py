"""JSON lists of which whole items are kept."""

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Records:
    """A list of JSON items, and what stands around it."""

    before: str
    items: list[str]
    after: str

    def written(self, kept: list[int]) -> str:
        """The JSON with the items *kept* only."""
        return f"{self.before}[{','.join(self.items[index] for index in kept)}]{self.after}"


def records_in(text: str) -> Records | None:
    """The list that *text* is, or the longest that is a field of the record it is; None if there is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_exact)
        if isinstance(value, list):
            return Records("", [_written(item) for item in value], "") if len(value) > 1 else None
        lists = [key for key, item in value.items() if isinstance(item, list) and len(item) > 1]
        if not lists:
            return None
        longest = max(lists, key=lambda key: len(value[key]))
        fields = list(value)
        at = fields.index(longest)
        before = "".join(f"{_written(key)}:{_written(value[key])}," for key in fields[:at])
        after = "".join(f",{_written(key)}:{_written(value[key])}" for key in fields[at + 1 :])
        items = [_written(item) for item in value[longest]]
    except (ValueError, RecursionError):
        return None
    return Records(f"{{{before}{_written(longest)}:", items, f"{after}}}")


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _exact(digits: str) -> float:
    """Refuses figures of which a float would keep less than is written."""
    value = float(digits)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"{digits} is no float")
    return value

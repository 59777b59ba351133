"""Records in a few lines: how many, and what is in each field. Counted, never guessed."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHOWN = 4
"""Values of a field that are named."""
MAX_DEPTH = 3
LONG = 80
"""Mean characters above which a field holds prose, which is summarised by its sentences."""
VALUE = 40
"""Characters of a value that are shown."""
_ID = re.compile(r"(?:^|[._\s-])(?:id|key|number|no|year|zip)$|[a-z]Id$", re.IGNORECASE)
"""Names of fields whose figures are names; a sum of them means nothing."""
NAMING = (
    *("from_address", "from", "sender", "author", "name", "customer", "speaker", "user", "who", "email", "mail"),
    *("title", "subject", "id", "key", "number"),
)
"""Fields by which people call a record, those that say whose it is first."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Record = Mapping[str, Any]


def records_of(material: object, depth: int = 0) -> list[Record] | None:
    """The records in *material*: a list of maps, or the longest such list in a map; else None."""
    if isinstance(material, list):
        return material if material and all(isinstance(item, Mapping) for item in material) else None
    if isinstance(material, Mapping) and depth < MAX_DEPTH:
        lists = [found for value in material.values() if (found := records_of(value, depth + 1)) is not None]
        return max(lists, key=len, default=None)
    return None


def prose_field(records: Sequence[Record]) -> str | None:
    """The field that holds the most prose, if any does."""
    sizes: Counter[str] = Counter()
    for record in records:
        sizes.update({key: len(value) for key, value in record.items() if isinstance(value, str)})
    best = sizes.most_common(1)
    return best[0][0] if best and best[0][1] > LONG * len(records) else None


def names_of(records: Sequence[Record], prose: str) -> list[str]:
    """What to call each record beside its text: what a field says that names records, else its position.

    Args:
        records: The records.
        prose: The field that holds their text.
    """
    if len(records) == 1:
        return [""]
    name = next((name for name in NAMING if name != prose and _names(records, name)), None)
    return [
        f"record {index + 1}" if name is None or not record.get(name) else " ".join(str(record[name]).split())
        for index, record in enumerate(records)
    ]


def _names(records: Sequence[Record], name: str) -> bool:
    """True if a field tells most of the records apart from others, in a few words."""
    values = [str(record[name]) for record in records if isinstance(record.get(name), str | int)]
    return len(values) > len(records) // 2 and all(len(value) <= LONG for value in values)


def digest(records: Sequence[Record]) -> list[str]:
    """One line for the whole, then one for each field, the fullest fields first."""
    columns = _columns(records)
    names = sorted(columns, key=lambda name: -len(columns[name]))
    whole = "1 record" if len(records) == 1 else f"{len(records)} records"
    return [f"{whole} with {len(names)} fields", *(_field(name, columns[name], len(records)) for name in names)]


def _columns(records: Sequence[Record]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for record in records:
        for name, value in _flat(record, "", 0):
            columns.setdefault(name, []).append(value)
    return {name: values for name, values in columns.items() if values}


def _flat(record: Record, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            yield from _flat(value, f"{name}.", depth + 1)
        elif isinstance(value, list):
            yield f"{name} (items)", len(value)
        elif value is not None and value != "":
            yield name, value


def _field(name: str, values: Sequence[Any], total: int) -> str:
    missing = f", missing in {total - len(values)}" if len(values) < total else ""
    return f"{name}: {_what(values, is_id=bool(_ID.search(name)))}{missing}"


def _what(values: Sequence[Any], *, is_id: bool) -> str:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _figures(values, summed=not is_id)
    texts = [_shown(value) for value in values]
    if all(_DATE.match(text) for text in texts):
        return texts[0] if len(set(texts)) == 1 else f"{min(texts)} to {max(texts)}"
    counts = Counter(texts)
    if len(counts) == 1:
        return f"{texts[0]} in all" if len(texts) > 1 else texts[0]
    if len(counts) == len(texts) and len(texts) > SHOWN:
        return f"{len(counts)} different values, such as {', '.join(texts[:2])}"
    top = ", ".join(f"{text} {times}" for text, times in counts.most_common(SHOWN))
    rest = len(counts) - SHOWN
    return f"{top}, {rest} other value{'s' if rest > 1 else ''}" if rest > 0 else top


def _figures(values: Sequence[float], *, summed: bool) -> str:
    low, high = min(values), max(values)
    if low == high:
        return f"{_number(low)} in all" if len(values) > 1 else _number(low)
    if not summed:
        return f"{_number(low)} to {_number(high)}, {len(set(values))} different"
    try:
        total = sum(values)
        mean = total / len(values)
    except OverflowError:
        mean = math.inf
    if not math.isfinite(mean):  # beyond what a double can hold
        return f"{_number(low)} to {_number(high)}"
    return f"{_number(low)} to {_number(high)}, sum {_number(total)}, mean {_number(mean)}"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else f"{value:g}"  # noqa: PLR2004


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(str(value).split())
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"

"""What pydantic finds wrong, in plain words: what a value has to be, and what it is."""

import json
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from intendant.model.source import Path

SHOWN = 60
"""Characters of a value that a message shows."""
KINDS = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), "a map: {key: value}"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "a list"),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "finite_number": "a number that is not infinite",
    "none_required": "null",
}
"""What a value has to be, by pydantic's word for the fault."""
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
_SIZES = {
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "too_short": "must have at least {min_length} elements, not {actual_length}",
    "too_long": "may have at most {max_length} elements, not {actual_length}",
}
Show = Callable[[Any], str]
"""How a value is shown in a message."""
_QUOTED = re.compile(r"'([^']*)'")


def shown(value: Any) -> str:
    """A value of a file, short, in a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def named(path: Path) -> str:
    """The last name of a path, with the place in a list where it ends in one."""
    return f"{path[-2]}[{path[-1]}]" if isinstance(path[-1], int) and len(path) > 1 else str(path[-1])


def wanted(item: Any) -> str | None:
    """What a value has to be, such as `a list`; None where the fault says something else."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return str(context.get("expected", "")) or None
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return KINDS.get(kind)


def kind_of(value: Any) -> str:
    """What kind of value it is, where the value itself must not be told."""
    names = {dict: "a map", list: "a list", str: "this text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "this")


def fault_text(item: Any, show: Show = shown) -> str:
    """What is wrong with a value, in a sentence without a subject.

    Args:
        item: One of `ValidationError.errors()` of pydantic.
        show: How the value is shown.
    """
    kind, context = item["type"], item.get("ctx", {})
    if (want := wanted(item)) is not None:
        return f"must be {want}, not {show(item['input'])}"
    if kind in _SIZES:
        return _SIZES[kind].format(**context)
    if kind == "string_pattern_mismatch":
        return f"{show(item['input'])} does not match {context.get('pattern', 'its pattern')}"
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


def told_of(items: Sequence[Any], path: Path, show: Show = shown) -> str:
    """What pydantic found wrong with one value, in a sentence that names it.

    Args:
        items: Its faults: several where the value may have one of several forms, and has none.
        path: Where it stands.
        show: How the value is shown.
    """
    first = items[0]
    if first["type"] == "missing":
        return f"'{path[-1]}' is missing"
    wants = list(dict.fromkeys(filter(None, map(wanted, items))))
    if len(items) > 1 and len(wants) > 1:
        text = f"must be {' or '.join(wants)}, not {show(first['input'])}"
    else:
        text = fault_text(first, show)
    return f"{named(path)}: {text}" if path else text


def hint_of(item: Any) -> str:
    """Which of the admitted words was meant; empty if none is near."""
    if item["type"] not in ("literal_error", "enum") or not isinstance(item["input"], str):
        return ""
    close = get_close_matches(item["input"], _QUOTED.findall(str(item.get("ctx", {}).get("expected", ""))), n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def grouped(items: Sequence[Any], paths: Sequence[Path]) -> dict[Path, list[Any]]:
    """Faults by the value that they are about.

    Where a value may have several forms, and has one with something wrong inside, that is told and not that it
    has not the others.
    """
    found: dict[Path, list[Any]] = {}
    for item, path in zip(items, paths, strict=True):
        found.setdefault(path, []).append(item)
    inner = {path[:length] for path in found for length in range(len(path))}
    return {
        path: faults
        for path, faults in found.items()
        if path not in inner or any(wanted(item) is None for item in faults)
    }


def names_at(model: type[BaseModel], path: Path) -> list[str]:
    """The names that are known where the last part of *path* stands, within parameters of this model."""
    models: list[type[BaseModel]] = [model]
    for part in path[:-1]:
        annotations: list[Any] = []
        for known in models:
            fields = {field.alias or name: field for name, field in known.model_fields.items()}
            annotations += [fields[part].annotation] if part in fields else []
        if annotations:  # else it is a place in a list, or a key of a map
            models = [found for annotation in annotations for found in _models_in(annotation)]
    return [field.alias or name for known in models for name, field in known.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation is made of, such as those of `dict[str, A | B]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]

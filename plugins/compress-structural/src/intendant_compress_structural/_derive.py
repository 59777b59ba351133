"""Texts that follow from others of their record, such as addresses with a name in them. Only for `dense` forms.

A column is said as `https://api.example.org/users/{login}/orgs`, and its cells not at all, where that gives every
cell; or as `https://api.example.org/{}`, and its cells by what stands for `{}`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from intendant_compress_structural._loading import Figure

LEAST_TEXT = 8
"""Characters of a text that is derived, or of what texts begin and end with."""
LEAST_SOURCE = 2
MOST_SOURCES = 3
"""Columns that are tried for one text."""
_SLOT = re.compile(r"\{([\w.-]*)\}")


def templates(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """What gives the texts of columns, by their names: those for which there is such a thing.

    Args:
        columns: Their values, as many for each; all are there.
    """
    plain = {name: texts for name, values in columns.items() if (texts := _texts(values)) is not None}
    found: dict[str, str] = {}
    used: set[str] = set()
    for name, values in columns.items():
        if name in used or not all(type(value) is str and len(value) >= LEAST_TEXT for value in values):
            continue
        sources = [
            other for other in plain if other != name and other not in found and plain[other][0] in values[0]
        ]
        sources.sort(key=lambda other: -len(plain[other][0]))
        template = _from_others(name, values, plain, sources[:MOST_SOURCES]) or _around(values)
        if template is not None:
            found[name] = template
            used.update(_SLOT.findall(template))
    return found


def fill(template: str, values: Mapping[str, Any], own: Any) -> str:
    """The text that *template* gives.

    Args:
        template: See `templates`.
        values: Of the other columns.
        own: What stands for `{}`.
    """

    def part(found: re.Match[str]) -> str:
        if not found[1]:
            return str(own)
        return str(values[found[1]]) if found[1] in values else found[0]

    return _SLOT.sub(part, template)


def rest(template: str, value: str) -> str:
    """What stands for `{}` in *template*, for it to give *value*."""
    begin, _, end = template.partition("{}")
    return value[len(begin) : len(value) - len(end)]


def _texts(values: Sequence[Any]) -> list[str] | None:
    if not all(type(value) in (str, int) for value in values):
        return None
    texts = [str(value) for value in values]
    return texts if all(len(text) >= LEAST_SOURCE for text in texts) else None


def _from_others(
    name: str, values: Sequence[str], plain: Mapping[str, Sequence[str]], sources: Sequence[str]
) -> str | None:
    """What gives all *values* from other columns."""
    for source in sources:
        template = values[0].replace(plain[source][0], f"{{{source}}}")
        for other in sources:
            if other != source and plain[other][0] not in plain[source][0]:
                template = template.replace(plain[other][0], f"{{{other}}}")
        names = {slot for slot in _SLOT.findall(template) if slot in plain}
        if name not in names and all(
            fill(template, {slot: plain[slot][at] for slot in names}, "") == value
            for at, value in enumerate(values)
        ):
            return template
    return None


def _around(values: Sequence[str]) -> str | None:
    """What all *values* begin and end with."""
    if len(values) < 2 or isinstance(values[0], Figure):  # noqa: PLR2004
        return None
    begin = _common(values)
    end = _common([value[len(begin) :][::-1] for value in values])[::-1]
    if len(begin) + len(end) < LEAST_TEXT or _SLOT.search(begin + end):
        return None
    return f"{begin}{{}}{end}"


def _common(values: Sequence[str]) -> str:
    """What all *values* begin with."""
    low, high = min(values), max(values)
    return low[: next((at for at, letter in enumerate(low) if letter != high[at]), len(low))]

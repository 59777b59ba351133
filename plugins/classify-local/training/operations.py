"""Rows of training from apps and their operations, as `machinery.toml` has them under `apps`."""

import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from wording import Row, Step, filled, lines, parted, row

_PLATFORMS = 6
_LIKELY, _NUMBERED, _UNDERSCORED = 5, 4, 3
"""How many times a name made of the app counts against each of those that say nothing."""


def operations(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Each operation of each app in the steps of its family, spread over some platforms."""
    number = 0
    for family in table["families"]:
        for gold, entries in lines(family["names"]):
            for entry in entries:
                for template, step in _steps(entry, family["steps"], table, draw):
                    platform = f"{family['platform']}{number % _PLATFORMS}"
                    alt = family.get("alt", {}).get(gold)
                    yield row(platform, gold, template["weight"], family["difficulty"], step, alt)
                    number += 1


def _steps(
    entry: str, templates: list[dict[str, Any]], table: Mapping[str, Any], draw: random.Random
) -> Iterator[tuple[Mapping[str, Any], Step]]:
    """The templates, filled for each operation of `app:operation,operation`, or for an app without any."""
    app, _, operations = entry.partition(":")
    for operation in operations.split(","):
        words = {"app": app, "operation": operation, "last": operation or app}
        for template in templates:
            step: Step = {"name": _named(template["name"], entry, words, table, draw)}
            for key, value in template.items():
                told = filled(value, words) if isinstance(value, str) else deepcopy(value)
                if key not in ("name", "weight") and told:
                    step[key] = told
            yield template, step


def _named(how: str, entry: str, words: Mapping[str, str], table: Mapping[str, Any], draw: random.Random) -> str:
    """A name of a step: made of the app or its operation, saying nothing, or misleading."""
    nothing: list[str] = table["neutral"]
    app, operation = parted(words["app"]), parted(words["operation"])
    if how == "titled":
        return parted(entry).title()
    if how in ("written", "trigger"):
        numbered = f"{app.title()}{draw.randint(1, 3)}"
        name = draw.choice(nothing + [app.capitalize()] * _LIKELY + [numbered] * _NUMBERED)
        return name + draw.choice(["", " Trigger"]) if how == "trigger" else name
    choices: dict[str, list[str]] = {
        "neutral": nothing,
        "misleading": table["misleading"],
        "any": table["misleading"] + nothing,
        "operation": [words["operation"], operation.title()],
        "underscored": [operation.replace(" ", "_")] * _UNDERSCORED + nothing,
    }
    return draw.choice(choices[how])

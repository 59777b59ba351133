"""Rows of training from the names in `machinery.toml`, `world.toml` and `exports.toml`: what platforms call their
steps, put as exports would.

The steps have no `id` yet; `material.py` numbers them. All draws of a table come from one `random.Random` with the
table's seed, so the same file gives the same rows in the same order.
"""

import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from operations import operations
from wording import STYLES, Row, Step, lines, parted, put, row, snake, spaced, written

TABLES = tuple(Path(__file__).parent / name for name in ("machinery.toml", "world.toml", "exports.toml"))
_KINDS_OF_TYPES = 6
"""Over how many platforms plain types and functions are spread, so that some are left out when it is measured."""
_KINDS_OF_OPERATIONS = 9
"""The same for what makers' types look like elsewhere."""
_CARRIERS_EACH = 4
_MISLEADING_EACH = 3
_MISLED = 0.3
_LIKELY = 6
"""How many times the words of an operation count against each of the names that say nothing."""


@cache
def tables() -> dict[str, Any]:
    """What the tables say."""
    return {name: table for path in TABLES for name, table in tomllib.loads(path.read_text("utf-8")).items()}


def machinery(name: str) -> list[Row]:
    """The rows of the table *name*; KeyError if there is none."""
    table = {**{key: tables()[key] for key in ("neutral", "misleading")}, **tables()[name]}
    shapes = {"types": _types, "makers": _makers, "functions": _functions, "apps": operations, "steps": _steps}
    return list(shapes[table["shape"]](table, random.Random(table["seed"])))  # noqa: S311 - not for secrets


def _types(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Each type as it is, in a package, and in one of five other ways."""
    names = ((gold, name) for gold, many in lines(table["names"]) for name in many)
    for place, (gold, name) in enumerate(names):
        packed = draw.choice(table["packages"]).format(name)
        other = draw.choice(
            [
                {"type": snake(name)},
                {"type": spaced(name).lower()},
                {"type": "action", "plugin": name},
                {"type": "task", "action": snake(name)},
                {"type": "action", "plugin": "acme", "action": snake(name)},
            ]
        )
        for shape, kind in enumerate(({"type": name}, {"type": packed}, other)):
            called = draw.choice(table["neutral"]) if draw.random() < table["said_nothing"] else spaced(name)
            platform = f"{table['platform']}{(place + shape * 2) % _KINDS_OF_TYPES}"
            yield row(platform, gold, table["weight"], "easy", {"name": called, **kind})


def _makers(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Each type of a maker as the maker writes it and as an app's operation, then types under misleading names."""
    number = 0
    tasks = table.get("tasks", {})
    for head, names in lines(table["names"]):
        maker, gold = head.split()
        for name in names:
            number += 1
            own, spread = f"{table['platform']}{maker}", f"{table['spread']}{number % _KINDS_OF_OPERATIONS}"
            if maker in tasks:
                difficulty, weights = "medium", (table["weights"][0], table["weights"][2])
                steps = _task(name, tasks[maker], table["wrapped"].get(maker), draw, odd=bool(number % 2))
            else:
                difficulty, weights = "easy", table["weights"]
                steps = _exported(name, gold, table, draw)
            for platform, weight, step in zip((own, spread), weights, steps, strict=False):
                yield row(platform, gold, weight, difficulty, step)
    yield from _contradicted(table, draw)


def _exported(name: str, gold: str, table: Mapping[str, Any], draw: random.Random) -> tuple[Step, Step]:
    """A type under a name that says nothing or something else, and as app and operation."""
    misled = table["misled"]
    often = misled["often"] if gold in misled["in"] else misled["seldom"]
    first = {"name": draw.choice(table["misleading" if draw.random() < often else "neutral"]), "type": name}
    bare = name.partition("@")[0] if table.get("apps_by_path") else name
    parts = re.split(r"[:./]+", bare)
    called = draw.choice(table["neutral"] + [parted(parts[-1])] * _LIKELY)
    if table.get("apps_by_path") and "/" in name:
        kind = {"type": "action", "plugin": bare}
    elif len(parts) > 1:
        kind = {"type": draw.choice(table["called"]), "plugin": parts[-2], "action": parts[-1]}
    else:
        kind = {"type": draw.choice(table["plain"]), draw.choice(["plugin", "action"]): name}
    return first, {"name": called, **kind}


def _task(
    name: str, kinds: list[str], wrapped: Mapping[str, Any] | None, draw: random.Random, *, odd: bool
) -> tuple[Step, Step]:
    """A task of a name of its own; every other one by the wrapper it uses, where the maker has such."""
    kind = draw.choice(kinds)
    first: Step = {"name": name} | ({"type": kind} if kind else {})
    if wrapped and odd:
        first = {"name": draw.choice([*wrapped["called"], name.rpartition("_")[2]]), "type": wrapped["type"]}
        first["plugin"] = wrapped["prefix"] + name.replace("_", "/", 1)
    kind = draw.choice(kinds)
    words = name.replace("_", " ").replace("-", " ")
    return first, {"name": words} | ({"type": kind} if kind else {})


def _contradicted(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Types of control and steps, each under names that say other work."""
    number = 0
    for gold, names in table.get("contradicted", {}).items():
        for name in names:
            for said in draw.sample(table["misleading"], _MISLEADING_EACH):
                called = said if number % 2 else said.replace(" ", "_")
                platform = f"mis{number % _KINDS_OF_TYPES}"
                yield row(platform, gold, table["weights"][2], "easy", {"name": called, "type": name})
                number += 1


def _functions(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Each verb with its object, in four of the ways platforms run a function, written in one of five styles."""
    number = 0
    for gold, names in lines(table["names"]):
        for name in names:
            words = written(name.replace(":", "_"))
            alt = "transform" if gold == "none" and name.startswith("set:") else None
            for carrier in draw.sample(table["carriers"], _CARRIERS_EACH):
                step: Step = {"name": words[draw.choice(STYLES)], **put(carrier, words)}
                if draw.random() < table.get("said_nothing", 0):
                    step["name"] = draw.choice(table["neutral"])
                platform = f"{table['platform']}{number % _KINDS_OF_TYPES}"
                yield row(platform, gold, table["weight"], "medium", step, alt)
                number += 1


def _steps(table: Mapping[str, Any], draw: random.Random) -> Iterator[Row]:
    """Each text (a prompt, code, a request) in some of the steps that carry such, under names that say little."""
    for number, (gold, alt, text) in enumerate(table["names"]):
        first, _, rest = text.partition(" ")
        for carrier in draw.sample(table["carriers"], min(_CARRIERS_EACH, len(table["carriers"]))):
            called = table["misleading"] if draw.random() < _MISLED else table["neutral"]
            step = {"name": draw.choice(called), **put(carrier, {"text": text, "first": first, "rest": rest})}
            platform = f"{table['platform']}{number % _KINDS_OF_TYPES}"
            yield row(platform, gold, table["weight"], table["difficulty"], step, alt or None)

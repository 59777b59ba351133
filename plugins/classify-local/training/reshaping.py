"""The same steps in other shapes: what is learned of them shall not hang on how one platform writes them."""

import re
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
USUAL = ("action", "ai_processing", "conditional", "code", "trigger")
_ARTICLES = frozenset(
    ("the", "a", "an", "of", "to", "for", "with", "in", "and", "all", "each", "every", "from", "into", "by")
)
_MOST_WORDS = 6
CARRIERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"type": "PythonOperator"}, "python_callable"),
    ({"type": "function"}, ""),
    ({"type": "action", "plugin": "lambda", "action": "invoke"}, "FunctionName"),
    ({"type": "code"}, ""),
    ({"type": "serviceTask"}, ""),
    ({"type": "task"}, "function"),
    ({"type": "SIMPLE"}, ""),
    ({"type": "script"}, "path"),
    ({"type": "node"}, "function"),
    ({"type": "activity"}, ""),
    ({"type": "op"}, ""),
    ({"type": "job"}, ""),
)
"""Kinds of steps that run something by its name, and the parameter that names it."""
CARRIED = 0.35
"""What a step counts that is put as a function of that name."""
_LONGEST_NAME = 4


def carried(rows: Sequence[Row]) -> list[Row]:
    """Steps that only say what is to be done, put as a function, script or job of that name."""
    found = []
    for row in rows:
        step = row["step"]
        if not row.get("invented") or set(step) - {"id", "name", "description", "input"} or not step.get("name"):
            continue
        words = [word for word in re.findall(r"[A-Za-z]+", step["name"]) if word.lower() not in _ARTICLES]
        if not 1 < len(words) <= _MOST_WORDS or not step["name"].isascii():
            continue
        carrier, key = CARRIERS[sum(map(ord, step["name"])) % len(CARRIERS)]
        name = "_".join(words[:_LONGEST_NAME]).lower()
        put = {**carrier, "name": name, **({"params": {key: name}} if key else {})}
        found.append({**row, "step": put, "weight": CARRIED * float(row.get("weight", 1))})
    return found


def restated(rows: Sequence[Row]) -> list[Row]:
    """The same steps as another platform's export would put them: what is a type here is an app there."""
    found = []
    for row in rows:
        step = row["step"]
        kind, plugin, action = step.get("type", ""), step.get("plugin"), step.get("action")
        rest = {key: value for key, value in step.items() if key not in ("type", "plugin", "action")}
        if kind == "ai_processing" and step.get("prompt"):
            found.append({**row, "step": {"name": step.get("name", ""), "prompt": step["prompt"]}})
        if not row.get("invented"):
            continue
        if kind and not plugin and kind not in USUAL:
            found.append({**row, "step": {**rest, "type": "action", "plugin": kind}})
        elif plugin and action and kind in ("action", "ai_processing", "conditional"):
            found.append({**row, "step": {**rest, "type": f"{plugin}.{action}"}})
    return found

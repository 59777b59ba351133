"""Events in words: what happened, and why something was refused."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from intendant_dashboard._desk import money, whole, words

REFUSALS = (
    "budget_exceeded",
    "limit_watched",
    "call_degraded",
    "delivery_refused",
    "step_failed",
    "step_retried",
    "approval_decided",
)
"""Events that say why something was not done, or done otherwise than planned."""
COMMON = frozenset({"type", "run_id", "step_id", "at", "severity", "call", "key", "price_version"})
"""Fields that say nothing to people, or that stand beside."""
LINE = 60
"""Characters of a value that fit into a line."""
ADVICE = {
    "budget_exceeded": "raise the budget of the workflow or the standing limit, or let the step take less",
    "limit_watched": "the limit is only watched: `enforce` it to refuse such calls",
    "step_failed": "mend the cause, then resume the run; what is done is not done again",
}


def read(row: Any) -> dict[str, Any]:
    """An event of the journal, with its JSON parsed."""
    data = json.loads(row.data)
    return {**row._asdict(), "data": data, "said": said(data), "why": why(data)}


def said(event: Mapping[str, Any]) -> str:
    """What is particular about an event, in a line."""
    return " · ".join(_pairs(event, 10))


def _pairs(values: Mapping[str, Any], most: int) -> list[str]:
    told: list[str] = []
    for name, value in values.items():
        if name in COMMON or value in (None, "", 0, False, [], {}):
            continue
        if isinstance(value, dict) and name not in ("settings", "flags"):
            told += _pairs(value, 4)
        elif "micro_usd" in name and isinstance(value, int):
            told.append(f"{words(name.replace('micro_usd', '')).strip() or 'cost'} {money(value)}")
        else:
            told.append(f"{words(name)} {_short(value)}")
    return told[:most]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return whole(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def why(event: Mapping[str, Any]) -> str:
    """Why something was refused, failed or changed, in a sentence; empty for other events."""
    tell = _WHY.get(str(event.get("type")))
    return "" if tell is None else tell(event)


def _exceeded(event: Mapping[str, Any]) -> str:
    unit = str(event.get("unit", ""))
    amount = money if "usd" in unit or "micro" in unit else whole
    name = "" if amount is money else f" {unit}"
    asked, left = amount(event.get("asked", 0)), amount(event.get("left", 0))
    return f"The budget {event.get('scope')} had {left}{name} left; the call may have taken {asked}{name}."


def _degraded(event: Mapping[str, Any]) -> str:
    how = words(str(event.get("how")))
    change = f"{event.get('before')} → {event.get('after')}"
    return f"Sent otherwise than planned ({how}): {change}. {event.get('reason')}"


def _failed(event: Mapping[str, Any]) -> str:
    failure = event.get("failure") or {}
    said = [str(failure.get("message") or "It failed"), str(failure.get("hint") or "")]
    # Messages and hints are written to stand in lines of their own.
    return " ".join(f"{each[0].upper()}{each[1:].rstrip('.')}." for each in said if each)


_WHY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "budget_exceeded": _exceeded,
    "limit_watched": lambda event: f"A watched limit would not have admitted the call: {said(event)}.",
    "call_degraded": _degraded,
    "step_failed": _failed,
    "step_retried": _failed,
    "delivery_refused": lambda event: f"{event.get('operation')} changed nothing: it was refused, or not sent.",
    "approval_decided": lambda event: f"A person decided: {said(event)}.",
}

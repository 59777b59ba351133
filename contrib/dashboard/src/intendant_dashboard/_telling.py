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
COMMON = frozenset({"type", "run_id", "step_id", "at", "severity", "schema_version"})
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
    told = [f"{words(name)} {_short(value)}" for name, value in event.items() if name not in COMMON and _is(value)]
    return " · ".join(told[:8])


def _is(value: Any) -> bool:
    return value not in (None, "", 0, 0.0, False, [], {})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004  # what fits into a line


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
    hint = f" {failure['hint']}" if failure.get("hint") else ""
    return f"{failure.get('message', 'It failed')}{hint}"


_WHY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "budget_exceeded": _exceeded,
    "limit_watched": lambda event: f"A watched limit would not have admitted the call: {said(event)}.",
    "call_degraded": _degraded,
    "step_failed": _failed,
    "step_retried": _failed,
    "delivery_refused": lambda event: f"{event.get('operation')} changed nothing: it was refused, or not sent.",
    "approval_decided": lambda event: f"A person decided: {said(event)}.",
}

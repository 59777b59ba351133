"""Why a step was classified as it was, in words that a user understands."""

from collections.abc import Sequence

from intendant import Signal
from intendant_classify_local._features import BARE
from intendant_classify_local._model import NONE, Model
from intendant_classify_local._view import StepView

MEANINGS = {
    "extract": "gets data",
    "summarize": "makes content shorter",
    "generate": "creates something new",
    "validate": "checks something",
    "send": "delivers or writes",
    "transform": "changes the form of data",
    "conditional": "chooses a branch",
    "aggregate": "brings data together",
    "filter": "keeps a part",
    "enrich": "adds to what is there",
    NONE: "is no work by itself",
}
_SOURCES = {
    "k": "type", "ke": "type", "kt": "type", "m": "type", "l": "app", "le": "app", "lt": "app", "c": "app", "cd": "app",
    "a": "operation", "ae": "operation", "at": "operation", "o": "operation", "ow": "operation", "co": "operation",
    "mo": "operation", "o2": "choice", "m+o2": "choice", "h": "http", "u": "http", "s": "sql", "x": "code", "xs": "code",
    "y": "keys", "z": "keys", "yk": "keys", "m+yk": "keys", "cd+yk": "keys", "d0": "description", "d1": "description",
    "dt": "description", "routes": "routes",
}  # fmt: skip
_WORTH_TELLING = 0.25


def signals(view: StepView, found: Sequence[str], model: Model, best: str, second: str) -> tuple[Signal, ...]:
    """The two to four reasons that counted most, for *best* first; then what spoke for *second*, if it was strong."""
    first, other = model.intents.index(best), model.intents.index(second)
    sums: dict[str, float] = {}
    for name in found:
        if row := model.weights.get(name):
            source = _source(name)
            sums[source] = sums.get(source, 0.0) + row[first] - row[other]
    nameless = not (view.kind or view.plugin or view.action)
    silent = ("", "type", "app", "operation") if nameless else ("",)
    ranked = sorted(((weight, source) for source, weight in sums.items() if source not in silent), reverse=True)
    told = [(weight, source, best) for weight, source in ranked[:3] if weight > _WORTH_TELLING] or [
        (weight, source, best) for weight, source in ranked[:1] if weight > 0
    ]
    if ranked and ranked[-1][0] < -2 * _WORTH_TELLING:
        told.append((-ranked[-1][0], ranked[-1][1], second))
    return tuple(
        Signal(text=f"{_said(source, view)} {MEANINGS[intent]}", intent=intent, weight=round(weight, 2))
        for weight, source, intent in told
    )


def _source(feature: str) -> str:
    kind = feature.removeprefix(BARE).partition(":")[0]
    if kind in _SOURCES:
        return _SOURCES[kind]
    if kind.startswith("n") or kind.startswith("m+n"):
        return "name"
    if kind.startswith(("q", "p", "r", "m+p")):
        return "prompt" if feature.removeprefix(BARE) not in ("p:none", "p:some", "p1:none") else ""
    return "http" if kind.startswith("h+") else ""


def _said(source: str, view: StepView) -> str:
    """The subject of a sentence about that source."""
    match source:
        case "type":
            return f"the type '{_short(view.kind or view.plugin or view.action)}'"
        case "app":
            return f"what uses '{_short(view.plugin or view.kind or view.action)}' mostly"
        case "operation":
            return f"the operation '{_short(view.action or view.plugin or view.kind)}'"
        case "name":
            return f"a step named '{_short(view.name)}'"
        case "prompt":
            return f"the prompt '{_short(view.prompt)}'"
        case "http":
            return f"a {view.method or 'HTTP'} request{' to ' + _short(view.url) if view.url else ''}"
        case "sql":
            return f"the SQL '{_short(view.sql)}'"
        case "code":
            return "the code"
        case "keys" | "choice":
            return f"the parameters ({', '.join(list(view.params)[:3])}): it"
        case "description":
            return f"the description '{_short(view.description)}'"
        case _:
            return "a step that others branch on"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"  # noqa: PLR2004  # fits a terminal's line

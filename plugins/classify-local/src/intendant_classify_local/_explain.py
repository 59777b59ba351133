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
    kind: source
    for source, kinds in {
        "type": "k ke kt m",
        "app": "l le lt c cd",
        "operation": "a ae at o ow co mo",
        "choice": "o2 m+o2",
        "http": "h u",
        "sql": "s",
        "code": "x xs",
        "keys": "y z yk m+yk cd+yk",
        "description": "d0 d1 dt",
    }.items()
    for kind in kinds.split()
}
"""What a feature is about, by how its name begins."""
_WORTH_TELLING = 0.25
_SHOWN = 40
"""Characters of a text that are shown; the sentence then fits a terminal's line."""


def signals(view: StepView, found: Sequence[str], model: Model, best: str, second: str) -> tuple[Signal, ...]:
    """The reasons that counted most, at most four: for *best* first, then what spoke strongly for *second*."""
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
    name = feature.removeprefix(BARE)
    kind = name.partition(":")[0]
    if kind in _SOURCES:
        return _SOURCES[kind]
    if kind.startswith(("n", "m+n")):
        return "name"
    if kind.startswith("h+"):
        return "http"
    said = kind.startswith(("q", "p", "r", "m+p")) and name not in ("p:none", "p:some", "p1:none")
    return "prompt" if said else ""


def _said(source: str, view: StepView) -> str:
    """The subject of a sentence about that source."""
    return {
        "type": f"the type '{_short(view.kind or view.plugin or view.action)}'",
        "app": f"what uses '{_short(view.plugin or view.kind or view.action)}' mostly",
        "operation": f"the operation '{_short(view.action or view.plugin or view.kind)}'",
        "name": f"a step named '{_short(view.name)}'",
        "prompt": f"the prompt '{_short(view.prompt)}'",
        "http": f"a {view.method or 'HTTP'} request{' to ' + _short(view.url) if view.url else ''}",
        "sql": f"the SQL '{_short(view.sql)}'",
        "code": "the code",
        "keys": f"what has the parameters {', '.join(list(view.params)[:3])}",
        "choice": f"what has the parameters {', '.join(list(view.params)[:3])}",
        "description": f"the description '{_short(view.description)}'",
    }[source]


def _short(text: str) -> str:
    line = " ".join(text[:80].split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

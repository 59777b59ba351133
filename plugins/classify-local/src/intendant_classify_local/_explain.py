"""Why a step was classified as it was, in words that a user understands."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from intendant.plugin import Signal
from intendant_classify_local._features import BARE, is_plain
from intendant_classify_local._model import NONE, Known, Model
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
        "type": "k ke kt kh kb khg kx m gk gm gml",
        "app": "l le lt lh lb lhg lx c cd gl",
        "operation": "a ae at ah ab ahg ax o ow co mo ga gaf",
        "choice": "o2 m+o2",
        "http": "h u",
        "sql": "s",
        "code": "x xs xd xl xz m+xz",
        "keys": "y z yk m+yk cd+yk m+y gy gv",
        "callee": "f f1 m+f1 gf",
        "output": "os ot go",
        "description": "d0 d1 dt do gd",
        "name": "gn gnf gnl",
        "prompt": "gp",
    }.items()
    for kind in kinds.split()
}
"""What a feature is about, by how its name begins."""
_FILLED_IN = re.compile(r"\{\{.*?\}\}|\$\{.*?\}|<[^<>]{1,40}>", re.DOTALL)
_WORTH_TELLING = 0.25
_SHOWN = 40
"""Characters of a text that are shown; the sentence then fits a terminal's line."""


def signals(view: StepView, found: Sequence[Known], model: Model, best: str, second: str) -> tuple[Signal, ...]:
    """The reasons that counted most, at most four: for *best* first, then what spoke strongly for *second*.

    Args:
        view: The step.
        found: What the model knows of its features.
        model: The model.
        best: The label that it is.
        second: The next one.
    """
    first, other = model.intents.index(best), model.intents.index(second)
    against: dict[str, int] = defaultdict(int)
    for _, name, row in found:
        against[_source(name)] += row[first] - row[other]
    sums = _shown_sums(view, against, model.unit)
    ranked = sorted(((weight, source) for source, weight in sums.items() if source), reverse=True)
    told = [(weight, source, best) for weight, source in ranked[:3] if weight > _WORTH_TELLING] or [
        (weight, source, best) for weight, source in ranked[:1] if weight > 0
    ]
    if not told:
        # All speaks a little more for the second; what spoke most for the best is still a reason.
        alone: dict[str, int] = defaultdict(int)
        for _, name, row in found:
            alone[_source(name)] += row[first]
        said = _shown_sums(view, alone, model.unit)
        strongest = max(((weight, source) for source, weight in said.items() if source), default=(0.0, ""))
        told = [(*strongest, best)] if strongest[0] > 0 else []
    if ranked and ranked[-1][0] < -2 * _WORTH_TELLING:
        told.append((-ranked[-1][0], ranked[-1][1], second))
    return tuple(
        Signal(text=f"{_SUBJECTS[source](view)} {MEANINGS[intent]}", intent=intent, weight=round(weight, 2))
        for weight, source, intent in told
    )


def _shown_sums(view: StepView, units: Mapping[str, int], unit: float) -> dict[str, float]:
    """What each source says, by where the user finds it."""
    sums: dict[str, float] = {}
    for source, value in units.items():
        where = _shown(source, view)
        sums[where] = sums.get(where, 0.0) + unit * value
    return sums


def _shown(source: str, view: StepView) -> str:
    """Where the user finds what *source* is about: an app's name may tell the operation, a type's name the app."""
    if source in ("keys", "choice") and not view.params:
        return ""
    if source not in ("type", "app", "operation"):
        return source
    if source == "operation" and view.action:
        return source
    if view.plugin and (source != "type" or is_plain(view.kind)):
        return "app"
    if view.kind and not is_plain(view.kind):
        return "type"
    return "app" if view.plugin else "operation" if view.action else ""


@lru_cache(16384)
def _source(feature: str) -> str:
    kind, _, value = feature.removeprefix(BARE).partition(":")
    return "" if value == "none" and kind.startswith("p") else _source_of(kind)


def _source_of(kind: str) -> str:
    if kind in _SOURCES:
        return _SOURCES[kind]
    if kind.startswith(("n", "m+n")):
        return "name"
    if kind.startswith("h+"):
        return "http"
    return "prompt" if kind != "p" and kind.startswith(("q", "p", "r", "m+p")) else ""


def _short(text: str) -> str:
    line = " ".join(text[:80].split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _asked(prompt: str) -> str:
    """A prompt's first words that are not filled in."""
    return _short(_FILLED_IN.sub(" ", prompt[:600]).strip("= \n#*'\"`") or prompt)


def _parameters(view: StepView) -> str:
    names = ", ".join(_short(key) for key in list(view.params)[:3])
    return f"a step with {names} mostly"


def _request(view: StepView) -> str:
    return (
        f"a{' ' + view.method if view.method else 'n HTTP'} request{' to ' + _short(view.url) if view.url else ''}"
    )


_SUBJECTS: dict[str, Callable[[StepView], str]] = {
    "type": lambda view: f"the type '{_short(view.kind)}'",
    "app": lambda view: f"what uses '{_short(view.plugin)}' mostly",
    "operation": lambda view: f"the operation '{_short(view.action)}'",
    "name": lambda view: f"a step named '{_short(view.name)}'",
    "prompt": lambda view: f"the prompt '{_asked(view.prompt)}'",
    "http": _request,
    "sql": lambda view: f"the SQL '{_short(view.sql)}'",
    "code": lambda _: "the code",
    "keys": _parameters,
    "choice": _parameters,
    "callee": lambda view: f"running '{_short(view.callee)}'",
    "output": lambda view: f"an output of {', '.join(view.output[:3])}",
    "description": lambda view: f"the description '{_short(view.description)}'",
}
"""The subject of a sentence about a source."""

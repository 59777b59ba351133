"""What an agent learns from its runs: a summary of each, and what several have in common. Pure; no model is
asked.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from intendant.model.results import RunResult, RunStatus
from intendant.model.workflow import Json
from intendant.planning.compression import to_text
from intendant.text.content_kinds import kind_of
from intendant.text.units import text_units

BASE = 5
"""Importance of a run about which nothing is special (reference, 9.6)."""
TROUBLE = 2
"""Added for a run that failed, was refused or overran."""
HANDLED = 1
"""Added where an error was handled."""
ROUTINE = -1
"""Added where the run before it of the same workflow ended alike, and well."""
LOOKED_AT = 10
"""The newest runs of a workflow in which patterns are looked for."""
TWICE = 2
"""Runs from which on the same failure is a pattern."""
USUAL_RUNS = 5
"""Runs below which nothing is usual."""
USUAL_SHARE = 0.8
"""The part of the runs that has to agree on what is usual."""
LONGEST = 80
"""Characters of an input, or of a message, that a memory quotes."""
MARK = " … "


class Learned(NamedTuple):
    """Something to be remembered."""

    subject: str
    text: str
    importance: int
    evidence: tuple[str, ...]
    kind: str = "pattern"


class PastRun(NamedTuple):
    """A run in which patterns are looked for."""

    run_id: str
    status: str
    inputs: Mapping[str, Json]
    failures: Sequence[tuple[str, str, str]]
    """Step, code and message of each."""


def importance_of(result: RunResult, before: str | None) -> int:
    """4 to 8, of 10: base 5, and bonuses (reference, 9.6, which does not say which): 2 more for a run that failed,
    was refused or overran, 1 for an error that was handled, 1 less for one that ended well like the one *before*.
    """
    trouble = result.status is not RunStatus.completed
    score = BASE + (TROUBLE if trouble else 0) + (HANDLED if result.handled else 0)
    if not trouble and before == result.status.value:
        score += ROUTINE
    return score


def summary_of(
    result: RunResult, at: float, room: int, count: Callable[[str], int], *, before: str | None = None
) -> Learned:
    """A run in a few sentences, of at most *room* tokens: how it ended, what it was given, what failed, and the
    beginning of what came of it.

    Args:
        result: What the run came to.
        at: When it ended, in seconds since 1970.
        room: Tokens that it may take.
        count: Counts tokens.
        before: How the run before it of the same workflow ended.
    """
    metrics = result.metrics
    day = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    said = [
        f"{day} '{result.workflow}': {result.status.value}, {metrics.tokens_used} tokens, {metrics.seconds:.0f} s."
    ]
    if given := ", ".join(_inputs(result.inputs)):
        said.append(f"Given {given}.")
    said += [
        f"Step '{step}' failed ({each.code}): {_short(each.message)}" for step, each in result.failures.items()
    ]
    said += [f"Step '{step}' failed and was handled ({each.code})." for step, each in result.handled.items()]
    text = _within(said, room, count)
    outcome = _outcome(result)
    if outcome:
        text = _within([text, *_pieces(f"Result: {outcome}")], room, count)
    return Learned(result.run_id, text, importance_of(result, before), (result.run_id,), "run")


def _inputs(inputs: Mapping[str, Json]) -> Iterator[str]:
    for name, value in inputs.items():
        if isinstance(value, str | int | float | bool) and len(str(value)) <= LONGEST:
            yield f"{name}={value}"


def _outcome(result: RunResult) -> str:
    """What the run gave back, else what its last step did."""
    if result.returned is not None:
        return to_text(result.returned)
    done = [step.output for step in result.steps.values() if step.is_done and step.output is not None]
    return to_text(done[-1]) if done else ""


def _pieces(text: str) -> list[str]:
    """Sentences or lines, whichever the text has."""
    return [piece for unit in text_units(text, kind_of(text)).units if (piece := unit.text.strip())]


def _within(pieces: Iterable[str], room: int, count: Callable[[str], int]) -> str:
    """As many whole pieces, from the first, as fit; of the first, its beginning where not even that does."""
    kept = ""
    for piece in pieces:
        longer = f"{kept} {piece}".strip()
        if count(longer) > room:
            break
        kept = longer
    if kept:
        return kept
    text = next(iter(pieces), "")
    while text and count(text + MARK) > room:
        text = text[: len(text) * 3 // 4]
    return text


def _short(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


# --- patterns ---


def patterns_of(workflow: str, runs: Sequence[PastRun]) -> list[Learned]:
    """What the newest runs of a workflow have in common, each with the runs that show it.

    A step that failed twice or more in the same way, and an input that was the same in four runs of five.

    Args:
        workflow: Its name.
        runs: The runs, the newest first; `LOOKED_AT` of them are looked at.
    """
    looked_at = runs[:LOOKED_AT]
    return [*_failures(workflow, looked_at), *_usual_inputs(workflow, looked_at)]


def prefixes_of(workflow: str) -> tuple[str, str]:
    """What the subjects of a workflow's patterns begin with."""
    return f"failure:{workflow}/", f"input:{workflow}/"


def _failures(workflow: str, runs: Sequence[PastRun]) -> Iterator[Learned]:
    shown: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for run in runs:
        for step, code, message in run.failures:
            shown.setdefault((step, code), []).append((run.run_id, message))
    for (step, code), found in shown.items():
        evidence = tuple(dict.fromkeys(run_id for run_id, _ in found))
        if len(evidence) >= TWICE:
            text = (
                f"In '{workflow}', step '{step}' failed in {len(evidence)} of the last {len(runs)} runs "
                f"({code}): {_short(found[0][1])}"
            )
            yield Learned(f"{prefixes_of(workflow)[0]}{step}/{code}", text, min(10, 5 + len(evidence)), evidence)


def _usual_inputs(workflow: str, runs: Sequence[PastRun]) -> Iterator[Learned]:
    if len(runs) < USUAL_RUNS:
        return
    names = dict.fromkeys(name for run in runs for name in run.inputs)
    for name in names:
        values = Counter(text for run in runs for text in _inputs({name: run.inputs.get(name)}))
        if not values:
            continue
        (value, times), *_ = values.most_common(1)
        if times >= USUAL_SHARE * len(runs):
            evidence = tuple(run.run_id for run in runs if value in _inputs({name: run.inputs.get(name)}))
            text = f"Runs of '{workflow}' are usually given {value} ({times} of the last {len(runs)})."
            yield Learned(f"{prefixes_of(workflow)[1]}{name}", text, BASE - 1, evidence)


def past_run(run_id: str, status: str, inputs: str, failures: Sequence[tuple[str, str, str]]) -> PastRun:
    """A run from what the database keeps of it; *inputs* is JSON."""
    given = json.loads(inputs)
    return PastRun(run_id, status, given if isinstance(given, dict) else {}, failures)

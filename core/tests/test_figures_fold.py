"""The figures of a run are added up from its events, each kind by what it says."""

from typing import Any

import pytest

from intendant import events
from intendant.model.results import Failure, RunStatus, Usage
from intendant.record.figures import FiguresFold, RunFigures, StepFigures, counted, figures_of


def settled(
    call: str, outcome: str = "answered", *, tokens: tuple[int, int] = (10, 5), micro: int = 7, **more: Any
):
    usage = Usage(input_tokens=tokens[0], output_tokens=tokens[1], micro_usd=micro)
    said = {"call": call, "provider": "p", "model": "m", "usage": usage, "outcome": outcome, "step_id": "a"}
    return events.TokensSettled(**{**said, **more})


def compressed(before: int, saved: int, quality: float = 1.0, *, lossless: bool = False, seconds: float = 0.5):
    return events.TokenCompressed(
        step_id="a", strategy="s", tokens_before=before, tokens_after=before - saved - 1, saved=saved,
        quality=quality, lossless=lossless, seconds=seconds,
    )  # fmt: skip


def handled(seconds: float, attempt: int = 1):
    return events.HandlerExecuted(step_id="a", intent="ask", seconds=seconds, attempt=attempt)


def executed(step: str = "a"):
    return events.StepExecuted(step_id=step, intent="told", seconds=3.0, attempts=2)


def failed(step: str = "a"):
    failure = Failure(error="X", message="no", code="shut")
    return events.StepFailed(step_id=step, failure=failure, seconds=4.0, attempts=3)


def tool(outcome: str, name: str = "t"):
    return events.ToolCalled(step_id="a", turn=1, tool=name, outcome=outcome)


def step_of(*told: events.Event) -> StepFigures:
    (found,) = figures_of(told).steps
    return found


def differs(figures: Any, usual: Any) -> dict[str, Any]:
    """What is not as it is at first."""
    names = [name for name in figures.__dataclass_fields__ if name != "steps"]
    return {name: getattr(figures, name) for name in names if getattr(figures, name) != getattr(usual, name)}


STEPS: dict[str, tuple[list[events.Event], dict[str, Any]]] = {
    "an intent": (
        [events.IntentClassified(step_id="a", intent="ask", confidence=0.5, method="c")],
        {"intent": "ask", "confidence": 0.5, "method": "c"},
    ),
    "no intent": (
        [events.IntentClassified(step_id="a", intent=None, confidence=0.5, method="c")],
        {"confidence": 0.5, "method": "c"},
    ),
    "an allocation": ([events.TokenBudgetAllocated(step_id="a", tokens=9, strategy="s")], {"allocated": 9}),
    "a route": (
        [events.Routed(step_id="a", tier="t", provider="p", model="m", reason="", difficulty=0.1)],
        {"tier": "t", "model": "p/m"},
    ),
    "its begin": (
        [events.StepStarted(step_id="a", at=5.0), events.StepStarted(step_id="a", at=6.0)],
        {"begun": 5.0},
    ),
    "the begin of items": (
        [events.ItemsStarted(step_id="a", total=2, at=5.0), events.StepStarted(step_id="a[0]", at=6.0)],
        {"begun": 5.0},
    ),
    "what was compressed": (
        [compressed(100, 60, 0.8), compressed(50, 20, 0.9), compressed(9, 0, 0.95, seconds=0.25)],
        {"before": 150, "after": 70, "quality": 0.8, "compression_seconds": 1.25},
    ),
    "what was compressed worse later": (
        [compressed(9, 0, 0.9), compressed(9, 0, 0.2)],
        {"quality": 0.2, "compression_seconds": 1.0},
    ),
    "what was compressed without loss": (
        [compressed(9, 4, lossless=True)],
        {"before": 9, "after": 5, "compression_seconds": 0.5},
    ),
    "what was expanded": (
        [compressed(100, 60), events.ContentExpanded(step_id="a", original="o", part="p", tokens=7)],
        {"before": 100, "after": 47, "quality": 1.0, "compression_seconds": 0.5},
    ),
    "calls": (
        [settled("1"), settled("2", tokens=(1, 1), micro=1), settled("3", "cut_off", tokens=(2, 2), micro=2)],
        {"used": 21, "micro_usd": 10, "calls": 3, "repeats": 1},
    ),
    "calls that took nothing": (
        [settled("1", "refused"), settled("2", "replayed"), settled("3", "cached")],
        {},
    ),
    "a use of a connector": (
        [settled("1", tokens=(0, 0), produced_by=events.CONNECTOR)],
        {"micro_usd": 7},
    ),
    "a call in doubt": ([settled("1", "in_doubt")], {"used": 15, "micro_usd": 7, "calls": 1, "repeats": 1}),
    "a call in doubt that is known": (
        [settled("1", "in_doubt"), settled("2", tokens=(1, 0)), settled("1", tokens=(2, 1), micro=3)],
        {"used": 4, "micro_usd": 10, "calls": 3, "repeats": 1},
    ),
    "a call in doubt that was refused": (
        [settled("1", "in_doubt"), settled("1", "refused")],
        {"calls": 1, "repeats": 1},
    ),
    "equal calls": (
        [
            settled("1"),
            settled("2"),
            settled("3", tokens=(9, 5)),
            settled("4"),
            settled("5"),
            settled("6"),
            settled("7", model="n"),
        ],
        {"used": 104, "micro_usd": 49, "calls": 7, "repeats": 3},
    ),
    "tools that were called again": (
        [tool("done"), tool("repeated"), tool("repeated"), tool("done")],
        {"repeats": 3},
    ),
    "tools that were called once": ([tool("done"), tool("done"), tool("failed")], {"repeats": 2}),
    "a handler": ([handled(1.0), handled(0.5, 2)], {"intent": "ask", "handler_seconds": 1.5}),
    "a good end": (
        [handled(1.0), executed()],
        {"intent": "told", "handler_seconds": 1.0, "status": "completed", "seconds": 3.0, "attempts": 2},
    ),
    "a bad end": ([failed()], {"status": "failed", "seconds": 4.0, "attempts": 3, "code": "shut"}),
    "a good end after a bad one": (
        [failed(), executed()],
        {"intent": "told", "status": "completed", "seconds": 3.0, "attempts": 2},
    ),
    "no end": ([events.StepSkipped(step_id="a", reason="when")], {"status": "skipped"}),
    "the ends of items": ([executed("a[0]"), executed("a[1]")], {"intent": "told"}),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_step_is_told_by_its_events(what) -> None:
    told, expected = STEPS[what]
    step = step_of(*told)
    assert differs(step, StepFigures("a")) == expected


def test_a_run_is_told_by_its_events() -> None:
    begun = events.Initialized(
        run_id="r_1", workflow="w", agent="m", steps=2, budget_tokens=99, budget_micro_usd=None, budget_strategy="s",
        flags={"x": True}, planning_tokens=3, planning_micro_usd=5, at=1.0,
    )  # fmt: skip
    shadow = {"what": "routing", "wanted": "x", "instead": "y"}
    told = [
        begun,
        settled("1", at=2.0),
        settled("1", step_id="b", at=2.0),
        events.BudgetExceededEvent(scope="s", unit="tokens", asked=2, left=1),
        events.LimitWatched(scope="s", unit="tokens", limit=2, spent=1),
        events.LimitWatched(scope="s", unit="tokens", limit=2, spent=1),
        events.ShadowDecided(**shadow, saved_tokens=4, saved_micro_usd=6),
        events.ShadowDecided(**shadow, saved_tokens=4),
        events.Completed(status=RunStatus.failed, seconds=1.5, at=8.0),
        events.Completed(status=RunStatus.completed, seconds=2.0, at=9.0),
    ]
    found = figures_of(told)
    assert differs(found, RunFigures()) == {
        "run_id": "r_1",
        "workflow": "w",
        "agent": "m",
        "status": "completed",
        "at": 9.0,
        "seconds": 3.5,
        "flags": {"x": True},
        "budget_tokens": 99,
        "planning_tokens": 3,
        "planning_micro_usd": 5,
        "refusals": 1,
        "watched": 2,
        "shadow_tokens": 8,
        "shadow_micro_usd": 6,
    }
    assert [step.step for step in found.steps] == ["a", "b"]
    assert (found.tokens, found.micro_usd, found.saved) == (3 + 30, 5 + 14, 0)
    assert RunFigures.of_json(found.as_json()) == found
    assert RunFigures.of_json({**found.as_json(), "later": 1, "steps": [{"step": "a", "later": 1}]}).steps == [
        StepFigures("a")
    ]


def test_events_of_other_kinds_change_nothing() -> None:
    fold = FiguresFold()
    fold.add(settled("1", at=2.0))
    fold.add(
        events.StepRetried(step_id="a", attempt=1, delay=0.1, failure=Failure(error="x", message="y"), at=9.0)
    )
    assert fold.run.at == 2.0


@pytest.mark.parametrize(
    ("said", "overhead"),
    [
        ({"seconds": 3.0, "handler_seconds": 1.0, "compression_seconds": 0.5}, 2500.0),
        ({"seconds": 1.0, "handler_seconds": 3.0}, 0.0),
        ({"seconds": 3.0}, None),
        ({"seconds": 3.0, "handler_seconds": 1.0, "attempts": 2}, None),
        ({"seconds": 3.0, "handler_seconds": 1.0, "status": "failed"}, None),
    ],
)
def test_the_overhead_of_a_step_is_what_its_handler_did_not_take(said, overhead) -> None:
    assert StepFigures("a", **{"status": "completed", "attempts": 1, **said}).overhead_ms == overhead


def test_values_are_counted_most_frequent_first_and_then_by_name() -> None:
    assert list(counted(["b", "c", "a", "c"]).items()) == [("c", 2), ("a", 1), ("b", 1)]

"""The three dashboards over figures of three runs, worked out by hand."""

import re

import pytest

from intendant.record.alerts import RuleState
from intendant.record.dashboards import (
    Adherence,
    Handler,
    RunCost,
    Shares,
    Spread,
    adherence,
    costs,
    health,
    performance,
    spread,
)
from intendant.record.figures import RunFigures, StepFigures
from intendant.record.prometheus import exposition
from intendant.record.report_page import Report, page, took
from intendant.record.rows import LimitState

DAY = 86_400.0


def step(name: str = "s", **more) -> StepFigures:
    return StepFigures(name, **{"intent": "ask", "status": "completed", "attempts": 1, **more})


RUNS = [
    RunFigures(
        "r1", "one", "a", "completed", 3 * DAY - 1, planning_tokens=30, planning_micro_usd=5, refusals=2, watched=1,
        steps=[
            step(allocated=100, used=110, micro_usd=400, tier="fast", before=1000, after=400, seconds=3.0,
                 handler_seconds=1.0, compression_seconds=0.5, confidence=0.9, method="local"),
            step(intent="send", status="failed", handler_seconds=2.0, seconds=2.5, confidence=0.5, method="model",
                 allocated=50, used=60, tier="powerful"),
        ],
    ),
    RunFigures(
        "r2", "one", "a", "failed", 3 * DAY, shadow_tokens=7, shadow_micro_usd=9, refusals=1,
        steps=[
            step(allocated=100, used=90, micro_usd=100, tier="fast", before=100, after=100, seconds=1.0,
                 handler_seconds=0.75, confidence=0.7, method="local"),
            step(status="skipped", intent="ask"),
            step(intent="", status="completed", before=10, after=0),
        ],
    ),
    RunFigures("r3", "two", "b", "completed", 3 * DAY + 5, planning_micro_usd=11, watched=2, shadow_tokens=1),
]  # fmt: skip


def test_health_counts_and_sums_over_all_runs() -> None:
    found = health(RUNS)
    assert (found.runs, found.statuses) == (3, {"completed": 2, "failed": 1})
    assert found.intents == {"ask": 3, "send": 1}
    assert found.tiers == {"fast": 2, "powerful": 1}
    assert (found.tokens, found.saved_tokens) == (30 + 110 + 60 + 90, 600 + 10)
    assert found.saved_share == pytest.approx(610 / (290 + 610))
    assert (found.refusals, found.watched, found.shadow_tokens, found.shadow_micro_usd) == (3, 3, 8, 9)
    assert found.down == 0
    assert found.adherence == Adherence(steps=3, kept=2, close=2)


def test_where_nothing_was_sent_nothing_was_saved() -> None:
    found = health([])
    assert (found.runs, found.saved_share, found.adherence.share) == (0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("used", "kept", "close"), [(1, 1, 0), (89, 1, 0), (90, 1, 1), (110, 1, 1), (111, 0, 0), (500, 0, 0)]
)
def test_a_step_keeps_to_its_allocation_up_to_a_tenth_more(used, kept, close) -> None:
    assert adherence([step(allocated=100, used=used)]) == Adherence(1, kept, close)


def test_steps_without_an_allocation_or_a_call_are_not_counted() -> None:
    assert adherence([step(allocated=0, used=5), step(allocated=5, used=0)]) == Adherence(0, 0, 0)
    assert Adherence(4, 3, 2).share == 0.75


def test_performance_is_told_in_milliseconds() -> None:
    found = performance(RUNS)
    assert found.overhead == Spread(2, (2500 + 250) / 2, 250, 2500, 2500, 2500)
    assert found.compression == Spread(1, 500, 500, 500, 500, 500)
    assert found.ratios == Spread(3, pytest.approx(1.4 / 3), 0.4, 1.0, 1.0, 1.0)
    assert found.handlers == {
        "ask": Handler(2, 0, Spread(2, 875.0, 750.0, 1000.0, 1000.0, 1000.0)),
        "send": Handler(1, 1, Spread(1, 2000.0, 2000.0, 2000.0, 2000.0, 2000.0)),
    }


def test_classifications_are_told_by_workflow_and_unsure_below_the_threshold() -> None:
    (one,) = performance(RUNS).classification.items()
    assert one[0] == "one"
    assert (one[1].steps, one[1].methods, one[1].unsure) == (3, {"local": 2, "model": 1}, 1)
    assert one[1].confidence == pytest.approx(0.7)
    assert performance(RUNS, 0.71).classification["one"].unsure == 2


def test_costs_are_told_by_run_day_ratio_and_intent() -> None:
    found = costs(RUNS)
    assert found.micro_usd == 405 + 100 + 11
    assert found.runs == [
        RunCost("r1", "one", 200 + 600, 200, 405),
        RunCost("r2", "one", 90 + 10, 90, 100),
        RunCost("r3", "two", 0, 0, 11),
    ]
    assert found.days == {"1970-01-03": 405, "1970-01-04": 111}
    assert found.ratios == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert found.shares == {"ask": Shares(200, 200), "send": Shares(50, 60)}
    assert found.saved_micro_usd == round(600 * 405 / 200 + 10 * 100 / 90)
    assert (found.overhead_tokens, found.overhead_micro_usd) == (30, 16)


@pytest.mark.parametrize(("after", "tenth"), [(0, 0), (99, 0), (100, 1), (899, 8), (900, 9), (1000, 9), (1200, 9)])
def test_what_is_left_of_content_is_told_in_tenths(after, tenth) -> None:
    (found,) = [
        place
        for place, number in enumerate(costs([RunFigures(steps=[step(before=1000, after=after)])]).ratios)
        if number
    ]
    assert found == tenth


def test_a_spread_is_by_nearest_rank() -> None:
    assert spread([]) == Spread(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert spread([7.0]) == Spread(1, 7.0, 7.0, 7.0, 7.0, 7.0)
    assert spread([float(n) for n in range(200, 0, -1)]) == Spread(200, 100.5, 100.0, 190.0, 198.0, 200.0)


@pytest.mark.parametrize(
    ("more", "overhead"),
    [
        ({"seconds": 3.0, "handler_seconds": 1.0, "compression_seconds": 0.5}, 2500.0),
        ({"seconds": 1.0, "handler_seconds": 3.0}, 0.0),
        ({"seconds": 1.0}, None),
        ({"seconds": 3.0, "handler_seconds": 1.0, "attempts": 2}, None),
        ({"seconds": 3.0, "handler_seconds": 1.0, "status": "failed"}, None),
    ],
)
def test_the_overhead_of_a_step_is_all_but_its_handler_and_compression(more, overhead) -> None:
    assert step(**more).overhead_ms == overhead


def test_figures_are_stored_without_what_is_usual() -> None:
    made = RunFigures("r", at=5.0, steps=[step(used=7)])
    assert made.as_json() == {
        "run_id": "r",
        "at": 5.0,
        "flags": {},
        "steps": [{"step": "s", "intent": "ask", "status": "completed", "attempts": 1, "used": 7}],
    }
    assert RunFigures.of_json({**made.as_json(), "of_a_later_version": 1}) == made
    assert RunFigures() == RunFigures.of_json({})
    usual = (made.seconds, made.budget_tokens, made.planning_tokens, made.refusals, made.steps[0].quality)
    assert usual == (0.0, None, 0, 0, None)


def test_prometheus_is_told_every_figure_with_all_its_digits() -> None:
    limits = [
        LimitState(1, "agent:a", "day", 12_345_678, None, 0.0, "ann", "p", 1_234_567, 5, 1_500_000, 7),
        LimitState(2, "tenant:t", "month", None, 2_000_000, 0.0, None, "p", 3, 0, 250_000, 0),
    ]
    rules = [
        RuleState("spend", "agent:a", True, 1.0, 2.0, 1.0, 3, ""),
        RuleState("loop", "", False, None, 0.0, 1.0, 0, ""),
    ]
    much = RunFigures("r4", "w", "a", "completed", planning_tokens=98_765_432, planning_micro_usd=1_234_567_890)
    lines = exposition([*RUNS, much], limits, rules).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'intendant_runs_total{status="completed"} 3',
        'intendant_runs_total{status="failed"} 1',
        'intendant_steps_total{intent="ask"} 3',
        'intendant_steps_total{intent="send"} 1',
        'intendant_routed_total{tier="fast"} 2',
        'intendant_routed_total{tier="powerful"} 1',
        'intendant_steps_failed_total{intent="ask"} 0',
        'intendant_steps_failed_total{intent="send"} 1',
        "intendant_tokens_total 98765722",
        "intendant_tokens_saved_total 610",
        "intendant_spent_usd_total 1234.568406",
        "intendant_refusals_total 3",
        "intendant_budget_adherence 0.6666666666666666",
        'intendant_overhead_seconds{quantile="0.5"} 0.25',
        'intendant_overhead_seconds{quantile="0.95"} 2.5',
        'intendant_overhead_seconds{quantile="0.99"} 2.5',
        'intendant_budget_limit_tokens{scope="agent:a",per="day"} 12345678',
        'intendant_budget_spent_tokens{scope="agent:a",per="day"} 1234567',
        'intendant_budget_spent_tokens{scope="tenant:t",per="month"} 3',
        'intendant_budget_held_tokens{scope="agent:a",per="day"} 5',
        'intendant_budget_held_tokens{scope="tenant:t",per="month"} 0',
        'intendant_budget_limit_usd{scope="tenant:t",per="month"} 2',
        'intendant_budget_spent_usd{scope="agent:a",per="day"} 1.5',
        'intendant_budget_spent_usd{scope="tenant:t",per="month"} 0.25',
        'intendant_budget_held_usd{scope="agent:a",per="day"} 7e-06',
        'intendant_budget_held_usd{scope="tenant:t",per="month"} 0',
        'intendant_alert{rule="spend",subject="agent:a"} 1',
        'intendant_alert{rule="loop",subject=""} 0',
    ]


# --- the page ---


def shown(runs: list[RunFigures], ratings: tuple[int, ...] = ()) -> str:
    return page(Report("T", "P", runs, [], ratings, 3 * DAY))


def cells(text: str) -> list[list[str]]:
    return [re.findall(r"<t[dh][^>]*>([^<]*)", row) for row in re.findall(r"<tr>.*?(?=</tr>)", text)]


def test_the_page_tells_three_runs_in_sentences_tiles_and_tables() -> None:
    text = shown(RUNS, (5, 2))
    assert (
        "3 runs cost $0.000516; 67% of them completed. Compression saved 610 tokens (68%), about $0.0012. "
        "67% of the steps kept to their allocation (the aim is 90%). "
        "In shadow mode, 8 tokens and $0.000009 would have been saved. People rated 2 times, 3.5 of 5 on average."
        in text
    ), re.findall(r"<p>[^<]*", text)
    assert re.findall(r"<div class=tile><b>([^<]*)</b>([^<]*)", text) == [
        ("3", "runs"), ("67%", "completed"), ("$0.000516", "spent"), ("290", "tokens"), ("68%", "saved"),
        ("67%", "keep to allocation"), ("2500 ms", "overhead, p95"), ("3.5 of 5", "rating"),
    ]  # fmt: skip
    assert cells(text) == [
        ["handler", "steps", "failed", "ms, median", "ms, p95"],
        ["ask", "2", "0", "750", "1000"],
        ["send", "1", "1", "2000", "2000"],
        ["workflow", "steps classified", "confidence", "unsure"],
        ["one", "3", "70%", "1"],
        ["run", "workflow", "agent", "status", "took", "tokens before", "tokens", "cost"],
        ["r1", "one", "a", "completed", "0 ms", "800", "200", "$0.000405"],
        ["r2", "one", "a", "failed", "0 ms", "100", "90", "$0.000100"],
        ["r3", "two", "b", "completed", "0 ms", "0", "0", "$0.000011"],
    ]
    assert "0-10 %: 1; 10-20 %: 0" in text
    assert "90-100 %: 1" in text
    assert "ask: 200 of 200; send: 60 of 50" in text
    assert "01-03: $0.000405; 01-04: $0.000111" in text


def test_the_page_of_one_run_tells_its_steps_from_its_beginning() -> None:
    begun = [
        step("first", begun=100.0, seconds=0.25, used=7),
        step("next", begun=102.0, seconds=2.0, status="failed"),
    ]
    text = shown([RunFigures("r", "w", "a", "failed", 3 * DAY, 4.26, steps=[*begun, step("never", status="")])])
    assert "The run cost $0, and did not complete." in text
    assert "first: 250 ms, 7 tokens, $0; next: 2.0 s, 0 tokens, $0" in text
    assert 'class="bar bad" x="310.0"' in text, "two of four seconds are half of the plot's 220 pixels"
    assert ["never", "ask", "open", "", "0", "0", "0", "$0"] in cells(text)
    assert ["r", "w", "a", "failed", "4.3 s", "7", "7", "$0"] in cells(text)
    assert [took(seconds) for seconds in (0.0314, 0.999, 1.0, 61.25)] == ["31 ms", "999 ms", "1.0 s", "61.2 s"]


def test_of_many_runs_the_dearest_are_shown() -> None:
    many = [RunFigures(f"r{n}", "w", "a", "completed", float(n), planning_micro_usd=n % 100) for n in range(500)]
    rows = [row for row in cells(shown(many)) if row and row[0].startswith("r") and row[0] != "run"]
    assert [row[0] for row in rows[:6]] == ["r499", "r399", "r299", "r199", "r99", "r498"]
    assert f"The {len(rows)} dearest of 500." in shown(many)
    assert "dearest of" not in shown(many[: len(rows)])
    assert "No run ended in this time." in shown([])

"""What a policy would have cost and been worth on recorded outcomes.

The policy sees a row's intent and prompt, which models there are, and the answers of those that it chose to ask
and so pays for; never a score.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from intendant.planning.gains import curve
from intendant.planning.outcomes import OutcomeRow
from intendant.planning.policies import Policy
from intendant.planning.policy_training import baselines

DRAWS = 400
"""Samples with replacement of the intervals (bootstrap)."""
_SHARES = (("CPT50", 0.5), ("CPT80", 0.8))


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one row, and what the baseline would have been there.

    Attributes:
        calls: The models that were asked, in turn, and paid for.
        chosen: The one whose answer counts.
        score, cost: What came of it.
        usual_score, usual_cost: What came of the baseline; None where the row lacks it.
    """

    id: str
    calls: tuple[str, ...]
    chosen: str
    score: float
    cost: float
    usual_score: float | None
    usual_cost: float | None


def decisions(rows: Sequence[OutcomeRow], policy: Policy) -> Iterator[Decision]:
    """The decision for each row; where none of the policy's choices is there, the first of the row's models."""
    baseline = _baseline(rows, policy)
    for row in rows:
        calls, chosen = _decided(row, policy)
        usual = row.outcomes.get(baseline.get(row.intent) or baseline.get("", ""))
        yield Decision(
            row.id,
            calls,
            chosen,
            row.outcomes[chosen].score,
            sum(row.outcomes[model].cost for model in calls),
            usual.score if usual is not None else None,
            usual.cost if usual is not None else None,
        )


def _decided(row: OutcomeRow, policy: Policy) -> tuple[tuple[str, ...], str]:
    choice = policy.decide(row.intent, row.prompt, row.outcomes.keys()).choice
    if choice is None:
        choice = policy.usual(row.outcomes.keys())
    if choice is None:
        model = min(row.outcomes)
        return (model,), model
    chosen, calls = choice.run(lambda model: row.outcomes[model].answer)
    return calls, chosen


def _baseline(rows: Sequence[OutcomeRow], policy: Policy) -> Mapping[str, str]:
    """That of the policy; for intents that it does not know, the best single model of the rows themselves."""
    return {**baselines(rows), **policy.baseline}


def report(found: Sequence[Decision]) -> dict[str, Any]:
    """Quality, cost and saving over the rows that have the baseline, with 95 % intervals; calls of each model."""
    compared = [
        (one.score, one.cost, one.usual_score, one.usual_cost)
        for one in found
        if one.usual_score is not None and one.usual_cost is not None
    ]
    calls: dict[str, int] = {}
    for one in found:
        for model in one.calls:
            calls[model] = calls.get(model, 0) + 1
    if not compared:
        return {"rows": len(found), "compared": 0, "calls": dict(sorted(calls.items()))}
    draw = Random(0)  # noqa: S311  # not for secrets; the same intervals each time
    samples = [_summary(draw.choices(compared, k=len(compared))) for _ in range(DRAWS)]
    whole = _summary(compared)
    return {
        "rows": len(found),
        "compared": len(compared),
        **{name: round(value, 6) for name, value in whole.items()},
        "intervals": {
            name: [round(value, 4) for value in _interval([sample[name] for sample in samples])]
            for name in ("loss", "saved")
        },
        "calls": dict(sorted(calls.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def _summary(rows: Sequence[tuple[float, float, float, float]]) -> dict[str, float]:
    score, cost, usual_score, usual_cost = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return {
        "score": score,
        "baseline_score": usual_score,
        "loss": usual_score - score,
        "cost": cost,
        "baseline_cost": usual_cost,
        "saved": 1 - cost / usual_cost if usual_cost else 0.0,
    }


def _interval(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered))]


def gain_curve(rows: Sequence[OutcomeRow], policy: Policy) -> dict[str, Any] | None:
    """APGR, and the shares of calls of the strong model that close 50 and 80 % of the gap; None without gains."""
    gains = policy.gains
    if gains is None:
        return None
    both = [row for row in rows if {gains.weak, gains.strong} <= row.outcomes.keys()]
    if not both:
        return None
    added = [row.outcomes[gains.strong].score - row.outcomes[gains.weak].score for row in both]
    area, points = curve([gains.expected(row.intent, row.prompt) for row in both], added)
    found = {
        name: next((round(share, 4) for share, closed in points if closed >= wanted), None)
        for name, wanted in _SHARES
    }
    step = max(1, len(points) // 50)
    return {
        "weak": gains.weak,
        "strong": gains.strong,
        "rows": len(both),
        "APGR": round(area, 4),
        **found,
        "points": [[round(share, 4), round(closed, 4)] for share, closed in points[::step]],
    }

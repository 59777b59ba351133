"""How right classifications are, on labelled steps: users judge it on their own.

A labelled step has `gold` (an intent, or `none` for what is no step of work), and may have `alt` (a second intent
that a careful reader could defend), `platform` and `difficulty`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intendant.model.results import Classification

BINS = 10
COVERAGE_AT = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """Share of right answers among *count*."""

    count: int
    strict: float
    """Equal to `gold`."""
    lenient: float
    """Equal to `gold` or to `alt`."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of like confidence."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean of what was said."""
    right: float
    """Share that was right, `alt` included."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` found."""

    overall: Rate
    groups: Mapping[str, Mapping[str, Rate]]
    """By `platform`, `difficulty` and `gold`."""
    confusion: Mapping[tuple[str, str], int]
    """How often (gold, answer) occurred."""
    reliability: tuple[Bin, ...]
    calibration_error: float
    """Expected calibration error: mean of |confidence - right| over the bins, weighted by their counts (Naeini,
    Cooper and Hauskrecht, AAAI 2015)."""
    coverage: float
    """Largest share of the steps, the most certain first, of which `COVERAGE_AT` are right, `alt` included."""
    abstained: float | None
    """Share of the rows that are no steps on which no intent was given; None if there are none."""
    lost: float
    """Share of the real steps on which no intent was given."""


@dataclass(slots=True)
class _Row:
    gold: str
    alt: str | None
    answer: str
    confidence: float
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def strict(self) -> bool:
        return self.answer == self.gold

    @property
    def lenient(self) -> bool:
        return self.answer in (self.gold, self.alt) and self.answer != "none"


def evaluate(labelled: Iterable[tuple[Mapping[str, Any], Classification | None]]) -> Evaluation:
    """Compare answers with labels."""
    rows = [
        _Row(
            str(raw["gold"] or "none"),
            raw.get("alt"),
            (answer.intent if answer else None) or "none",
            answer.confidence if answer else 0.0,
            raw,
        )
        for raw, answer in labelled
    ]
    real = [row for row in rows if row.gold != "none"]
    nothing = [row for row in rows if row.gold == "none"]
    answered = [row for row in real if row.answer != "none"]
    bins = _bins(answered)
    return Evaluation(
        overall=_rate(real),
        groups={name: _grouped(real, name) for name in ("platform", "difficulty", "gold")},
        confusion=Counter((row.gold, row.answer) for row in rows),
        reliability=bins,
        calibration_error=sum(item.count * abs(item.confidence - item.right) for item in bins)
        / max(1, len(answered)),
        coverage=_coverage(real),
        abstained=sum(row.answer == "none" for row in nothing) / len(nothing) if nothing else None,
        lost=sum(row.answer == "none" for row in real) / max(1, len(real)),
    )


def _rate(rows: Sequence[_Row]) -> Rate:
    count = max(1, len(rows))
    return Rate(len(rows), sum(row.strict for row in rows) / count, sum(row.lenient for row in rows) / count)


def _grouped(rows: Iterable[_Row], name: str) -> dict[str, Rate]:
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.raw.get(name) is not None:
            groups[str(row.raw[name])].append(row)
    return {key: _rate(groups[key]) for key in sorted(groups)}


def _bins(rows: Sequence[_Row]) -> tuple[Bin, ...]:
    found = []
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [row for row in rows if low <= row.confidence < high or (high == 1 and row.confidence == 1)]
        if inside:
            said = sum(row.confidence for row in inside) / len(inside)
            found.append(Bin(low, high, len(inside), said, sum(row.lenient for row in inside) / len(inside)))
    return tuple(found)


def _coverage(rows: Sequence[_Row]) -> float:
    ranked = sorted((row for row in rows if row.answer != "none"), key=lambda row: -row.confidence)
    right = best = 0
    for count, row in enumerate(ranked, 1):
        right += row.lenient
        if right >= COVERAGE_AT * count:
            best = count
    return best / max(1, len(rows))


def report(found: Evaluation) -> str:
    """An evaluation as text."""
    lines = [f"{'':<22}{'steps':>7}{'strict':>9}{'lenient':>9}", _line("all", found.overall)]
    for by, groups in found.groups.items():
        lines += [f"by {by}", *(_line(f"  {name}", rate) for name, rate in groups.items())]
    lines += ["", "confidence      said    right   steps"]
    lines += [
        f"{item.low:.1f} to {item.high:.1f}   {item.confidence:>7.3f}  {item.right:>7.3f} {item.count:>7}"
        for item in found.reliability
    ]
    abstained = "no such rows" if found.abstained is None else f"{found.abstained:.3f}"
    lines += [
        "",
        f"expected calibration error     {found.calibration_error:.3f}",
        f"answered at {COVERAGE_AT:.0%} lenient       {found.coverage:.3f} of the steps",
        f"no steps of work: abstained    {abstained}, costing {found.lost:.3f} of the real steps",
        "",
        "confused most (label, answer, times)",
    ]
    wrong = Counter({pair: times for pair, times in found.confusion.items() if pair[0] != pair[1]})
    lines += [f"  {gold:<12} {answer:<12} {times:>5}" for (gold, answer), times in wrong.most_common(15)]
    return "\n".join(lines)


def _line(name: str, rate: Rate) -> str:
    return f"{name:<22}{rate.count:>7}{rate.strict:>9.3f}{rate.lenient:>9.3f}"

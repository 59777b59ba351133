"""Learns a policy from outcomes: a choice for each intent, so that together they cost least at the allowed loss.

A choice is compared with the baseline row by row, and a doubt is added to its loss, the more the fewer the rows.
How much may be lost by that reckoning is set by leaving each fifth of the rows out in turn: on it, no more than
the allowed loss is lost.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from zlib import crc32

from intendant.planning import gains
from intendant.planning.outcomes import OutcomeRow
from intendant.planning.policies import Choice, Policy

FOLDS = 5
CHEAP = 8
"""Models, the cheapest for what they score, among which agreement is sought."""
DOUBT, USUAL_ROWS, USUAL_SPREAD = 0.5, 4, 0.3
"""Standard errors added to a loss; the spread of single losses that is assumed, as if of that many rows."""
COVERED = 0.5
"""Share of an intent's rows that a model must have, so that it may be chosen."""
ALLOWED = (-2.0, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Losses, doubts included, that are tried, in multiples of the allowed one."""
MARGIN = 0.9
"""Share of the allowed loss that may be lost on left-out rows; the rest is for chance."""
RANKED = 6
"""Choices that are kept for an intent."""


@dataclass(slots=True)
class _Sums:
    """What a choice comes to beside the baseline, in the rows that have both."""

    rows: int = 0
    loss: float = 0.0
    square: float = 0.0
    cost: float = 0.0
    usual: float = 0.0

    def add(self, other: "_Sums") -> None:
        """Count the other's rows too."""
        self.rows += other.rows
        self.loss += other.loss
        self.square += other.square
        self.cost += other.cost
        self.usual += other.usual

    def doubted(self) -> float:
        """The loss a row, with its doubt."""
        if not self.rows:
            return USUAL_SPREAD
        mean = self.loss / self.rows
        spread = max(self.square - self.rows * mean * mean, 0.0) + USUAL_ROWS * USUAL_SPREAD**2
        return mean + DOUBT * math.sqrt(spread / (self.rows + USUAL_ROWS) / self.rows)


_Values = Mapping[Choice, Sequence[_Sums]]
"""By choice, its sums in each fold."""


@dataclass(frozen=True, slots=True)
class _Option:
    choice: Choice
    loss: float
    """Of all rows of the intent, doubts included."""
    cost: float


def train(rows: Sequence[OutcomeRow], max_loss: float) -> Policy:
    """The policy that saves most at a mean loss of at most *max_loss* against the baseline.

    Args:
        rows: What to learn from.
        max_loss: Points of mean score, 0 to 1.
    """
    baseline = baselines(rows)
    by_intent: dict[str, list[OutcomeRow]] = {}
    for row in rows:
        by_intent.setdefault(row.intent, []).append(row)
    values = {intent: _values(found, baseline.get(intent) or baseline[""]) for intent, found in by_intent.items()}
    allowed, figures = _allowed(values, max_loss, flattered="" not in baseline)
    options = {intent: _options(found, -1) for intent, found in values.items()}
    picked = _picked(options, allowed * len(rows))
    intents = {
        intent: list(dict.fromkeys([picked[intent], *_next(options[intent], max_loss)]))[:RANKED]
        for intent in options
    }
    means = _means(rows)
    scores = sorted(means, key=lambda model: (-means[model][0] * min(1, means[model][2] / len(rows) + 0.5), model))
    default = list(dict.fromkeys([*filter(None, [baseline.get("")]), *scores]))
    return Policy(
        intents,
        [Choice((model,)) for model in default],
        baseline,
        {**figures, "rows": len(rows), "max_loss": max_loss},
        _gains(rows),
    )


def _next(options: Sequence[_Option], max_loss: float) -> list[Choice]:
    """What is chosen where a model of the first choice is not there: single models that lose least."""
    single = [option for option in options if not option.choice.last]
    return [each.choice for each in sorted(single, key=lambda one: (max(one.loss, max_loss), one.cost))]


def baselines(rows: Sequence[OutcomeRow]) -> dict[str, str]:
    """The best single model, under the empty name; by intent, where no model has every row.

    A model that lacks a few rows (one in a hundred) counts as having all.
    """
    counted = _means(rows)
    whole = [model for model, (_, _, number) in counted.items() if number >= 0.99 * len(rows)]
    if whole:
        return {"": max(whole, key=lambda model: (counted[model][0], -counted[model][1], model))}
    found: dict[str, str] = {}
    by_intent: dict[str, list[OutcomeRow]] = {}
    for row in rows:
        by_intent.setdefault(row.intent, []).append(row)
    for intent, each in by_intent.items():
        means = {model: said for model, said in _means(each).items() if said[2] >= COVERED * len(each)}
        means = means or _means(each)
        found[intent] = max(means, key=lambda model: (means[model][0], -means[model][1], model))
    return found


def _means(rows: Sequence[OutcomeRow]) -> dict[str, tuple[float, float, int]]:
    """By model: mean score, mean cost, number of rows."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        for model, outcome in row.outcomes.items():
            said = sums.setdefault(model, [0.0, 0.0, 0])
            said[0] += outcome.score
            said[1] += outcome.cost
            said[2] += 1
    return {model: (score / number, cost / number, int(number)) for model, (score, cost, number) in sums.items()}


def _values(rows: Sequence[OutcomeRow], usual: str) -> dict[Choice, list[_Sums]]:
    """What each choice comes to in the rows of one intent, beside the model *usual*."""
    means = _means(rows)
    models = [model for model in sorted(means) if means[model][2] >= COVERED * len(rows)] or sorted(means)
    choices = [Choice((model,)) for model in {**dict.fromkeys(models), usual: None}]
    if any(row.outcomes[model].answer for row in rows[:20] for model in models if model in row.outcomes):
        choices += _agreements(models, means)
    return {choice: _sums(choice, rows, usual) for choice in choices}


def _agreements(models: Sequence[str], means: Mapping[str, tuple[float, float, int]]) -> Iterator[Choice]:
    """Two or three models of which two must agree, before a dearer one that scores as well or better."""
    cheap = sorted(models, key=lambda model: (means[model][1], model))[:CHEAP]
    best = sorted(models, key=lambda model: (-means[model][0], means[model][1], model))[: CHEAP // 2]
    for number in (2, 3):
        for ask in combinations(cheap, number):
            spent = sum(means[model][1] for model in ask)
            for last in best:
                if last not in ask and means[last][1] > spent / 2:
                    yield from (Choice(ask, last, agree) for agree in range(2, number + 1))


def _sums(choice: Choice, rows: Sequence[OutcomeRow], usual: str) -> list[_Sums]:
    found = [_Sums() for _ in range(FOLDS)]
    needed = (*choice.models, usual)
    for row in rows:
        outcomes = row.outcomes
        if all(model in outcomes for model in needed):
            chosen, asked = choice.run(lambda model: outcomes[model].answer)  # noqa: B023
            loss = outcomes[usual].score - outcomes[chosen].score
            cost = sum(outcomes[model].cost for model in asked)
            found[_fold(row)].add(_Sums(1, loss, loss * loss, cost, outcomes[usual].cost))
    return found


def _fold(row: OutcomeRow) -> int:
    """One of the folds; the same prompt is always in the same."""
    return crc32(row.prompt.encode("utf-8", "surrogatepass")) % FOLDS


def _options(values: _Values, skip: int) -> list[_Option]:
    """The choices of an intent by what they come to without one fold (-1: with all), the least loss first.

    Only those that no other choice beats in both loss and cost.
    """
    size = max(sum(part.rows for part in sums) for sums in values.values())
    found = []
    for choice, sums in values.items():
        whole = _Sums()
        for place, part in enumerate(sums):
            if place != skip:
                whole.add(part)
        if whole.rows >= COVERED * size * (FOLDS - 1) / FOLDS or _is_usual(whole, choice):
            loss = 0.0 if _is_usual(whole, choice) else whole.doubted()
            found.append(_Option(choice, size * loss, size * whole.cost / max(whole.rows, 1)))
    kept: list[_Option] = []
    for option in sorted(found, key=lambda one: (one.cost, one.loss, str(one.choice))):
        if not kept or option.loss < kept[-1].loss:
            kept.append(option)
    return kept[::-1]


def _is_usual(sums: _Sums, choice: Choice) -> bool:
    return not choice.last and sums.square == 0 and sums.cost == sums.usual


def _picked(options: Mapping[str, Sequence[_Option]], allowed: float) -> dict[str, Choice]:
    """The options that together cost least and lose at most *allowed*: greedily, by saving for loss."""
    at = dict.fromkeys(options, 0)
    left = allowed - sum(found[0].loss for found in options.values())
    while True:
        best: tuple[float, str, int] | None = None
        for intent, found in options.items():
            now = found[at[intent]]
            for place in range(at[intent] + 1, len(found)):
                loss, saved = found[place].loss - now.loss, now.cost - found[place].cost
                if loss <= left and (best is None or saved / max(loss, 1e-9) > best[0]):
                    best = (saved / max(loss, 1e-9), intent, place)
        if best is None:
            return {intent: options[intent][place].choice for intent, place in at.items()}
        _, intent, place = best
        left -= options[intent][place].loss - options[intent][at[intent]].loss
        at[intent] = place


def _flattery(values: Mapping[str, _Values]) -> float:
    """What the best models of the other folds lose against baselines that were chosen with all rows known."""
    found = _Sums()
    for by_choice in values.values():
        single = [choice for choice in by_choice if not choice.last]
        for skip in range(FOLDS):
            best = min(single, key=lambda choice: (_loss_without(by_choice[choice], skip), str(choice)))
            found.add(by_choice[best][skip])
    return found.loss / max(found.rows, 1)


def _loss_without(sums: Sequence[_Sums], skip: int) -> float:
    parts = [part for place, part in enumerate(sums) if place != skip]
    rows = sum(part.rows for part in parts)
    return sum(part.loss for part in parts) / rows if rows else USUAL_SPREAD


def _allowed(values: Mapping[str, _Values], max_loss: float, *, flattered: bool) -> tuple[float, dict[str, float]]:
    """The loss a row, doubts included, that may be picked for, and what was lost and saved on left-out rows."""
    flattery = _flattery(values) if flattered else 0.0
    without = [{intent: _options(found, skip) for intent, found in values.items()} for skip in range(FOLDS)]
    best = (min(ALLOWED) * max_loss, {"loss": 0.0, "saved": -1.0})
    for share in ALLOWED:
        whole = _Sums()
        for skip, options in enumerate(without):
            rows = sum(sum(part.rows for part in next(iter(found.values()))) for found in values.values())
            picked = _picked(options, share * max_loss * rows * (FOLDS - 1) / FOLDS)
            for intent, choice in picked.items():
                whole.add(values[intent][choice][skip])
        loss = whole.loss / max(whole.rows, 1) - flattery
        saved = 1 - whole.cost / whole.usual if whole.usual else 0.0
        if loss <= max_loss * MARGIN and saved > best[1]["saved"]:
            best = (share * max_loss, {"loss": round(loss, 5), "saved": round(saved, 5)})
    return best


def _gains(rows: Sequence[OutcomeRow]) -> gains.Gains | None:
    """What the stronger of two models adds, where there are just two and no costs."""
    counted = _means(rows)
    if len(counted) != 2 or any(cost > 0 for _, cost, _ in counted.values()):  # noqa: PLR2004
        return None
    weak, strong = sorted(counted, key=lambda model: (counted[model][0], model))
    seen = [
        (row.intent, row.prompt, row.outcomes[strong].score - row.outcomes[weak].score)
        for row in rows
        if weak in row.outcomes and strong in row.outcomes
    ]
    return gains.learn(seen, weak, strong) if seen else None

"""Learns a policy from outcomes: a choice for each intent, so that together they cost least at the allowed loss.

A choice is compared with the baseline row by row, and reckoned with the upper confidence bound of its loss: the
best of many choices was also lucky, the more so the fewer its rows. What is said of the whole policy is measured
on rows that its choices were not made by.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from zlib import crc32

from intendant.planning import gains, novelty
from intendant.planning.answer_checks import FAULTY, form_of
from intendant.planning.outcomes import OutcomeRow
from intendant.planning.policies import Choice, Policy

FOLDS = 5
GOOD, CHEAPEST, LAST = 4, 2, 3
"""Models among which agreement is sought: so many that score best of those that cost at most a quarter of the best
one, and so many that cost least; and those that may decide. The more, the luckier the best choice looks.
"""
USUAL_SPREAD = 0.3
"""Standard deviation of the loss of one more row, so that few equal rows leave a doubt; the loss without any."""
COVERED = 0.5
"""Share of an intent's rows that a model must have, so that it may be chosen."""
SURE = 1.645
"""Standard errors of a one-sided bound of 95 %."""
RIGHT, RARE = 0.5, 0.1
"""The score of a right answer at least; a form that fewer of them have is none of theirs."""
SHARES = (2.0, 1.6, 1.3, 1.0, 0.8, 0.6)
"""Multiples of the allowed loss that the bounds of all choices may come to: together they are above what is lost.
The first one is taken that loses, on rows left out, no more than what is allowed and a standard error.
"""
GRID = 2000
"""Parts of the allowed loss in which choices are reckoned."""
LEAST_COMPARED = 10
"""Rows of an intent by which two models are compared."""
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
        """The upper bound of the loss a row."""
        if not self.rows:
            return USUAL_SPREAD
        mean = self.loss / self.rows
        spread = max(self.square - self.rows * mean * mean, 0.0) + USUAL_SPREAD**2
        return mean + SURE * math.sqrt(spread / (self.rows + 1) / self.rows)


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
    flattery = _flattery(values) if "" not in baseline else 0.0
    share, figures = _share(values, max_loss, flattery)
    options = {intent: _options(found, -1) for intent, found in values.items()}
    picked = _picked(options, (share * max_loss + flattery) * len(rows))
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
        {**figures, "rows": len(rows), "max_loss": max_loss, "dominated": dominated(by_intent)},
        _gains(rows),
        novelty.learn([row.prompt for row in rows]),
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
        choices += _agreements(models, means, _forms(rows, usual))
    return {choice: _sums(choice, rows, usual) for choice in choices}


def _forms(rows: Sequence[OutcomeRow], usual: str) -> tuple[str, ...]:
    """The forms in which right answers of the model *usual* come, rare ones aside."""
    right = [row.outcomes[usual] for row in rows if usual in row.outcomes and row.outcomes[usual].score >= RIGHT]
    found = Counter(form_of(outcome.answer) for outcome in right)
    return tuple(
        sorted(form for form, number in found.items() if number >= RARE * len(right) and form not in FAULTY)
    )


def _agreements(
    models: Sequence[str], means: Mapping[str, tuple[float, float, int]], forms: tuple[str, ...]
) -> Iterator[Choice]:
    """Cheap models whose answers must have one of *forms*, or of which some must agree, before a dearer one."""
    by_cost = sorted(models, key=lambda model: (means[model][1], model))
    best = sorted(models, key=lambda model: (-means[model][0], means[model][1], model))[:LAST]
    good = [model for model in by_cost if means[model][1] <= means[best[0]][1] / 4]
    good = sorted(good, key=lambda model: -means[model][0])[:GOOD]
    cheap = sorted({*good, *by_cost[:CHEAPEST]}, key=lambda model: (means[model][1], model))
    for model, last in product(cheap, best):
        if last != model and means[last][1] > means[model][1]:
            yield Choice((model,), last, 1, forms)
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
    """The options that together cost least and lose at most *allowed* (a knapsack, by dynamic programming)."""
    left = allowed - sum(found[0].loss for found in options.values())
    if left <= 0:
        return {intent: found[0].choice for intent, found in options.items()}
    best: list[tuple[float, tuple[int, ...]] | None] = [(0.0, ()), *[None] * GRID]
    for found in options.values():
        steps = [round((each.loss - found[0].loss) / left * GRID) for each in found]
        after: list[tuple[float, tuple[int, ...]] | None] = [None] * (GRID + 1)
        for used, known in enumerate(best):
            if known is None:
                continue
            for place, step in enumerate(steps):
                if used + step > GRID:
                    break  # the least loss comes first
                cost = known[0] + found[place].cost
                there = after[used + step]
                if there is None or cost < there[0]:
                    after[used + step] = (cost, (*known[1], place))
        best = _undominated(after)
    places = min((known for known in best if known is not None), key=lambda known: known[0])[1]
    return {intent: found[place].choice for (intent, found), place in zip(options.items(), places, strict=True)}


def _undominated(
    found: Sequence[tuple[float, tuple[int, ...]] | None],
) -> list[tuple[float, tuple[int, ...]] | None]:
    """Only those that cost less than all that lose less."""
    kept: list[tuple[float, tuple[int, ...]] | None] = []
    least = math.inf
    for known in found:
        better = known is not None and known[0] < least
        least = known[0] if known is not None and better else least
        kept.append(known if better else None)
    return kept


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


def _share(values: Mapping[str, _Values], max_loss: float, flattery: float) -> tuple[float, dict[str, float]]:
    """The share of the allowed loss that choices may be picked for, and what comes of it on rows left out.

    The more choices there are, the luckier the best of them looked: then less may be lost on the rows that they
    are picked by.
    """
    found = {share: _left_out(values, share * max_loss, flattery) for share in SHARES}
    good = [share for share in SHARES if _lost_less(found[share]) <= max_loss]
    share = good[0] if good else SHARES[-1]
    return share, found[share]


def _lost_less(figures: Mapping[str, float]) -> float:
    """What is lost on rows left out, less a standard error."""
    return figures["loss"] - (figures["most_lost"] - figures["loss"]) / SURE


def _left_out(values: Mapping[str, _Values], max_loss: float, flattery: float) -> dict[str, float]:
    """What is lost and saved on rows that the choices were not made by: each fold is left out in turn."""
    whole = _Sums()
    # What an option loses is scaled to all rows of its intent, so that as much is allowed as where all are known.
    rows = sum(part.rows for found in values.values() for part in next(iter(found.values())))
    for skip in range(FOLDS):
        options = {intent: _options(found, skip) for intent, found in values.items()}
        for intent, choice in _picked(options, (max_loss + flattery) * rows).items():
            whole.add(values[intent][choice][skip])
    number = max(whole.rows, 1)
    loss = whole.loss / number - flattery
    error = math.sqrt(max(whole.square / number - (whole.loss / number) ** 2, 0.0) / number)
    saved = 1 - whole.cost / whole.usual if whole.usual else 0.0
    return {"loss": round(loss, 5), "saved": round(saved, 5), "most_lost": round(loss + SURE * error, 5)}


def dominated(by_intent: Mapping[str, Sequence[OutcomeRow]]) -> dict[str, str]:
    """Models that another one beats in quality and in cost over the rows that both have, with that one.

    It must have a fifth of the rows, and be worse in no intent where both have as many as ten.
    """
    rows = [row for found in by_intent.values() for row in found]
    models = sorted({model for row in rows for model in row.outcomes})
    found: dict[str, str] = {}
    for model in models:
        for other in models:
            if other != model and other not in found and _beats(other, model, by_intent, len(rows)):
                found[model] = other
                break
    return found


def _beats(other: str, model: str, by_intent: Mapping[str, Sequence[OutcomeRow]], size: int) -> bool:
    better, cheaper, number = 0.0, 0.0, 0
    for rows in by_intent.values():
        pairs = [
            (row.outcomes[other], row.outcomes[model]) for row in rows if {other, model} <= row.outcomes.keys()
        ]
        gain = sum(mine.score - yours.score for mine, yours in pairs)
        if len(pairs) >= LEAST_COMPARED and gain < 0:
            return False
        better += gain
        cheaper += sum(yours.cost - mine.cost for mine, yours in pairs)
        number += len(pairs)
    return number >= size / 5 and better > 0 and cheaper > 0


def _gains(rows: Sequence[OutcomeRow]) -> gains.Gains | None:
    """What the stronger of two models adds, where there are just two and no costs."""
    counted = _means(rows)
    if len(counted) != 2 or any(cost > 0 for _, cost, _ in counted.values()):  # noqa: PLR2004
        return None
    weak, strong = sorted(counted, key=lambda model: (counted[model][0], model))
    seen = [
        gains.Seen(row.intent, row.prompt, row.outcomes[strong].score, row.outcomes[weak].score)
        for row in rows
        if weak in row.outcomes and strong in row.outcomes
    ]
    return gains.learn(seen, weak, strong) if seen else None

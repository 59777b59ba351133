# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=2", "scipy>=1.14", "intendant-classify-local"]
# ///
"""Learns the weights of the local classifier from labelled steps, and measures them on what was left out.

    python plugins/classify-local/training/learn.py [LABELLED.jsonl …] [--out weights.json]

Always learns from the project's own steps, all of them invented: `steps.jsonl` beside this file, and the rows
made from the names in the tables beside it (`material.py` puts them together). Further files are added. A labelled
file has a step a line: `step`, `gold`, `alt`, `platform`, `difficulty`, `workflow`, perhaps `weight`. The weights
contain no step: only features that occur in two workflows or more, words of free text in three. The same input
gives the same weights.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is loaded; sums in another order give other weights

import numpy as np
import scipy.sparse as sp
from material import material
from reshaping import carried, restated
from scipy.optimize import minimize

from intendant.plugin import Answer, Evaluation, LabelledStep
from intendant_classify_local._features import BARE, structure
from intendant_classify_local._ngrams import ngrams
from intendant_classify_local._view import StepView

Row = dict[str, Any]
INTENTS = (
    *("extract", "summarize", "generate", "validate", "send", "transform", "conditional", "aggregate", "filter"),
    *("enrich", "none"),
)
WEIGHTS = Path(__file__).parents[1] / "src" / "intendant_classify_local" / "weights.json"
PENALTY = 0.5
SECOND_LABEL = 0.2
"""How much of a step counts for its second label."""
RESTATED = 0.4
"""What a step counts that is put as another platform would."""
LOST = 0.018
"""The share of steps of work that may be taken for none."""
MANY = 60
"""In calibration a platform counts as much as one with this many steps, if it has more."""
FEW = 90
"""Platforms with fewer steps are left out several at a time."""
CHANCE = 0.09
"""How probable an answer is that was guessed among all intents: there the curve of confidence begins."""
UNIT = 0.01
STEPS = 100
"""Of the optimizer, at most."""
BARE_SCALE = 1.3
SCALES = {
    kind: scale
    for scale, kinds in {
        1.5: "ke m yr m+yr",
        1.2: "le o os xl",
        1: "f1 k l a ae n0 n1 nq p1 h s o2 xz m+xz kx lx ax khg lhg ahg",
        0.8: "xd no pl m+f1 ot m+y ow m+n1 m+nq pr q x xs m+o2 mo pf yk cd+yk",
        0.7: "co nx d0 m+p1 u m+yk cd",
        0.6: "kh lh ah kb lb ab do nb nd f nh n1+ at pw pi po n2 p2",
        0.5: "c nf d1",
        0.45: "nt kt lt y z",
        0.4: "nc",
        0.3: "rt pt",
        0.25: "dt",
    }.items()
    for kind in kinds.split()
}
"""How freely a kind of feature may speak: structure more than bare words, which tie to a platform."""


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")


def scale(feature: str) -> float:
    """The scale of a feature's kind."""
    if feature.startswith(BARE):
        return BARE_SCALE * scale(feature.removeprefix(BARE))
    kind = feature.partition(":")[0]
    return 0.7 if kind.startswith("h+") else SCALES.get(kind, 0.8)


def read(path: Path) -> list[Row]:
    """The rows of a labelled file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


@dataclass(frozen=True)
class View:
    """One way to look at steps.

    Attributes:
        features: The names of a step's features.
        scale: How freely a feature may speak.
        needed: In how many workflows a feature must occur, so that no step can be read from the weights.
        noticeable: In units; features whose weights are all smaller are left out of the file.
    """

    features: Callable[[StepView], list[str]]
    scale: Callable[[str], float]
    needed: Callable[[str], int]
    noticeable: int


class Learner:
    """Multinomial logistic regression with a penalty on the square of weights."""

    def __init__(self, view: View, rows: Sequence[Row], weight: Sequence[float]) -> None:
        self.view = view
        found = [_features_of(view, json.dumps(row["step"])) for row in rows]
        self.index = self._vocabulary(rows, found)
        self.scales = np.array([view.scale(name) for name in self.index] + [1.0])
        targets = np.array([_target(row) for row in rows])
        self.weights = self._fit(self.matrix(found), targets, np.array(weight))

    def _vocabulary(self, rows: Sequence[Row], found: Sequence[Sequence[str]]) -> dict[str, int]:
        seen: dict[str, set[str]] = defaultdict(set)
        for row, names in zip(rows, found, strict=True):
            for name in names:
                seen[name].add(f"{row['platform']}/{row['workflow']}")
        kept = sorted(name for name, where in seen.items() if len(where) >= self.view.needed(name))
        return {name: place for place, name in enumerate(kept)}

    def matrix(self, found: Sequence[Sequence[str]]) -> sp.csr_matrix:
        """Steps by features, the last column for the bias."""
        places = [
            (row, self.index[name]) for row, names in enumerate(found) for name in names if name in self.index
        ]
        places += [(row, len(self.index)) for row in range(len(found))]
        rows, columns = zip(*places, strict=True)
        return sp.csr_matrix((np.ones(len(places)), (rows, columns)), shape=(len(found), len(self.index) + 1))

    @staticmethod
    def _loss(
        scaled: sp.csr_matrix, targets: np.ndarray, weight: np.ndarray, shape: tuple[int, int]
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        penalty = np.full((shape[0], 1), PENALTY)
        penalty[-1] = PENALTY / 100
        turned = scaled.T.tocsr()

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(shape)
            chances = softmax(scaled @ weights)
            value = -(weight[:, None] * targets * np.log(chances + 1e-12)).sum() + (penalty * weights**2).sum() / 2
            slope = turned @ (weight[:, None] * (chances - targets)) + penalty * weights
            return value, slope.ravel()

        return loss

    def _fit(self, matrix: sp.csr_matrix, targets: np.ndarray, weight: np.ndarray) -> np.ndarray:
        scaled = (matrix @ sp.diags(self.scales)).tocsr()
        shape = (scaled.shape[1], len(INTENTS))
        loss = self._loss(scaled, targets, weight, shape)
        best = minimize(
            loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
        )
        return self.scales[:, None] * best.x.reshape(shape)

    def scores(self, rows: Sequence[Row]) -> np.ndarray:
        """The scores of *rows* for each intent."""
        return self.matrix([_features_of(self.view, json.dumps(row["step"])) for row in rows]) @ self.weights


class Averaged:
    """Both views, each learned by itself. The mean of their scores is that of their log-probabilities."""

    def __init__(self, rows: Sequence[Row], weight: Sequence[float]) -> None:
        self.learners = [Learner(view, rows, weight) for view in VIEWS]

    def scores(self, rows: Sequence[Row]) -> np.ndarray:
        """The scores of *rows* for each intent."""
        return sum(learner.scores(rows) for learner in self.learners) / len(self.learners)


@cache
def _features_of(view: View, step: str) -> tuple[str, ...]:
    """The features of a step, given as JSON; each step is seen by most of the learners."""
    return tuple(view.features(StepView.of_raw(json.loads(step))))


def _needed(feature: str) -> int:
    """Of the structure; words of free text must occur in three workflows."""
    return 3 if feature.removeprefix(BARE).partition(":")[0] in ("pt", "rt", "dt") else 2


def _needed_ngrams(feature: str) -> int:
    """Of the n-grams; those of free texts and values must occur in three workflows."""
    return 3 if feature[:2] in ("gn", "gd", "gp", "gv", "gy") else 2


VIEWS = (
    View(structure, scale, _needed, noticeable=5),
    View(ngrams, lambda name: 0.4 if name[:2] in ("gy", "gv") else 1.0, _needed_ngrams, noticeable=12),
)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of scores, row by row."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _target(row: Row) -> np.ndarray:
    target = np.zeros(len(INTENTS))
    if row.get("alt") in INTENTS:
        target[INTENTS.index(row["alt"])] = SECOND_LABEL
    target[INTENTS.index(row["gold"])] = 1 - target.sum()
    return target


def learn(rows: Sequence[Row]) -> Averaged:
    """A learner that has seen *rows*, and the invented ones among them restated."""
    put = carried(rows)
    rows = [*rows, *put]
    more = restated(rows)
    weight = [float(row.get("weight", 1)) for row in [*rows, *more]]
    return Averaged([*rows, *more], weight[: len(rows)] + [RESTATED * value for value in weight[len(rows) :]])


def left_out(rows: Sequence[Row], fold: Sequence[Any], only: Sequence[int]) -> np.ndarray:
    """Scores of the rows at *only* by a learner that saw none of their fold, nor any named after its platforms."""
    scores = np.zeros((len(rows), len(INTENTS)))
    for part in sorted({fold[place] for place in only}, key=str):
        test = [place for place in only if fold[place] == part]
        names = {rows[place]["platform"] for place in test}
        seen = [
            row
            for row, value in zip(rows, fold, strict=True)
            if value != part and not (row.get("invented") and _named_after(row["platform"], names))
        ]
        scores[test] = learn(seen).scores([rows[place] for place in test])
    return scores[list(only)]


def _named_after(platform: str, names: Iterable[str]) -> bool:
    """Whether invented rows are those of one of the platforms, as `k7airflow` are of `airflow`."""
    return any(platform.endswith(name) for name in names)


def folds_by_platform(rows: Sequence[Row]) -> list[str]:
    """Each large platform of the given files by itself, the small ones in five folds, the invented ones in six."""
    count = Counter(row["platform"] for row in rows if not row.get("invented"))
    small = sorted(name for name, number in count.items() if number < FEW)
    invented = sorted({row["platform"] for row in rows if row.get("invented")})
    return [
        f"invented {invented.index(row['platform']) % 6}"
        if row.get("invented")
        else f"small {small.index(row['platform']) % 5}"
        if row["platform"] in small
        else row["platform"]
        for row in rows
    ]


def answers(rows: Sequence[Row], chances: np.ndarray, abstain: float, sure: Any = None) -> Evaluation:
    """What would be said, as `LocalClassifier` decides it."""
    found = []
    for row, chance in zip(rows, chances, strict=True):
        order = chance.argsort()[::-1]
        best = (
            len(INTENTS) - 1
            if chance[-1] >= abstain
            else next(place for place in order if INTENTS[place] != "none")
        )
        confidence = float(chance[best]) if sure is None else float(sure(chance[best]))
        found.append(Answer(LabelledStep.of_row(row), INTENTS[best], confidence))
    return Evaluation(tuple(found))


@dataclass(frozen=True)
class Calibration:
    """What scores are worth on platforms that were not learned from.

    Attributes:
        heat: Scores are divided by this.
        abstain: The threshold above which a step is none.
        knots: Probabilities of the answer, ascending.
        accuracy: How often answers of these probabilities had the first label.
    """

    heat: float
    abstain: float
    knots: list[float]
    accuracy: list[float]

    @classmethod
    def of(cls, rows: Sequence[Row], scores: np.ndarray) -> "Calibration":
        """Fitted to scores of rows that were left out; a platform of many rows does not outweigh the others."""
        weight = _balanced(rows)
        targets = np.array([_target(row) for row in rows])
        losses = {
            heat: -(weight[:, None] * targets * np.log(softmax(scores / heat) + 1e-12)).sum()
            for heat in np.arange(0.8, 2.6, 0.1)
        }
        heat = round(float(min(losses, key=lambda key: losses[key])), 2)
        abstain = _abstain_at(rows, softmax(scores / heat), weight)
        said = answers(rows, softmax(scores / heat), abstain).answers
        top = np.array([answer.confidence for answer in said])
        knots, accuracy = _isotonic(top, _right(said), weight)
        return cls(heat, abstain, [CHANCE, *knots], [CHANCE, *accuracy])

    def answers(self, rows: Sequence[Row], scores: np.ndarray) -> Evaluation:
        """What would be said of *rows*."""
        return answers(rows, softmax(scores / self.heat), self.abstain, self.sure)

    def sure(self, chance: float) -> float:
        """The confidence of an answer of this probability."""
        return float(np.interp(chance, self.knots, self.accuracy))


def _balanced(rows: Sequence[Row]) -> np.ndarray:
    count = Counter(row["platform"] for row in rows)
    return np.array([row.get("weight", 1.0) * MANY / max(MANY, count[row["platform"]]) for row in rows])


def _right(said: Sequence[Answer]) -> np.ndarray:
    return np.array([float(answer.strict) for answer in said])


def crossed(rows: Sequence[Row], scores: np.ndarray) -> Evaluation:
    """Answers to the rows of each platform, with the calibration of all other ones."""
    found: list[Answer] = []
    for name in sorted({row["platform"] for row in rows}):
        own = np.array([row["platform"] == name for row in rows])
        others = Calibration.of([row for row, mine in zip(rows, own, strict=True) if not mine], scores[~own])
        found += others.answers([row for row, mine in zip(rows, own, strict=True) if mine], scores[own]).answers
    return Evaluation(tuple(found))


def strict_error(said: Sequence[Answer], bins: int = 10) -> float:
    """The expected calibration error where only the first label is right."""
    top = np.array([answer.confidence for answer in said])
    place = np.minimum((top * bins).astype(int), bins - 1)
    gaps = [abs((top - _right(said))[place == each].sum()) for each in range(bins)]
    return float(sum(gaps) / len(said))


def _abstain_at(rows: Sequence[Row], chances: np.ndarray, weight: np.ndarray) -> float:
    """The lowest threshold that takes few steps of work for none."""
    work = np.array([row["gold"] != "none" for row in rows])
    for threshold in np.arange(0.4, 0.95, 0.02):
        lost = (chances[:, -1] >= threshold) * weight
        if lost[work].sum() <= LOST * weight[work].sum():
            return round(float(threshold), 2)
    return 0.95


def _isotonic(
    top: np.ndarray, right: np.ndarray, weight: np.ndarray, bins: int = 12
) -> tuple[list[float], list[float]]:
    """A rising curve through the means of bins of like weight (pool adjacent violators)."""
    order = top.argsort()
    edges = np.searchsorted(weight[order].cumsum(), np.linspace(0, weight.sum(), bins + 1)[1:-1])
    pools = []
    for part in np.split(order, edges):
        if len(part):
            mass = weight[part].sum()
            pools.append(
                [(top[part] * weight[part]).sum() / mass, (right[part] * weight[part]).sum() / mass, mass]
            )
        while pools[1:] and pools[-1][1] <= pools[-2][1]:
            x, y, mass = pools.pop()
            other = pools[-1]
            whole = other[2] + mass
            pools[-1] = [(other[0] * other[2] + x * mass) / whole, (other[1] * other[2] + y * mass) / whole, whole]
    return [round(float(pool[0]), 4) for pool in pools], [round(float(pool[1]), 4) for pool in pools]


def save(learner: Averaged, calibration: Calibration, path: Path) -> None:
    """Write the weights as whole multiples of `UNIT`, half of each view's, without those that are all small."""
    table: dict[str, list[int]] = {}
    bias = np.zeros(len(INTENTS))
    for part in learner.learners:
        whole = np.rint(part.weights / len(learner.learners) / UNIT).astype(int)
        bias += whole[-1]
        table.update(
            (name, whole[place].tolist())
            for name, place in part.index.items()
            if np.abs(whole[place]).max() >= part.view.noticeable
        )
    head = {
        "intents": INTENTS,
        "unit": UNIT,
        "bias": bias.astype(int).tolist(),
        "temperature": calibration.heat,
        "abstain": calibration.abstain,
        "knots": calibration.knots,
        "accuracy": calibration.accuracy,
    }
    rows = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in table.items()
    )
    path.write_text(json.dumps(head)[:-1] + ', "weights": {\n' + rows + "\n}}\n", "utf-8")


def main() -> None:
    """Learn, measure on what was left out, calibrate, save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="labelled steps besides the project's own")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--workflows", action="store_true", help="measure with each workflow left out, too")
    options = parser.parse_args()
    given = [row for path in options.files for row in read(path)]
    rows = given + [{**row, "invented": True} for row in material()]
    judged = rows[: len(given) or len(rows)]
    scores = left_out(rows, folds_by_platform(rows), range(len(judged)))
    calibration = Calibration.of(judged, scores)
    say(f"{len(rows)} steps; temperature {calibration.heat}, abstains at {calibration.abstain}")
    report(judged, scores, calibration)
    if given and options.workflows:
        fold = [hash_fold(row) if not row.get("invented") else -1 for row in rows]
        grouped = calibration.answers(given, left_out(rows, fold, range(len(given))))
        say(f"\n== workflow left out: given files\n\n{grouped.report()}")
    save(learn(rows), calibration, options.out)
    say(f"\nwrote {options.out}")


def report(rows: Sequence[Row], scores: np.ndarray, calibration: Calibration) -> None:
    """Write how *rows* are answered by learners that did not see their platforms."""
    for name, picked in _parts(rows):
        said = calibration.answers([rows[place] for place in picked], scores[picked])
        say(f"\n== platform left out: {name}\n\n{said.report()}")
    said = crossed(rows, scores)
    say(f"\n== all, each platform left out, and calibrated without it\n\n{said.report()}")
    say(f"\ncalibration error where only the first label is right: {strict_error(said.answers):.3f}")


def hash_fold(row: Row) -> int:
    """One of five folds; a workflow's steps are in the same."""
    return sum(map(ord, row["workflow"])) % 5


def _parts(rows: Sequence[Row]) -> list[tuple[str, list[int]]]:
    names = sorted({row["platform"] for row in rows if not row.get("invented")})
    return [(name, [place for place, row in enumerate(rows) if row["platform"] == name]) for name in names]


if __name__ == "__main__":
    main()

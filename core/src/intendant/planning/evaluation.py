"""How good a classifier is on steps whose intent is known."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from intendant.model.results import Classification

NONE = "none"


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """A step and what it is for.

    Attributes:
        gold: Its intent; `none` if it is no step of work.
        alt: A second intent that a careful reader could defend.
    """

    step: Mapping[str, Any]
    gold: str
    alt: str | None = None
    platform: str = ""
    difficulty: str = ""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "LabelledStep":
        """A line of a labelled file: `step` and `gold`, and as far as known `alt`, `platform`, `difficulty`.

        Raises:
            ValueError: `step` or `gold` is missing or of the wrong type.
        """
        step, gold = row.get("step"), row.get("gold")
        if not isinstance(step, Mapping):
            raise ValueError("`step` is missing or not an object")  # noqa: TRY004  # bad data, not a bug
        if not isinstance(gold, str) or not gold:
            raise ValueError("`gold`, the step's intent, is missing")
        alt = row.get("alt")
        return cls(
            step=step,
            gold=gold,
            alt=str(alt) if alt else None,
            platform=str(row.get("platform") or ""),
            difficulty=str(row.get("difficulty") or ""),
        )


class Answer(NamedTuple):
    """What was said of a labelled step."""

    labelled: LabelledStep
    intent: str
    """`none` where the classifier abstained."""
    confidence: float

    @property
    def strict(self) -> bool:
        """True if it is the first label."""
        return self.intent == self.labelled.gold

    @property
    def lenient(self) -> bool:
        """True if it is one of the labels; to abstain from a step of work is never right."""
        if self.labelled.gold != NONE and self.intent == NONE:
            return False
        return self.intent in (self.labelled.gold, self.labelled.alt)


class Score(NamedTuple):
    """Accuracy of some answers."""

    steps: int
    strict: float
    lenient: float


class Bin(NamedTuple):
    """Answers of like confidence; `right` counts the first label alone."""

    steps: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answers to labelled steps, and what they come to. Accuracies are of steps of work only."""

    answers: tuple[Answer, ...]

    @property
    def work(self) -> list[Answer]:
        """The answers to steps of work."""
        return [answer for answer in self.answers if answer.labelled.gold != NONE]

    @property
    def overall(self) -> Score:
        """Accuracy over all steps of work."""
        return _score(self.work)

    def by(self, field: str) -> dict[str, Score]:
        """Accuracy by `platform`, `difficulty` or `gold`."""
        parts: dict[str, list[Answer]] = defaultdict(list)
        for answer in self.work:
            parts[getattr(answer.labelled, field)].append(answer)
        return {key: _score(parts[key]) for key in sorted(parts)}

    @property
    def confusion(self) -> Counter[tuple[str, str]]:
        """How often a label got an answer."""
        return Counter((answer.labelled.gold, answer.intent) for answer in self.answers)

    @property
    def abstained(self) -> float:
        """Share of what is no step of work that was recognised as such."""
        rest = [answer.intent == NONE for answer in self.answers if answer.labelled.gold == NONE]
        return sum(rest) / len(rest) if rest else 0.0

    @property
    def lost(self) -> float:
        """Share of steps of work that were taken for none."""
        work = self.work
        return sum(answer.intent == NONE for answer in work) / len(work) if work else 0.0

    def coverage(self, accuracy: float = 0.95) -> float:
        """Largest share of steps of work, surest first, whose answers reach that lenient accuracy."""
        ranked = sorted(self.work, key=lambda answer: -answer.confidence)
        best = right = 0
        for count, answer in enumerate(ranked, 1):
            right += answer.lenient
            if right >= accuracy * count:
                best = count
        return best / len(ranked) if ranked else 0.0

    def reliability(self, bins: int = 10) -> list[Bin]:
        """Answers of like confidence: what was claimed, and how often it was right."""
        parts: dict[int, list[Answer]] = defaultdict(list)
        for answer in self.answers:
            parts[min(int(answer.confidence * bins), bins - 1)].append(answer)
        return [
            Bin(
                steps=len(part),
                confidence=sum(answer.confidence for answer in part) / len(part),
                right=sum(answer.strict for answer in part) / len(part),
            )
            for _, part in sorted(parts.items())
        ]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over ten bins (Naeini, Cooper and Hauskrecht 2015)."""
        total = len(self.answers)
        return (
            sum(part.steps / total * abs(part.confidence - part.right) for part in self.reliability())
            if total
            else 0.0
        )

    def _lines(self, field: str) -> list[str]:
        return [_line(f"{field} {key or '-'}", score) for key, score in self.by(field).items()]

    def report(self) -> str:
        """Everything as text."""
        lines = [
            f"{'':20} {'steps':>6} {'strict':>7} {'lenient':>8}",
            _line("all", self.overall),
            *self._lines("platform"),
            *self._lines("difficulty"),
            *self._lines("gold"),
            "",
            f"answered at 95 % lenient: {self.coverage():.1%}",
            f"no step of work, recognised: {self.abstained:.1%}; steps of work lost by it: {self.lost:.1%}",
            f"calibration error: {self.calibration_error:.3f}",
            "",
            f"{'confidence':>10} {'right':>6} {'steps':>6}",
            *(f"{part.confidence:>10.2f} {part.right:>6.2f} {part.steps:>6}" for part in self.reliability()),
            "",
            *_confusion_lines(self.confusion),
        ]  # fmt: skip
        return "\n".join(lines)


def evaluate(
    steps: Iterable[LabelledStep], classify: Callable[[Mapping[str, Any]], Classification | None]
) -> Evaluation:
    """Ask *classify* about every step; it is not shown the labels. None counts as abstaining."""
    answers = []
    for labelled in steps:
        found = classify(labelled.step)
        intent = (found.intent if found else None) or NONE
        answers.append(Answer(labelled, intent, found.confidence if found else 0.0))
    return Evaluation(tuple(answers))


def _score(answers: Sequence[Answer]) -> Score:
    count = len(answers)
    if not count:
        return Score(0, 0.0, 0.0)
    return Score(
        count, sum(answer.strict for answer in answers) / count, sum(answer.lenient for answer in answers) / count
    )


def _line(name: str, score: Score) -> str:
    return f"{name:20} {score.steps:>6} {score.strict:>7.1%} {score.lenient:>8.1%}"


def _confusion_lines(confusion: Counter[tuple[str, str]]) -> list[str]:
    names = sorted({name for pair in confusion for name in pair})
    head = f"{'label / answer':14}" + "".join(f"{name[:6]:>7}" for name in names)
    return [
        head,
        *(f"{gold:14}" + "".join(f"{confusion[gold, name] or '·':>7}" for name in names) for gold in names),
    ]

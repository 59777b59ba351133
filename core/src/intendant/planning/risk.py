"""A floor that holds statistically: of new documents of the same kinds, at most a stated share falls below it.

Documents whose critical facts are known are compressed to several sizes. Of each, what is measured without those
facts (`quality`) and what really survived is kept. Conformal risk control (Angelopoulos et al. 2022) gives the
least quality to ask for, so that the expected share of new documents below the floor is at most the risk, whatever
their distribution, as long as they are like those (exchangeable).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from intendant.model.errors import IntendantError

SIZES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the tokens to which documents are compressed, smallest first."""
AIM = 0.3
"""The share that is aimed at where a floor has a risk and no size is asked for; the floor raises it."""
LEAST_DOCUMENTS = 20
_SHIPPED = "risk_calibration.json"
Steps = Sequence[tuple[float, float]]
"""Of one document, smallest size first: the quality measured, and the share of critical facts that was kept."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Documents whose critical facts are known, compressed to several sizes.

    Attributes:
        documents: The steps of each.
        source: What they are, in words.
    """

    documents: tuple[tuple[tuple[float, float], ...], ...]
    source: str = ""

    def least_quality(self, floor: float, risk: float) -> float:
        """The least quality to ask for, so that at most *risk* of new documents keep less than *floor*.

        Args:
            floor: Share of critical facts that has to survive, 0 to 1.
            risk: Share of documents that may keep less, 0 to 1.

        Raises:
            IntendantError: There are too few documents for so small a risk.
        """
        number = len(self.documents)
        least = 1 / (number + 1)
        if number < LEAST_DOCUMENTS or risk < least:
            raise IntendantError(
                f"{number} documents cannot show a risk of {risk:g}",
                hint=f"calibrate on {LEAST_DOCUMENTS} or more of them, and ask for a risk of at least {least:.3f}",
            )
        asked = sorted({quality for steps in self.documents for quality, _ in steps} | {0.0, 1.0})
        low, high = 0, len(asked) - 1
        while low < high:
            middle = (low + high) // 2
            missed = sum(_falls_below(steps, asked[middle], floor) for steps in self.documents)
            if (missed + 1) / (number + 1) <= risk:
                high = middle
            else:
                low = middle + 1
        return asked[high]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"source": self.source, "documents": [[list(step) for step in steps] for steps in self.documents]}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Calibration":
        """What `document` wrote."""
        return cls(
            tuple(tuple((float(one), float(two)) for one, two in steps) for steps in data["documents"]),
            str(data.get("source", "")),
        )


def _falls_below(steps: Steps, quality: float, floor: float) -> bool:
    """True if a document falls below *floor* where this quality is asked for, or a higher one: so that asking for
    more never counts as worse. Chosen is the smallest size of enough quality, else the whole.
    """
    best = -1.0
    for measured, kept in steps:
        if measured > best:
            best = measured
            if measured >= quality and kept < floor:
                return True
    return False


@cache
def shipped() -> Calibration:
    """That of the project's own measurements: 191 documents of 13 kinds."""
    return Calibration.of(json.loads((files("intendant.planning") / _SHIPPED).read_text("utf-8")))


@lru_cache(16)
def least_quality(floor: float, risk: float, path: str = "") -> float:
    """The least quality by the calibration in a file, or the shipped one; see `Calibration.least_quality`.

    Raises:
        IntendantError: The file cannot be read, or there are too few documents.
    """
    return (read(Path(path)) if path else shipped()).least_quality(floor, risk)


def read(path: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        IntendantError: It cannot be read, or is none.
    """
    try:
        return Calibration.of(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise IntendantError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        hint = "make one with `intendant compress DOCUMENTS.jsonl --calibrate FILE`"
        raise IntendantError(f"{path} is no calibration", hint=hint) from None


def calibrate(
    documents: Iterable[tuple[str, str, Sequence[str]]], compress: Callable[[str, str, float], tuple[str, float]]
) -> Calibration:
    """Compress documents whose critical facts are known, and see what survives.

    Args:
        documents: Text, question (may be empty), and the facts as they stand in the text.
        compress: Compresses a text for a question to a share of its tokens; gives the result and its quality.
    """
    found = []
    for text, query, facts in documents:
        steps = []
        for size in SIZES:
            result, quality = compress(text, query, size)
            there = _plain(result)
            kept = sum(_plain(fact) in there for fact in facts) / len(facts) if facts else 1.0
            steps.append((round(quality, 4), round(kept, 4)))
        found.append(tuple(steps))
    return Calibration(tuple(found), f"{len(found)} documents")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())

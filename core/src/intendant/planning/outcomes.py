"""What models answered to which prompts, at what cost, and how good that was: what routing is learned from.

A file has a row a line: `id`, `intent`, `prompt`, and `outcomes`, by model: `score` (0 to 1), perhaps `cost` (US$)
and `answer`. Not every model needs to be in every row.
"""

import ast
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from intendant.model.errors import IntendantError

_MAGIC = b"\x1f\x8b"
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_LONG = 400
"""Characters of an answer that is compared as a whole; of longer ones the end says what was found."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking one model."""

    score: float
    cost: float
    answer: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A prompt, and what came of asking the models that have been asked."""

    id: str
    intent: str
    prompt: str
    outcomes: Mapping[str, Outcome]


def read_outcomes(paths: Iterable[Path]) -> list[OutcomeRow]:
    """The rows of JSONL files, perhaps compressed with gzip.

    Raises:
        IntendantError: A file cannot be read, or a line of it is no row; names both.
    """
    rows = [row for path in paths for row in _rows(path)]
    if not rows:
        raise IntendantError("there are no outcomes", hint="each line needs `prompt` and `outcomes`")
    return rows


def _rows(path: Path) -> Iterator[OutcomeRow]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == _MAGIC else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise IntendantError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _row(json.loads(line), f"{path.name}:{number}")
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise IntendantError(
                    f"{path}, line {number} is no row of outcomes: {error}",
                    hint='such as {"id": "a", "intent": "math", "prompt": "…", "outcomes": {"m": {"score": 1.0}}}',
                ) from None


def _row(data: Mapping[str, Any], where: str) -> OutcomeRow:
    outcomes = {
        str(model): Outcome(_share(said["score"]), _cost(said.get("cost")), str(said.get("answer") or ""))
        for model, said in data["outcomes"].items()
    }
    if not outcomes:
        raise ValueError("it has no outcome")
    return OutcomeRow(str(data.get("id") or where), str(data.get("intent") or ""), str(data["prompt"]), outcomes)


def _share(value: Any) -> float:
    score = float(value)
    if not 0 <= score <= 1:
        raise ValueError(f"the score {score} is not between 0 and 1")
    return score


def _cost(value: Any) -> float:
    cost = float(value or 0)
    if not 0 <= cost < float("inf"):
        raise ValueError(f"the cost {cost} is none")
    return cost


def same_answer(one: str, other: str) -> bool:
    """Whether two answers say the same; two empty ones do not."""
    mine, yours = normal_answer(one), normal_answer(other)
    return bool(mine) and mine == yours


@lru_cache(200_000)
def normal_answer(text: str) -> str:
    """An answer without case, spaces, quotes and the like; a number by its value, a long text by its end.

    A list of one text, as some logs keep answers, counts as the text.
    """
    text = unlisted(text)
    said = " ".join(text[-_LONG:].lower().split()).strip(" .\"'`*[]()$")
    if (number := _NUMBER.fullmatch(said)) is not None:
        return f"{float(number[0].replace(',', '')):g}"
    return re.sub(r"[\s\"'`*$\\{}]+", "", said)


def unlisted(text: str) -> str:
    """The text of a list of one text; other texts as they are."""
    if not text.startswith(("['", '["')):
        return text
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    return found[0] if isinstance(found, list) and len(found) == 1 and isinstance(found[0], str) else text

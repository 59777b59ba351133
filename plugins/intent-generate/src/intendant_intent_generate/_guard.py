"""Guardrails: what a text must and must not be, checked without a model, however it was written."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from pydantic import Field

from intendant.plugin import Expression, ExpressionFailed, Json, Options, StepError, condition_faults
from intendant.records import caseless

NAMES = ("text", "value", "input", "values")
SHOWN = 60
_WORD = re.compile(r"\w[\w'’.-]*")  # noqa: RUF001  # apostrophes of other keyboards


class GuardRule(Options):
    """A condition that must hold."""

    rule: str
    """A CEL condition on `text` (the generated text), `value` (its data, if the step has an `output` schema),
    `input` and `values`; `text.matches('…')` takes a regular expression and runs in linear time."""
    message: str = ""
    """The message to the model and the reader if the rule is broken; by default the rule itself."""


class Guard(Options):
    """Checks of the text. If one fails, the model is told what is wrong and asked again, then one of the next
    stronger tier.
    """

    min_words: int | None = Field(None, ge=1)
    max_words: int | None = Field(None, ge=1)
    max_characters: int | None = Field(None, ge=1)
    must_mention: list[str | list[str]] = Field(default_factory=list)
    """Texts that must occur, ignoring case; of a nested list, at least one."""
    forbidden: list[str] = Field(default_factory=list)
    """Words and texts that must not occur, ignoring case; words match as whole words."""
    rules: list[GuardRule] = Field(default_factory=list)
    values: dict[str, Json] = Field(default_factory=dict)
    """Values that the rules may use as `values.<name>`; put references here."""
    on_break: Literal["fail", "report"] = "fail"
    """What to do if a check still fails: fail the step, or report it in the notes."""

    def checker(self, source: Json) -> Callable[[Json], Awaitable[Sequence[str]]]:
        """Tells what is wrong with a text, or with data. A rule that could take long is evaluated in a process of
        its own, which is killed with the step.

        Args:
            source: The step's input.

        Raises:
            StepError: A rule is no condition.
        """
        rules = [(rule, Expression(rule.rule, NAMES)) for rule in self.rules]

        async def check(value: Json) -> Sequence[str]:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found = [*self._lengths(text), *self._words(text)]
            for rule, condition in rules:
                try:
                    if not await condition.test_async(text=text, value=value, input=source, values=self.values):
                        found.append(rule.message or f"`{rule.rule}` does not hold")
                except ExpressionFailed as error:
                    found.append(error.message)
            return found

        return check

    def _lengths(self, text: str) -> list[str]:
        words = len(_WORD.findall(text))
        found = []
        if self.min_words is not None and words < self.min_words:
            found.append(f"it has {words} words, and must have at least {self.min_words}")
        if self.max_words is not None and words > self.max_words:
            found.append(f"it has {words} words, and may have at most {self.max_words}")
        if self.max_characters is not None and len(text) > self.max_characters:
            found.append(f"it has {len(text)} characters, and may have at most {self.max_characters}")
        return found

    def _words(self, text: str) -> list[str]:
        folded = " ".join(caseless(text).split())
        found = []
        for wanted in self.must_mention:
            choices = [wanted] if isinstance(wanted, str) else wanted
            if not any(" ".join(caseless(choice).split()) in folded for choice in choices):
                found.append(f"it does not mention {' or '.join(choice[:SHOWN] for choice in choices)}")
        said = (word for word in self.forbidden if _stands(" ".join(caseless(word).split()), folded))
        return [*found, *(f"it must not say '{word[:SHOWN]}'" for word in said)]

    @staticmethod
    def faults(given: Json) -> list[str]:
        """What is wrong with the rules of a step, seen before it runs."""
        rules = given.get("rules") if isinstance(given, dict) else None
        return [
            fault
            for index, rule in enumerate(rules if isinstance(rules, list) else [])
            for fault in condition_faults(
                rule.get("rule") if isinstance(rule, dict) else None, NAMES, f"guard.rules[{index}].rule"
            )
        ]


def _stands(word: str, text: str) -> bool:
    """Whether a word stands in a text as a whole: not within another one."""
    at = text.find(word) if word else -1
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        if not (before.isalnum() and word[0].isalnum()) and not (after.isalnum() and word[-1].isalnum()):
            return True
        at = text.find(word, at + 1)
    return False


def require(problems: Sequence[str]) -> None:
    """Pass if nothing is wrong.

    Raises:
        StepError: Something is.
    """
    if problems:
        raise StepError(f"the text does not keep to its guard: {'; '.join(problems)}")

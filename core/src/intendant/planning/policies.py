"""Which models are asked for an intent, learned from outcomes.

A choice asks one model; or cheap ones in turn until an answer has the form of right ones, or until two or three
of them say the same; where that does not come, a last one decides.
A policy has choices for each intent, the best first; where a choice needs a model that is not there, the next
counts.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from intendant.model.errors import IntendantError
from intendant.planning.answer_checks import FAULTY, form_of
from intendant.planning.gains import Gains
from intendant.planning.novelty import Familiar
from intendant.planning.outcomes import same_answer

VERSION = 2
Ask = Callable[[str], str]
"""Asks a model and gives its answer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The models that are asked, in turn.

    Attributes:
        ask: One model; or one whose answer must have the right form, or two or three of which some must agree.
        last: The model that decides where they do not; empty if `ask` is one.
        agree: How many must say the same; 1: the first answer counts whose form is right.
        forms: Those forms (see `answer_checks`); empty: any that is not faulty.
    """

    ask: tuple[str, ...]
    last: str = ""
    agree: int = 2
    forms: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """All that may be asked."""
        return (*self.ask, self.last) if self.last else self.ask

    def renamed(self, names: Mapping[str, str]) -> "Choice":
        """The choice with other names for its models."""
        return Choice(tuple(names[name] for name in self.ask), names.get(self.last, ""), self.agree, self.forms)

    def accepts(self, answer: str) -> bool:
        """True if an answer has one of the forms that right ones have."""
        form = form_of(answer)
        return form in self.forms if self.forms else form not in FAULTY

    def run(self, ask: Ask) -> tuple[str, tuple[str, ...]]:
        """The model whose answer counts, and all that were asked."""
        said: dict[str, str] = {}
        for place, model in enumerate(self.ask, 1):
            answer = ask(model)
            if not self.last:
                return model, (model,)
            if self.agree == 1:
                said[model] = answer
                if self.accepts(answer):
                    return model, tuple(said)
                continue
            like = [other for other in said if same_answer(said[other], answer)]
            if len(like) + 1 >= self.agree:
                return like[0], (*said, model)
            said[model] = answer
            if len(self.ask) - place + self._most(said) < self.agree:
                break
        ask(self.last)
        return self.last, (*said, self.last)

    @staticmethod
    def _most(said: Mapping[str, str]) -> int:
        """The largest number of answers that say the same."""
        return max(sum(same_answer(one, other) for other in said.values()) for one in said.values())

    def __str__(self) -> str:
        """As people read it."""
        if not self.last:
            return self.ask[0]
        if self.agree == 1:
            return f"{' or '.join(self.ask)} if {'/'.join(self.forms) or 'well-formed'}, else {self.last}"
        number = f"{self.agree} of " if len(self.ask) > self.agree else ""
        return f"{number}{' = '.join(self.ask)}, else {self.last}"


@dataclass(frozen=True, slots=True)
class Picked:
    """What a policy says of a prompt.

    Attributes:
        choice: The models to ask; None where it does not say.
        reason: Why.
        scores: What is expected of models.
        novel: True if the prompt is unlike those that it was learned from.
    """

    choice: Choice | None
    reason: str
    scores: Mapping[str, float] = field(default_factory=dict)
    novel: bool = False


@dataclass(frozen=True)
class Policy:
    """The choices for each intent, and what they were learned from.

    Attributes:
        intents: By intent, the best choice first.
        default: For intents that nothing is known of.
        baseline: By intent, the model that saving and quality are measured against; empty: the same for all.
        figures: What is expected of it, by cross-validation on what it was learned from.
        gains: What the stronger of two models adds, by prompt; None where there are more models or costs.
        familiar: Tells prompts that are unlike those that it was learned from.
    """

    intents: Mapping[str, Sequence[Choice]]
    default: Sequence[Choice]
    baseline: Mapping[str, str]
    figures: Mapping[str, Any] = field(default_factory=dict)
    gains: Gains | None = None
    familiar: Familiar | None = None

    @cached_property
    def digest(self) -> str:
        """Of all of it: the version of the policy."""
        return str(self.document()["digest"])

    @cached_property
    def models(self) -> tuple[str, ...]:
        """All that may be asked."""
        found = [choice.models for choices in (*self.intents.values(), self.default) for choice in choices]
        found += [(self.gains.weak, self.gains.strong)] if self.gains is not None else []
        return tuple(dict.fromkeys(name for models in found for name in models))

    @property
    def dominated(self) -> Mapping[str, str]:
        """Models that another one beats in quality and in price, with that one."""
        return dict(self.figures.get("dominated", {}))

    @property
    def most_lost(self) -> float:
        """Points of mean score that it loses at most against the baseline: the upper confidence bound."""
        return float(self.figures.get("most_lost", 0.0))

    def decide(self, intent: str, prompt: str, models: Collection[str]) -> "Picked":
        """What is asked for a prompt, of *models*; no choice where the intent is not known or the prompt is unlike
        those that it was learned from.
        """
        if intent not in self.intents:
            return Picked(None, f"the policy knows nothing of '{intent}'", novel=True)
        if self.familiar is not None and self.familiar.is_novel(prompt):
            return Picked(None, "the prompt is unlike those that the policy knows", novel=True)
        gains = self.gains
        if gains is not None and {gains.weak, gains.strong} <= set(models):
            gain = gains.expected(intent, prompt)
            model = gains.strong if gain > gains.enough else gains.weak
            reason = f"{gains.strong} is expected to add {gain:+.3f}"
            return Picked(Choice((model,)), reason, {gains.strong: gain, gains.weak: 0.0})
        choice = self.choice(intent, models)
        return Picked(choice, f"the policy asks {choice} for '{intent}'" if choice else "its models are not there")

    def again(self, intent: str, scores: Mapping[str, float | None]) -> Choice | None:
        """What `decide` came to for a prompt that was not novel, by what it expected of the models then."""
        gains = self.gains
        if intent in self.intents and gains is not None and scores.get(gains.strong) is not None:
            return Choice((gains.strong if (scores[gains.strong] or 0.0) > gains.enough else gains.weak,))
        return self.choice(intent, scores.keys()) if intent in self.intents else None

    def usual(self, models: Collection[str]) -> Choice | None:
        """What is asked where nothing is known of an intent or a prompt: the first choice of `default` that is
        there.
        """
        return next((choice for choice in self.default if set(choice.models) <= set(models)), None)

    def choice(self, intent: str, models: Collection[str]) -> Choice | None:
        """The first choice of which all *models* are there; None if there is none."""
        known = (*self.intents.get(intent, ()), *self.default)
        return next((choice for choice in known if set(choice.models) <= set(models)), None)

    def baseline_of(self, intent: str) -> str:
        """The model that an intent's rows are measured against."""
        return self.baseline.get(intent) or self.baseline.get("", "")

    def document(self) -> dict[str, Any]:
        """As JSON; `digest` is of all the rest."""
        data: dict[str, Any] = {
            "policy": VERSION,
            "intents": {name: [_written(each) for each in found] for name, found in sorted(self.intents.items())},
            "default": [_written(each) for each in self.default],
            "baseline": dict(sorted(self.baseline.items())),
            "figures": dict(self.figures),
            "gains": self.gains.document() if self.gains is not None else None,
            "familiar": self.familiar.document() if self.familiar is not None else None,
        }
        return {**data, "digest": sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]}

    @classmethod
    def read(cls, path: Path) -> "Policy":
        """The policy in a file.

        Raises:
            IntendantError: It cannot be read, or is none.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            if data["policy"] != VERSION:
                raise IntendantError(f"{path} is a policy of version {data['policy']}", hint="train it anew")
            return cls(
                {name: tuple(map(_read, found)) for name, found in data["intents"].items()},
                tuple(map(_read, data["default"])),
                dict(data["baseline"]),
                dict(data["figures"]),
                Gains.read(data["gains"]) if data["gains"] else None,
                Familiar.read(data["familiar"]) if data.get("familiar") else None,
            )
        except OSError as error:
            raise IntendantError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise IntendantError(f"{path} is no policy", hint="make one with `intendant route train`") from None


def _written(choice: Choice) -> dict[str, Any]:
    data: dict[str, Any] = {"ask": list(choice.ask)}
    data |= {"last": choice.last, "agree": choice.agree} if choice.last else {}
    return data | ({"forms": list(choice.forms)} if choice.forms else {})


def _read(data: Mapping[str, Any]) -> Choice:
    forms = tuple(map(str, data.get("forms", ())))
    return Choice(tuple(map(str, data["ask"])), str(data.get("last", "")), int(data.get("agree", 2)), forms)

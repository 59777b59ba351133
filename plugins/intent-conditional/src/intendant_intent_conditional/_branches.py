"""Which branches a decision may take, and whether those that a step has are among them."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from intendant.plugin import Step
from intendant_intent_conditional._parameters import ConditionalParameters

UNKNOWN = "unknown"
"""The branch that is taken where the model cannot tell and there is no `default`."""
OTHER = "other"
"""What a model may choose besides a step's only branch, where that has no opposite."""
_OPPOSITES = {"then": "else", "yes": "no", "true": "false"}
_OPPOSITES |= {no: yes for yes, no in _OPPOSITES.items()}


@dataclass(frozen=True)
class Choices:
    """What a model chooses from."""

    names: tuple[str, ...]
    yes: str | None = None
    """The branch that means yes, where the names do not say so themselves."""
    no: str | None = None


def choices(options: ConditionalParameters, declared: Iterable[str]) -> Choices:
    """The branches that a model chooses from: the option `branches`, `then` and `else`, or those of the step.

    Args:
        options: The step's parameters.
        declared: The names under the step's own key `branches`.
    """
    if options.branches:
        return Choices(tuple(options.branches))
    own = tuple(name for name in declared if name not in (options.default, UNKNOWN))
    if options.model_fields_set & {"then", "else_"} or not own:
        return Choices((options.then, options.else_), options.then, options.else_)
    if len(own) == 1:
        own = (*own, _OPPOSITES.get(own[0], OTHER))
    for yes, no in (("then", "else"), ("true", "false")):
        if set(own) == {yes, no}:
            return Choices((yes, no), yes, no)
    return Choices(own)


def branch_faults(step: Step, *, asks: bool) -> list[str]:
    """Branches of the step that no decision takes.

    Args:
        step: The step.
        asks: Whether a model is asked.
    """
    if not step.branches or _is_open(step.parameters):
        return []
    try:
        options = ConditionalParameters.model_validate(step.parameters)
    except ValidationError:  # told elsewhere
        return []
    possible = _possible(options, step.branches, asks=asks)
    return [_told(name, possible) for name in step.branches if name not in possible]


def _possible(options: ConditionalParameters, declared: Iterable[str], *, asks: bool) -> list[str]:
    """The branches that may be taken, each once."""
    if asks:
        names = [*choices(options, declared).names, options.default or UNKNOWN]
    elif options.if_ is not None:
        names = [options.then, options.else_]
    else:
        decided = [*(case.then for case in options.cases), *(level.then for level in options.levels)]
        names = [*decided, *options.routes.values(), *([] if options.default is None else [options.default])]
    return list(dict.fromkeys(names))


def _is_open(value: Any) -> bool:
    """True if something that names a branch is a reference, whose value is known at run time only."""
    if isinstance(value, dict):
        return any(_is_open(item) for key, item in value.items() if key != "values")
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and "{{" in value


def _told(name: str, possible: list[str]) -> str:
    close = get_close_matches(name, possible, n=1)
    meant = f"did you mean '{close[0]}'?" if close else f"it takes {', '.join(possible)}"
    return f"`branches`: no decision of this step takes '{name}'; {meant}"

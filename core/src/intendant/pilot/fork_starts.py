"""Where a fork begins: an address, read along the workflow and the record of the run that is forked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from intendant.model.errors import IntendantError
from intendant.model.results import StepOutcome
from intendant.model.workflow import ON_ERROR, ROLLBACK, Json, Step, Workflow
from intendant.pilot.retracing import MARK
from intendant.pilot.rollback import STATE_KEY

_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:\[[^\[\]]*\])*)")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
LONGEST = 100
"""Characters of an address, or a part of one, that an error shows."""
NAMED = 20
"""Steps, items or passes that a hint names."""


class Part(NamedTuple):
    """One part of an address: a step or a branch, and the items and passes behind it."""

    name: str
    marks: tuple[str, ...]


def parts_of(address: str) -> tuple[Part, ...]:
    """The parts of an address.

    Raises:
        IntendantError: It is not the address of a step.
    """
    parts, at = list[Part](), 0
    while (found := _PART.match(address, at)) is not None:
        parts.append(Part(found[1], tuple(MARK.findall(found[2]))))
        at = found.end()
        if at == len(address):
            return tuple(parts)
        if address[at] != "/":
            break
        at += 1
    hint = "write label, label[17] or label[17]/draft; the second pass of a loop is improve[2]"
    raise IntendantError(f"{_quoted(address)} is not the address of a step", hint=hint)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a fork begins within steps that are executed together."""

    steps: Sequence[Step]
    """They, without those of `finally`."""
    step: Step
    """The step to begin with, or within which it begins."""
    last: bool = False
    """True if it is one of `finally`: those run again in any case."""
    item: str | None = None
    """The item of its list that is executed again; None for each."""
    number: int | None = None
    """The first pass of its loop that is executed again; None for all."""
    branch: str = ""
    """The branch within which it begins."""
    within: "Begin | None" = None
    """Where it begins within the step; None if all of that is executed again."""


def begin_of(address: str, workflow: Workflow, outcomes: Mapping[str, StepOutcome]) -> Begin:
    """Where a fork begins that starts at an address.

    Args:
        address: Such as `label`, `label[17]/draft`, `improve[2]/draft` or `gate/large/ask`.
        workflow: The workflow of the fork.
        outcomes: How the steps of the other run stand, by their addresses.

    Raises:
        IntendantError: It is no address, or names what is not in the workflow or not in the other run.
    """
    parts = parts_of(address)
    if parts[0].name not in workflow.by_id:
        raise IntendantError(
            f"the workflow has no step {_quoted(parts[0].name)}", hint=_listed("steps", workflow.by_id)
        )
    return _Reader(outcomes).frame("", parts, workflow.steps, workflow.finally_)


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= LONGEST else f"'{text[:LONGEST]}…'"


def _listed(what: str, names: Sequence[str] | Mapping[str, object]) -> str:
    return f"its {what}: {', '.join(list(names)[:NAMED]) or 'none'}"


class _Reader:
    def __init__(self, outcomes: Mapping[str, StepOutcome]) -> None:
        self._outcomes = outcomes

    def frame(
        self, prefix: str | None, parts: Sequence[Part], steps: Sequence[Step], last: Sequence[Step] = ()
    ) -> Begin:
        """Where it begins within *steps*; the first of the *parts* names one of them, or of those of `finally`.

        Args:
            prefix: What the addresses of the steps begin with; None where these are several, one for each item.
            parts: Of the address, from there on.
            steps: The steps.
            last: Those of `finally`.
        """
        part, rest = parts[0], parts[1:]
        step = next(one for one in (*steps, *last) if one.id == part.name)
        here = None if prefix is None else f"{prefix}{step.id}"
        marks, item, number = list(part.marks), None, None
        if step.is_map and marks:
            item = self._item(step, here, marks.pop(0))
        if step.is_map and here is not None:
            here = None if item is None else f"{here}[{item}]"
        if step.loop is not None and (marks or rest):
            number = self._pass(step, here, marks.pop(0)) if marks else 1
            here = None if here is None else f"{here}[{number}]"
        if marks:
            raise IntendantError(f"step '{step.id}' has no item {_quoted(marks[0])}", hint="its items: none")
        branch, within = self._within(step, here, rest) if rest else ("", None)
        return Begin(steps, step, any(step is one for one in last), item, number, branch, within)

    def _within(self, step: Step, here: str | None, rest: Sequence[Part]) -> tuple[str, Begin | None]:
        """The branch and the step with which it goes on within a step."""
        flow = None if step.flow is None else step.flow.workflow
        bodies = {name.rstrip("/"): body for name, body, _ in step.bodies()}
        inner = bodies.pop("", ()) if flow is None else (*flow.steps, *flow.finally_)
        name = rest[0].name
        if name in bodies and not rest[0].marks:
            return self._body(step, here, rest, bodies[name])
        if name not in {one.id for one in inner}:
            known = [*bodies, *(one.id for one in inner)]
            raise IntendantError(f"step '{step.id}' has no step {_quoted(name)}", hint=_listed("steps", known))
        prefix = None if here is None else f"{here}/"
        if flow is None:
            return "", self.frame(prefix, rest, inner)
        begin = self.frame(prefix, rest, flow.steps, flow.finally_)
        return "", None if self._is_undone(prefix) else begin

    def _is_undone(self, prefix: str | None) -> bool:
        """Whether a sub-workflow was rolled back, so that all of it is to be done again."""
        marks = (key for key in self._outcomes if key.endswith(STATE_KEY))
        return any(prefix is None or key == f"{prefix}{STATE_KEY}" for key in marks)

    def _body(
        self, step: Step, here: str | None, rest: Sequence[Part], body: Sequence[Step]
    ) -> tuple[str, Begin | None]:
        """The same where the address goes on with a branch, or with steps for an error."""
        name, *_ = rest[0]
        if name == ROLLBACK:
            raise IntendantError(
                f"the steps under '{step.id}/{ROLLBACK}' undo it, and a fork cannot begin with one",
                hint=f"begin with {step.id}",
            )
        if len(rest) > 1 and rest[1].name not in {one.id for one in body}:
            known = [one.id for one in body]
            raise IntendantError(
                f"step '{step.id}/{name}' has no step {_quoted(rest[1].name)}", hint=_listed("steps", known)
            )
        if name == ON_ERROR:
            return "", None  # whether there is an error shows only once the step was executed again
        self._require_taken(step, here, name)
        prefix = None if here is None else f"{here}/{name}/"
        return name, self.frame(prefix, rest[1:], body) if len(rest) > 1 else None

    def _require_taken(self, step: Step, here: str | None, name: str) -> None:
        """Pass if the step took a branch, as far as that is known."""
        output: Json = None
        if here is not None and (outcome := self._outcomes.get(here)) is not None:
            output = outcome.output
        taken = output.get("branch") if isinstance(output, dict) else None
        if taken is not None and taken != name:
            raise IntendantError(
                f"step '{step.id}' did not take the branch '{name}'", hint=f"it took the branch '{taken}'"
            )

    def _item(self, step: Step, here: str | None, item: str) -> str:
        """The key of an item as the record has it; it may be typed as it is read."""
        if here is None:
            return item
        known = self._marks(here)
        found = item if item in known else next((key for key in known if unquote(key) == unquote(item)), None)
        if found is None:
            raise IntendantError(f"step '{step.id}' has no item {_quoted(item)}", hint=_listed("items", known))
        return found

    def _pass(self, step: Step, here: str | None, text: str) -> int:
        """The number of a pass that the other run began."""
        known = [] if here is None else self._marks(here)
        if _NUMBER.fullmatch(text) is None or (here is not None and text not in known):
            numbers = sorted((mark for mark in known if _NUMBER.fullmatch(mark)), key=int)
            several = len(numbers) > NAMED
            hint = f"its passes: 1 to {numbers[-1]}" if several else _listed("passes", numbers)
            raise IntendantError(f"step '{step.id}' has no pass {_quoted(text)}", hint=hint)
        return int(text)

    def _marks(self, address: str) -> list[str]:
        """The items or passes of a step that the record knows."""
        head = f"{address}["
        found = (key[len(head) :].partition("]")[0] for key in self._outcomes if key.startswith(head))
        return list(dict.fromkeys(found))

"""A run that begins where another one was: what does not depend on the step to begin with is taken over.

A step is *stale* if it is the one to begin with, if it or an input that it refers to was changed, or if it refers
to, or comes after, a stale step. Everything else that is done is kept. Items of a list are kept in a stale step
too where both their key and what they are agree, and nothing else that they refer to is stale.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intendant.model.errors import IntendantError, WorkflowError
from intendant.model.record_access import references_in
from intendant.model.requests import MemoryContext
from intendant.model.results import StepOutcome, Usage
from intendant.model.workflow import Json, Step, Workflow
from intendant.pilot.agent_view import agent_of
from intendant.pilot.correcting import changed_keys
from intendant.pilot.engine import Engine
from intendant.pilot.graph import Graph, names_in
from intendant.pilot.plans import plan_checked
from intendant.pilot.resuming import find_kept, outcomes_of
from intendant.planning.decided import Plan
from intendant.record.store import runs

_SEGMENT = re.compile(r"([^\[\]]+)(?:\[(.*)\])?")


@dataclass(frozen=True, slots=True)
class Fork:
    """What a new run begins with."""

    plan: Plan
    inputs: dict[str, Json]
    memory: MemoryContext | None
    kept: dict[str, StepOutcome]
    """How steps ended in the other run, by their addresses; without what they took there."""


@dataclass(frozen=True, slots=True)
class Start:
    """The address of the step to begin with: `label`, `label[17]` or `label[17]/draft`."""

    step: str
    item: str | None = None
    inner: str | None = None
    """The first step within the item, or the group, that is executed again."""

    @classmethod
    def read(cls, address: str) -> "Start":
        """The parts of an address.

        Raises:
            IntendantError: It is none.
        """
        first, _, rest = address.partition("/")
        found = _SEGMENT.fullmatch(first)
        if found is None:
            raise IntendantError(
                f"'{address}' is not the address of a step", hint="write label, or label[17]/draft"
            )
        return cls(found[1], found[2], rest or None)


async def fork_of(
    engine: Engine,
    run: str,
    start: str,
    inputs: Mapping[str, Json] | None = None,
    workflow: Workflow | None = None,
) -> Fork:
    """What a run begins with that is forked from another one. What is kept of that is verified.

    Args:
        engine: What runs are made with.
        run: The other run's id, or the beginning of that; `last` for the newest.
        start: The address of the step to begin with.
        inputs: Inputs that get another value.
        workflow: The workflow to go on with; None for the one that the run had.

    Raises:
        RunNotFound: There is no such run.
        RecordBroken: What is kept of it was changed by something else than Intendant.
        WorkflowError: The workflow or the inputs are wrong, or its agent may not do it.
        IntendantError: There is no such step, or what the run has done was erased.
    """
    found = await find_kept(engine, run)
    old, new = found.plan.workflow, workflow or found.plan.workflow
    begin = Start.read(start)
    if begin.step not in new.by_id:
        known = ", ".join(list(new.by_id)[:20])
        raise IntendantError(f"the workflow has no step '{begin.step}'", hint=f"its steps: {known}")
    values = {name: item.default for name, item in new.inputs.items() if not item.required}
    values |= {name: value for name, value in found.inputs.items() if name in new.inputs}
    values |= dict(inputs or {})
    changed = {name for name in {*values, *found.inputs} if values.get(name) != found.inputs.get(name)}
    origin = found.plan.origin or found.run_id
    plan = found.plan
    view = await agent_of(engine, new.agent, new.folder)
    if workflow is not None or changed or view.allowance.known:  # what the agent may do may have changed as well
        _refuse_another_agent(old, new)
        plan = await _planned(engine, new, values, memory=found.memory is not None)
    plan = plan.model_copy(
        update={"origin": origin, "forked_from": f"{found.run_id}/{start}"}
        | ({} if plan is not found.plan else {"planning_tokens": 0, "planning_micro_usd": 0})
    )
    rows = await engine.store.do(runs.steps_of(found.run_id))
    outcomes = outcomes_of(rows)
    _check_item(begin, outcomes)
    done = {key: outcome for key, outcome in outcomes.items() if outcome.is_done}
    keep = _Keep(old, new, begin, frozenset(changed))
    kept = {
        key: _without_cost(outcome, found.run_id)
        for key, outcome in done.items()
        # What a reference names is kept with its own run only.
        if keep(key) and not any(True for _ in references_in(outcome.output))
    }
    return Fork(plan, values, found.memory, kept)


def _check_item(start: Start, outcomes: Mapping[str, StepOutcome]) -> None:
    """Pass if the other run has the item to begin with.

    Raises:
        IntendantError: It has not; says which it has.
    """
    if start.item is None or any(key.startswith(f"{start.step}[{start.item}]") for key in outcomes):
        return
    head = f"{start.step}["
    items = dict.fromkeys(key[len(head) :].partition("]")[0] for key in outcomes if key.startswith(head))
    known = ", ".join(list(items)[:20]) or "none"
    raise IntendantError(f"step '{start.step}' has no item '{start.item}'", hint=f"its items: {known}")


def _refuse_another_agent(old: Workflow, new: Workflow) -> None:
    if old.agent != new.agent:
        raise WorkflowError([new.document.problem(f"the run is one of the agent '{old.agent}'", ("agent",))])


async def _planned(engine: Engine, workflow: Workflow, values: Mapping[str, Json], *, memory: bool) -> Plan:
    from intendant.pilot.checking import check

    check(engine.prepared.of(workflow), engine.plugins, values)
    return await plan_checked(engine, workflow, ask_model=True, memory=memory, inputs=values)


def _without_cost(outcome: StepOutcome, run_id: str) -> StepOutcome:
    """The outcome as the new run has it: it took nothing there."""
    taken = {"usage": Usage(), "tokens_saved": 0, "seconds": 0.0, "attempts": 0}
    return outcome.model_copy(update={**taken, "reason": f"taken over from run {run_id}"})


class _Keep:
    """Tells which finished steps, by their addresses, a fork takes over."""

    def __init__(self, old: Workflow, new: Workflow, start: Start, changed: frozenset[str]) -> None:
        self._new = new
        self._start = start
        self._changed = changed
        steps = {step.id: step for step in new.steps}
        self._same = {
            key: key in old.by_id and not changed_keys(old.by_id[key], step) for key, step in steps.items()
        }
        stale = {start.step} | {key for key, same in self._same.items() if not same}
        stale |= {key for key, step in steps.items() if uses_inputs(step, changed)}
        self._stale = _closure(new.steps, stale)
        self._items = {key for key in self._stale if key in steps and self._keeps_items(steps[key])}
        self._again = self._inner_steps()

    def _keeps_items(self, step: Step) -> bool:
        """Whether items of a stale step may be kept: nothing that they refer to besides the list is stale."""
        if not step.is_map or not self._same[step.id]:
            return False
        if step.id == self._start.step:
            return self._start.item is not None
        rest = step.model_copy(update={"for_each": None, "key": None, "when": None, "needs": ()})
        others = {name for name in names_in(rest) if name in self._stale and name != step.id}
        return not others and not uses_inputs(rest, self._changed)

    def _inner_steps(self) -> frozenset[str] | None:
        """Of the item to begin with, the steps within it that are executed again; None for all."""
        start = self._start
        inner = self._new.by_id[start.step].steps
        if start.inner is None:
            return None
        first = start.inner.partition("/")[0].partition("[")[0]
        known = list(_names_within(self._new.by_id[start.step]))
        if first not in known:
            hint = f"its steps: {', '.join(known) or 'none'}"
            raise IntendantError(f"step '{start.step}' has no step '{first}'", hint=hint)
        if start.item is None or inner is None or first not in {step.id for step in inner}:
            return None
        return frozenset(_closure(inner, {first}))

    def __call__(self, key: str) -> bool:
        """Whether the step of this address is kept."""
        root = re.split(r"[\[/~]", key, maxsplit=1)[0]
        if root not in self._same:
            return False  # a step of `finally`, or one that is not there any more
        if root not in self._stale:
            return True
        if root not in self._items or not key.startswith(f"{root}["):
            return False
        item, _, inner = key[len(root) + 1 :].partition("]")
        if root != self._start.step or item != self._start.item:
            return True
        if self._again is None or not inner:
            return False
        return re.split(r"[\[/~]", inner[1:], maxsplit=1)[0] not in self._again


def _names_within(step: Step) -> Iterator[str]:
    """What addresses within a step may go on with: a step, or a branch."""
    for name, body, _ in step.bodies():
        yield from [name.rstrip("/")] if name else [inner.id for inner in body]
    if step.flow is not None:
        yield from (inner.id for inner in (*step.flow.workflow.steps, *step.flow.workflow.finally_))


def _closure(steps: Sequence[Step], stale: Iterable[str]) -> set[str]:
    """The *stale* steps, and all that come after one."""
    graph = Graph.of(steps)
    found, left = set(stale), list(stale)
    while left:
        for name in graph.dependants.get(left.pop(), ()):
            if name not in found:
                found.add(name)
                left.append(name)
    return found


def uses_inputs(step: Step, names: Iterable[str]) -> bool:
    """True if a step, or one within it, may refer to one of the inputs."""
    text = step.model_dump_json(by_alias=True)
    if re.search(r"(?<![\w.])inputs(?!\s*[\w.\[])|(?<![\w.])inputs\s*\[\s*[^'\"\\]", text):
        return any(True for _ in names)  # all of them, or one whose name is computed
    return any(
        re.search(rf"(?<![\w.])inputs\s*(?:\.\s*{re.escape(name)}(?!\w)|\[\s*(?:'|\\?\"){re.escape(name)})", text)
        for name in names
    )

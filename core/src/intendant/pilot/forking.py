"""A run that begins where another one was: what does not depend on the step to begin with is taken over.

A step is *stale* if it is the one to begin with, if it or an input that it refers to was changed, or if it refers
to, or comes after, a stale step. Everything else that is done is kept. Items of a list are kept in a stale step
too where both their key and what they are agree, and nothing else that they refer to is stale. A fork that begins
within a step keeps what the same rule keeps of the steps around its start: other items, earlier passes, siblings.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intendant.model.errors import WorkflowError
from intendant.model.record_access import references_in
from intendant.model.requests import MemoryContext
from intendant.model.results import StepOutcome, Usage
from intendant.model.workflow import Json, Step, Workflow
from intendant.pilot.agent_view import agent_of
from intendant.pilot.correcting import changed_keys
from intendant.pilot.engine import Engine
from intendant.pilot.fork_starts import Begin, begin_of
from intendant.pilot.graph import Graph, names_in
from intendant.pilot.plans import plan_checked
from intendant.pilot.resuming import find_kept, outcomes_of
from intendant.pilot.retracing import MARK
from intendant.pilot.steps import DECISION
from intendant.planning.decided import Plan
from intendant.record.store import runs


@dataclass(frozen=True, slots=True)
class Fork:
    """What a new run begins with."""

    plan: Plan
    inputs: dict[str, Json]
    memory: MemoryContext | None
    kept: dict[str, StepOutcome]
    """How steps ended in the other run, by their addresses; without what they took there."""


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
    outcomes = outcomes_of(await engine.store.do(runs.steps_of(found.run_id)))
    begin = begin_of(start, new, outcomes)
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
    done = {key: outcome for key, outcome in outcomes.items() if outcome.is_done}
    other = {step.id for step in new.steps if step.id not in old.by_id or changed_keys(old.by_id[step.id], step)}
    keep = _Keep(new.steps, begin, frozenset(other), frozenset(changed))
    taken = [*(outcome for key, outcome in done.items() if keep(key)), *_decisions(done, keep)]
    kept = {
        outcome.step_id: _without_cost(outcome, found.run_id)
        for outcome in taken
        # What a reference names is kept with its own run only.
        if not any(True for _ in references_in(outcome.output))
    }
    return Fork(plan, values, found.memory, kept)


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
    """Tells which finished steps of those that are executed together, by their addresses, a fork takes over.

    Args:
        steps: The steps.
        begin: Where the fork begins within them.
        changed: Steps that the workflow of the fork changes.
        inputs: Inputs that have another value.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        begin: Begin,
        changed: frozenset[str] = frozenset(),
        inputs: frozenset[str] = frozenset(),
    ) -> None:
        self._begin = begin
        self._changed = changed
        self._inputs = inputs
        self._steps = {step.id: step for step in steps}
        other = changed | {step.id for step in steps if uses_inputs(step, inputs)}
        self._other = _closure(steps, other)
        self._stale = _closure(steps, other if begin.last else {*other, begin.step.id})
        self._items = {key for key in self._stale if self._keeps_items(self._steps[key])}
        self._within = None if begin.within is None else _Keep(begin.within.steps, begin.within)

    def _keeps_items(self, step: Step) -> bool:
        """Whether items of a stale step may be kept: nothing that they refer to besides the list is stale."""
        if not step.is_map or step.id in self._changed:
            return False
        rest = step.model_copy(update={"for_each": None, "key": None, "when": None, "needs": ()})
        others = {name for name in names_in(rest) if name in self._stale and name != step.id}
        return not others and not uses_inputs(rest, self._inputs)

    def __call__(self, key: str) -> bool:
        """Whether the step of this address is kept."""
        root = re.split(r"[\[/~]", key, maxsplit=1)[0]
        if root not in self._steps:
            return False  # a step of `finally`, or one that is not there any more
        if root not in self._stale:
            return True
        begins = root == self._begin.step.id and not self._begin.last
        if not begins or root in self._other:  # stale for another reason
            kept = root in self._items and key.startswith(f"{root}[")
            if not (kept and begins):
                return kept
        return self._keeps_before(key[len(root) :])

    def _keeps_before(self, rest: str) -> bool:
        """Whether something of the step to begin with is kept; *rest* is what follows the step in its address."""
        begin = self._begin
        if begin.step.is_map:
            item, rest = _mark(rest)
            if item is None or (begin.item is None and self._within is None):
                return False
            if begin.item is not None and item != begin.item:
                return True
        if begin.number is not None:
            number, rest = _mark(rest)
            if number is None:
                return False
            if int(number) != begin.number:
                return int(number) < begin.number
        if rest == DECISION:
            return begin.branch != ""
        inner = f"/{begin.branch}/" if begin.branch else "/"
        return self._within is not None and rest.startswith(inner) and self._within(rest[len(inner) :])


def _mark(rest: str) -> tuple[str | None, str]:
    """The item or the pass with which a part of an address begins, and what follows; None for neither."""
    found = MARK.match(rest)
    return (None, rest) if found is None else (found[1], rest[found.end() :])


def _decisions(done: Mapping[str, StepOutcome], keep: _Keep) -> Iterator[StepOutcome]:
    """Which branches were taken, of steps of which only what a branch did is done again."""
    for key, outcome in done.items():
        output, address = outcome.output, f"{key}{DECISION}"
        if isinstance(output, dict) and isinstance(output.get("branch"), str) and keep(address) and not keep(key):
            decided = {name: value for name, value in output.items() if name != "result"}
            yield outcome.model_copy(update={"step_id": address, "output": decided})


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

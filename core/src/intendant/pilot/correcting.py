"""Going on with a corrected workflow: what is finished stays as it is, the rest is planned anew."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from intendant.model import references
from intendant.model.errors import IntendantError, Problem, WorkflowError
from intendant.model.results import StepStatus
from intendant.model.workflow import ROLLBACK, Limits, Step, Workflow
from intendant.pilot.checking import check
from intendant.pilot.engine import Engine
from intendant.pilot.plans import plan_checked
from intendant.pilot.resuming import Resumable, file_of
from intendant.record.store import runs


async def corrected(
    engine: Engine,
    found: Resumable,
    workflow: Workflow,
    limits: Limits | None,
) -> tuple[Resumable, Limits | None]:
    """The run with another workflow in place of the one it was planned for, and what it may spend from now on.

    Args:
        engine: What the run is made with.
        found: The run as it is.
        workflow: The corrected workflow. The steps that are completed must be in it as they were.
        limits: What it may spend in all from now on; None for what the corrected workflow says, where that is new.

    Raises:
        IntendantError: The run is being rolled back.
        WorkflowError: One of them is not, the agent is another, or the workflow is wrong in itself.
    """
    rows = await engine.store.do(runs.steps_of(found.run_id))
    if any(row.key == f"~{ROLLBACK}" for row in rows):
        raise IntendantError(f"run {found.run_id} is being rolled back", hint="resume it without another workflow")
    done = [row.key for row in rows if row.status == StepStatus.completed.value]
    if problems := list(_differences(found.plan.workflow, workflow, done)):
        raise WorkflowError(problems)
    values = {name: item.default for name, item in workflow.inputs.items() if not item.required}
    values |= {name: value for name, value in found.inputs.items() if name in workflow.inputs}
    check(engine.prepared.of(workflow), engine.plugins, values)
    plan = await plan_checked(engine, workflow, ask_model=False, memory=found.memory is not None, inputs=values)
    spent = {"planning_tokens": found.plan.planning_tokens, "planning_micro_usd": found.plan.planning_micro_usd}
    plan = plan.model_copy(update=spent)
    stored = plan.model_dump_json(by_alias=True, exclude_unset=True)  # as the first one: it is read again
    other = {"plan": stored, "workflow": workflow.name, "inputs": json.dumps(values)}
    if (file := file_of(workflow)) is not None:
        other["file"] = file
    if limits is None or limits == Limits():
        limits = workflow.budget if workflow.budget != found.plan.workflow.budget else None
    return replace(found, plan=plan, inputs=values, changed_file="", other=other), limits


WITHOUT_EFFECT = frozenset(
    {"name", "description", "needs", "retry", "timeout", "critical", "in_doubt", "max_wait", "priority"}
)
"""Keys of a step that do not change what it comes to."""


def _differences(before: Workflow, now: Workflow, done: Iterable[str]) -> Iterator[Problem]:
    """Why a run of the one workflow cannot go on with the other."""
    document = now.document
    if before.agent != now.agent:
        yield document.problem(f"the run is one of the agent '{before.agent}'", ("agent",))
    for step_id in dict.fromkeys(_ROOT.split(key, maxsplit=1)[0] for key in done):
        new, old = now.by_id.get(step_id), before.by_id.get(step_id)
        hint = "leave it as it was, or run the file anew"
        if new is None:
            yield Problem(f"step '{step_id}' is finished, and is not there any more", hint, file=document.file)
        elif old is not None and (changed := changed_keys(old, new)):
            message = f"step '{step_id}' is finished, and was changed: {', '.join(changed)}"
            yield document.problem(message, ("steps", now.order[step_id]), hint=hint, step=step_id)
    used = {name for step_id in done if step_id in now.by_id for name in _inputs_of(now.by_id[step_id])}
    for name in sorted(used & set(before.inputs) - set(now.inputs)):
        yield Problem(f"the input '{name}' of a finished step is not there any more", file=document.file)


_ROOT = re.compile(r"[\[/]")


def changed_keys(old: Step, new: Step) -> list[str]:
    """The keys of a step that differ, and that change what it comes to."""
    before, now = (step.model_dump(by_alias=True, mode="json") for step in (old, new))
    return [key for key in {**before, **now} if key not in WITHOUT_EFFECT and before.get(key) != now.get(key)]


def _inputs_of(step: Step) -> Iterator[str]:
    for value in (step.with_, step.prompt, step.input, *(tool.with_ for tool in step.tools)):
        for found in references.find(value):
            if isinstance(found, references.Reference) and found.input is not None:
                yield found.input

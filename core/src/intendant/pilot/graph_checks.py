"""What can be said to be wrong with the keys of a step that shape the graph, before it runs."""

from collections.abc import Callable, Iterator, Mapping

from intendant.model import references
from intendant.model.errors import ExpressionFailed, Problem
from intendant.model.inputs import Input
from intendant.model.placing import STATE
from intendant.model.references import ROOTS
from intendant.model.source import Path
from intendant.model.workflow import ON_ERROR, ROLLBACK, Flow, Json, Placed, Step, Workflow
from intendant.pilot.conditions import Expression

OF_MAPS = (
    ("as", "as_"),
    ("key", "key"),
    ("concurrency", "concurrency"),
    ("gather", "gather"),
    ("on_item_error", "on_item_error"),
)
OF_WORK = (
    ("intent", "intent"),
    ("uses", "uses"),
    ("with", "with_"),
    ("options", "options"),
    ("prompt", "prompt"),
    ("input", "input"),
    ("output", "output"),
    ("retry", "retry"),
    ("timeout", "timeout"),
    ("branches", "branches"),
    ("tier", "tier"),
    ("model", "model"),
    ("max_output_tokens", "max_output_tokens"),
    ("temperature", "temperature"),
    ("batch", "batch"),
    ("tools", "tools"),
    ("max_turns", "max_turns"),
)
"""Keys that a group, whose steps do the work, cannot have."""


def graph_faults(workflow: Workflow, placed: Placed) -> Iterator[Problem]:
    """The faults of one step."""

    def problem(path: Path, message: str, hint: str = "") -> Problem:
        return workflow.document.problem(message, (*placed.path, *path), hint=hint, step=placed.step.id)

    step = placed.step
    if not step.is_map:
        for name, field in OF_MAPS:
            if _given(step, field):
                yield problem((name,), f"`{name}` needs a `for_each`", "say over which list: for_each: …")
    yield from _body_faults(step, problem)
    if step.is_map:
        yield from _map_faults(placed, problem)
    if step.wait is not None and step.wait.event is not None:
        yield from _event_faults(step, problem)
    if step.id in (ON_ERROR, ROLLBACK):
        yield problem(("id",), f"'{step.id}' cannot be an id", "it stands in addresses of steps")
    yield from _end_faults(placed, problem)
    if step.join != "all" and not _has_needs(placed):
        yield problem(("join",), "`join` needs steps to join", "name them: needs: [a, b]")


def _end_faults(placed: Placed, make: Callable[..., Problem]) -> Iterator[Problem]:
    """What runs when the run has ended waits for nobody: no process would come back for it."""
    step = placed.step
    if _undoes(placed):
        for name in ("approve", "wait", "rollback"):
            if getattr(step, name) is not None:
                message = f"a step that undoes another one has no `{name}`"
                yield make((name,), message, "it runs when the run has failed")
    elif placed.last and (step.approve is not None or (step.wait is not None and step.wait.event is not None)):
        name = "wait" if step.approve is None else "approve"
        yield make((name,), f"a step of `finally` has no `{name}`", "ask, or wait, in a step of the workflow")


def _undoes(placed: Placed) -> bool:
    """True if a step is one of a `rollback`, or within one."""
    outer = placed.outer
    if outer is None:
        return False
    own = outer.inside is placed.inside and placed.path[len(outer.path)] == ROLLBACK
    return own or _undoes(outer)


def _body_faults(step: Step, make: Callable[..., Problem]) -> Iterator[Problem]:
    """A step of which others do the work does none itself."""
    given = (("group", step.steps), ("loop", step.loop), ("flow", step.flow))
    kinds = [kind for kind, body in given if body is not None]
    if len(kinds) > 1:
        yield make(
            (kinds[1],), f"a {kinds[0]} is no {kinds[1]}", f"write the {kinds[1]} as a step of the {kinds[0]}"
        )
    for kind in kinds[:1]:
        for name, field in OF_WORK:
            if _given(step, field) and (kind, name) != ("flow", "with"):
                hint = f"write it in the steps of the {kind}, or under `defaults` of the workflow"
                yield make((name,), f"a {kind} has no `{name}`", hint)
    if step.steps is None and "returns" in step.model_fields_set:
        hint = "its output is its last state" if step.loop else "write `steps:` beside it"
        yield make(("returns",), "only a group has `returns`", hint)
    if step.loop is not None and "{{" in step.loop.while_:
        yield make(("loop", "while"), "a condition is written without braces", "such as: state.score < 8")


def input_faults(flow: Flow, given: Mapping[str, Json]) -> Iterator[tuple[Path, str, str]]:
    """What is wrong with the inputs of a sub-workflow, as far as they are known: where, what, and what to do."""
    declared = flow.workflow.inputs
    for name, value in given.items():
        if name not in declared:
            hint = f"it has: {', '.join(declared)}" if declared else "it has none"
            yield ("with", name), f"'{flow.file}' has no input '{name}'", hint
        elif not is_written_with_references(value) and (fault := fault_of(name, declared[name], value)):
            yield ("with", name), f"{fault} ('{flow.file}')", ""
    for name, wanted in declared.items():
        if wanted.required and name not in given:
            yield ("flow",), f"the input '{name}' of '{flow.file}' is missing", f"give it: with: {{{name}: …}}"


def is_written_with_references(value: Json) -> bool:
    """True if something in it is known only when the run comes there."""
    return any(True for _ in references.find(value))


def fault_of(name: str, declared: Input, value: Json) -> str:
    """Why an input cannot have a value; empty if it can."""
    if not declared.accepts(value):
        return f"the input '{name}' must be of type {declared.type}, not {value!r}"
    if declared.choices is not None and value not in declared.choices:
        return f"the input '{name}' must be one of {list(declared.choices)}"
    return ""


def _event_faults(step: Step, make: Callable[..., Problem]) -> Iterator[Problem]:
    """A step that waits for an event does nothing else: its output is what the signal says."""
    more = ("approve", "steps", "for_each", "loop", "flow")
    beside = [name for name, field in (*OF_WORK, *((key, key) for key in more)) if _given(step, field)]
    for name in beside:
        hint = f"write the wait as a step of its own before it; its output is the payload: steps.{step.id}.output"
        yield make((name,), f"beside `wait: {{event: …}}` there is no `{name}`", hint)


def _given(step: Step, field: str) -> bool:
    return field in step.model_fields_set and getattr(step, field) not in (None, {}, ())


def _has_needs(placed: Placed) -> bool:
    from intendant.pilot.graph import Graph

    ids = [step.id for step in placed.siblings]
    return len(set(ids)) < len(ids) or bool(Graph.of(placed.siblings).needs[placed.step.id])


def _map_faults(placed: Placed, make: Callable[..., Problem]) -> Iterator[Problem]:
    step = placed.step
    if isinstance(step.for_each, str) and "{{" not in step.for_each:
        yield make(("for_each",), f"`for_each` is a list, not '{step.for_each}'", "write {{ steps.<id>.output }}")
    elif not isinstance(step.for_each, list | str):
        yield make(("for_each",), "`for_each` is a list, or a reference to one")
    taken = (*ROOTS, *placed.variables, "default", *((STATE,) if step.loop is not None else ()))
    if step.item_name in taken:
        yield make(
            ("as",) if step.as_ else ("for_each",),
            f"an item cannot be called '{step.item_name}' here",
            f"these names are taken: {', '.join(taken)}; give another: as: row",
        )
    if step.key is not None and "{{" not in step.key:
        try:
            Expression(step.key, (*ROOTS, *placed.variables, step.item_name))
        except ExpressionFailed as error:
            yield make(("key",), error.message, error.hint or f"write {step.item_name}.id, say")

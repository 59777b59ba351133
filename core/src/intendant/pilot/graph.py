"""The graph of a workflow's steps, and everything that can be said to be wrong before it runs."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from intendant.hooks.bases import IntentHandler
from intendant.hooks.registry import Plugins
from intendant.model.errors import (
    ExpressionFailed,
    NoHandlerError,
    Problem,
    ReferenceFailed,
    StepError,
    WorkflowError,
)
from intendant.model.requests import Options
from intendant.model.source import Path
from intendant.model.workflow import Json, Step, Workflow
from intendant.pilot import references
from intendant.pilot.conditions import Expression, input_names, step_names
from intendant.pilot.references import Reference
from intendant.pilot.schemas import Schema

SAMPLES: Mapping[str, Json] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}
"""A value of each type that an input may declare, to see whether a parameter takes it."""
CONDITION_NAMES = ("steps", "inputs", "run")


@dataclass(frozen=True, slots=True)
class Graph:
    """Which steps come before which."""

    needs: Mapping[str, tuple[str, ...]]
    """Each step's direct predecessors, by id."""
    dependants: Mapping[str, tuple[str, ...]]
    references: Mapping[str, int]
    """How many references each step makes."""

    @classmethod
    def of(cls, workflow: Workflow) -> "Graph":
        """The graph of a workflow without problems."""
        needs: dict[str, tuple[str, ...]] = {}
        counts: dict[str, int] = {}
        dependants: dict[str, list[str]] = {step.id: [] for step in workflow.steps}
        for index, step in enumerate(workflow.steps):
            found = list(_references(step, index))
            names = [*step.needs, *(ref.step for ref in found if ref.step), *_named_in_condition(step)]
            needs[step.id] = tuple(dict.fromkeys(name for name in names if name in dependants))
            counts[step.id] = len(found)
            for need in needs[step.id]:
                dependants[need].append(step.id)
        return cls(needs, {key: tuple(value) for key, value in dependants.items()}, counts)

    def cycle(self) -> list[str]:
        """Steps that wait for each other, in order; empty if there are none."""
        left = {step: len(needs) for step, needs in self.needs.items()}
        ready = deque(step for step, count in left.items() if count == 0)
        while ready:
            step = ready.popleft()
            del left[step]
            for dependant in self.dependants[step]:
                left[dependant] -= 1
                if left[dependant] == 0:
                    ready.append(dependant)
        return self._walk(left) if left else []

    def _walk(self, stuck: Mapping[str, int]) -> list[str]:
        path: list[str] = []
        step = next(iter(stuck))
        while step not in path:
            path.append(step)
            step = next(need for need in self.needs[step] if need in stuck)
        return [*path[path.index(step) :], step][::-1]


def _references(step: Step, index: int) -> Iterator[Reference]:
    for item in _find(step, index):
        if isinstance(item, Reference):
            yield item


def _find(step: Step, index: int) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    at: Path = ("steps", index)
    for name, value in (("with", step.with_), ("prompt", step.prompt), ("input", step.input)):
        yield from references.find(value, (*at, name))


def _named_in_condition(step: Step) -> Iterable[str]:
    return sorted(step_names(step.when)) if step.when else ()


def check(workflow: Workflow, plugins: Plugins, inputs: Mapping[str, Json] | None = None) -> Graph:
    """Everything about a workflow that can be known to be wrong before it runs.

    Args:
        workflow: The workflow.
        plugins: What is installed.
        inputs: The values given for this run; None to check the workflow alone.

    Raises:
        WorkflowError: Something is wrong; carries every problem, in the order of the file.
    """
    checker = _Checker(workflow, plugins)
    problems = list(checker.problems())
    graph = Graph.of(workflow)
    if len(workflow.by_id) == len(workflow.steps) and (cycle := graph.cycle()):
        index = workflow.order[cycle[0]]
        chain = " → ".join(cycle)
        problems.append(
            workflow.document.problem(
                f"these steps wait for each other: {chain}",
                ("steps", index),
                hint="remove one of the references",
            )
        )
    if inputs is not None:
        problems += _input_problems(workflow, inputs)
    if problems:
        far = 10**9
        raise WorkflowError(sorted(problems, key=lambda p: (p.line or far, p.column or 0)))
    return graph


def check_classified(workflow: Workflow, plugins: Plugins, intents: Mapping[str, str]) -> None:
    """The checks that had to wait until every step's intent was known.

    Raises:
        WorkflowError: Something is wrong; carries every problem.
    """
    if problems := list(_Checker(workflow, plugins).classified(intents)):
        raise WorkflowError(problems)


def _input_problems(workflow: Workflow, given: Mapping[str, Json]) -> Iterator[Problem]:
    document = workflow.document
    for name, value in given.items():
        declared = workflow.inputs.get(name)
        if declared is None:
            yield Problem(f"there is no input '{name}'", _close(name, workflow.inputs), file=document.file)
        elif (fault := _not_json(value)) is not None:
            yield document.problem(f"the input '{name}' is no JSON value: {fault}", ("inputs", name))
        elif not declared.accepts(value):
            message = f"the input '{name}' must be of type {declared.type}, not {value!r}"
            yield document.problem(message, ("inputs", name))
        elif declared.choices is not None and value not in declared.choices:
            yield document.problem(f"the input '{name}' must be one of {list(declared.choices)}", ("inputs", name))
    for name, declared in workflow.inputs.items():
        if declared.required and name not in given:
            yield document.problem(
                f"the input '{name}' is missing", ("inputs", name), hint=f"give it: -i {name}=…"
            )


def _not_json(value: Json) -> str | None:
    """Why *value* cannot be stored as JSON; None if it can."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return None


def _close(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names[:20])}" if names else "there are none"


class _Checker:
    def __init__(self, workflow: Workflow, plugins: Plugins) -> None:
        self.workflow = workflow
        self.plugins = plugins

    def problems(self) -> Iterator[Problem]:
        yield from self.defaults()
        seen: dict[str, int] = {}
        for index, step in enumerate(self.workflow.steps):
            if step.id in seen:
                yield self.problem(index, ("id",), f"the id '{step.id}' is taken", "ids must differ")
            seen.setdefault(step.id, index)
            yield from self.needs(index, step)
            yield from self.references(index, step)
            yield from self.condition(index, step)
            yield from self.plugin(index, step)

    def problem(self, index: int, path: Path, message: str, hint: str = "") -> Problem:
        step = self.workflow.steps[index].id
        return self.workflow.document.problem(message, ("steps", index, *path), hint=hint, step=step)

    def defaults(self) -> Iterator[Problem]:
        for name, declared in self.workflow.inputs.items():
            path: Path = ("inputs", name, "default")
            if declared.required or declared.default is None:
                continue
            if not declared.accepts(declared.default):
                message = f"the default of '{name}' is not of type {declared.type}"
                yield self.workflow.document.problem(message, path)
            elif declared.choices is not None and declared.default not in declared.choices:
                yield self.workflow.document.problem(f"the default of '{name}' is not one of its choices", path)

    def needs(self, index: int, step: Step) -> Iterator[Problem]:
        for place, need in enumerate(step.needs):
            if need not in self.workflow.by_id:
                hint = _close(need, self.workflow.by_id)
                yield self.problem(index, ("needs", place), f"there is no step '{need}'", hint)

    def references(self, index: int, step: Step) -> Iterator[Problem]:
        for item in _find(step, index):
            if isinstance(item, tuple):
                path, error = item
                yield self.problem(index, path[2:], error.message, error.hint)
                continue
            fault = self.secret_fault(step, item) if item.root == "secrets" else self.reference_fault(item)
            if fault is not None:
                yield self.problem(index, item.path[2:], *fault)

    def reference_fault(self, ref: Reference) -> tuple[str, str] | None:
        if ref.root not in references.ROOTS:
            hint = "references begin with steps, inputs or run"
            return f"'{ref.root}' in '{{{{ {ref.text} }}}}' is not known", hint
        if ref.root == "run":
            known = ("id", "workflow")
            return (
                None
                if ref.parts and ref.parts[0] in known
                else (f"'{ref.text}' is not known", "run has: id, workflow")
            )
        if not ref.parts:
            return f"'{{{{ {ref.text} }}}}' names no {ref.root[:-1]}", f"write {{{{ {ref.root}.<name> }}}}"
        known_names: Iterable[str] = self.workflow.by_id if ref.root == "steps" else self.workflow.inputs
        if str(ref.parts[0]) not in known_names:
            hint = _close(str(ref.parts[0]), known_names)
            return f"there is no {ref.root[:-1]} '{ref.parts[0]}' ('{{{{ {ref.text} }}}}')", hint
        field = ref.parts[1] if len(ref.parts) > 1 else None
        if ref.root == "steps" and field not in references.STEP_FIELDS:
            hint = f"a step has: {', '.join(references.STEP_FIELDS)}; write steps.{ref.parts[0]}.output"
            return f"'{{{{ {ref.text} }}}}' names no field of the step", hint
        return None

    def secret_fault(self, step: Step, ref: Reference) -> tuple[str, str] | None:
        if step.uses is None or ref.path[2:3] != ("with",):
            hint = "a secret may stand in the `with` of a step that `uses` a connector, and nowhere else"
            return f"'{{{{ {ref.text} }}}}' would give a secret away", hint
        if len(ref.parts) != 1 or not isinstance(ref.parts[0], str):
            return f"'{{{{ {ref.text} }}}}' names no secret", "write {{ secrets.NAME }}"
        return None

    def condition(self, index: int, step: Step) -> Iterator[Problem]:
        if step.when is None:
            return
        try:
            expression = Expression(step.when, CONDITION_NAMES)
        except ExpressionFailed as error:
            yield self.problem(index, ("when",), error.message, error.hint)
            return
        if not expression.is_condition:
            yield self.problem(
                index, ("when",), f"`{step.when}` is neither true nor false", "compare it with something"
            )
        for kind, names, known in (
            ("step", step_names(step.when), self.workflow.by_id),
            ("input", input_names(step.when), self.workflow.inputs),
        ):
            for name in sorted(names - set(known)):
                yield self.problem(
                    index, ("when",), f"there is no {kind} '{name}' (`{step.when}`)", _close(name, known)
                )

    def plugin(self, index: int, step: Step) -> Iterator[Problem]:
        intents = self.plugins.intents
        handler = intents.get(step.intent or "")
        if step.intent is not None and handler is None:
            message = NoHandlerError(step.intent).message
            hint = self.plugins.unavailable_hint("intent", step.intent)
            yield self.problem(index, ("intent",), message, hint)
        if step.connector is not None:
            yield from self.connector(index, step, *step.connector)
        elif handler is not None:
            yield from self.parameters(index, step, handler.Parameters)
        if handler is not None:
            yield from self.handler_check(index, step, handler)
        if step.output is not None:
            try:
                Schema(step.output)
            except StepError as error:
                yield self.problem(index, ("output",), error.message, error.hint)

    def handler_check(self, index: int, step: Step, handler: IntentHandler) -> Iterator[Problem]:
        try:
            messages = list(handler.check(step))
        except Exception as error:  # noqa: BLE001  # a plugin's own code
            messages = [f"the handler of '{handler.name}' cannot check it: {type(error).__name__}: {error}"]
        for message in messages:
            yield self.problem(index, (), message)

    def classified(self, intents: Mapping[str, str]) -> Iterator[Problem]:
        """What is wrong with steps whose intent was not written but told by a classifier."""
        for index, step in enumerate(self.workflow.steps):
            handler = self.plugins.intents.get(intents[step.id])
            if step.intent is None and handler is not None:
                if step.connector is None:
                    yield from self.parameters(index, step, handler.Parameters)
                yield from self.handler_check(index, step, handler)

    def connector(self, index: int, step: Step, name: str, operation: str) -> Iterator[Problem]:
        connector = self.plugins.connectors.get(name)
        if connector is None:
            hint = self.plugins.unavailable_hint("connector", name)
            yield self.problem(index, ("uses",), f"no connector '{name}' can be used", hint)
        elif operation not in connector.operations:
            hint = _close(operation, connector.operations)
            yield self.problem(index, ("uses",), f"the connector '{name}' has no operation '{operation}'", hint)
        else:
            yield from self.parameters(index, step, connector.parameters_of(operation))

    def parameters(self, index: int, step: Step, model: type[Any]) -> Iterator[Problem]:
        """Checks `with` as far as its values are known; those that are references are known at run time only."""
        if not issubclass(model, Options):
            return
        try:
            model.model_validate(self.sampled(step.with_))
        except ValidationError as error:
            for item in error.errors():
                path = item["loc"]
                given = _at(step.with_, path)
                if _is_reference(given) and not self.cannot_fit(given, item["type"]):
                    continue
                if item["type"] == "missing" and _has_reference(step.with_, path):
                    continue
                message = f"{path[-1]}: {item['msg'].removeprefix('Value error, ')}" if path else item["msg"]
                hint = _close(str(path[-1]), _names(model)) if item["type"] == "extra_forbidden" else ""
                if item["type"] == "extra_forbidden":
                    message = f"'{path[-1]}' is not a parameter here"
                elif _is_reference(given):
                    message += f" ('{given}')"
                yield self.problem(index, ("with", *path), message, hint)

    def sampled(self, value: Json) -> Json:
        """The value with each whole reference to an input replaced by a value of the input's type."""
        if isinstance(value, dict):
            return {key: self.sampled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.sampled(item) for item in value]
        kind = self.kind_of(value)
        return value if kind is None else SAMPLES.get(kind, value)

    def kind_of(self, value: Json) -> str | None:
        """The type that a reference is known to have before the run."""
        if not _is_reference(value):
            return None
        found = list(references.find(value))
        if len(found) != 1 or not isinstance(found[0], Reference) or value.strip() != f"{{{{ {found[0].text} }}}}":
            return "string"  # inside other text everything becomes text
        declared = self.workflow.inputs.get(found[0].input or "")
        return declared.type if declared is not None and len(found[0].parts) == 1 else None

    def cannot_fit(self, value: Json, fault: str) -> bool:
        """True if a fault is one of type, and the type of the reference is known."""
        return self.kind_of(value) in SAMPLES and fault.endswith(("_type", "_parsing"))


def _names(model: type[Options]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _at(value: Json, path: Iterable[Any]) -> Json:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return value if isinstance(value, str) else None
    return value


def _is_reference(value: Json) -> bool:
    return isinstance(value, str) and "{{" in value


def _has_reference(value: Json, path: Path) -> bool:
    """True if what is missing may come with a reference that stands where a map was expected."""
    return any(_is_reference(_at(value, path[:length])) for length in range(1, len(path)))

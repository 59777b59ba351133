"""Everything that can be said to be wrong with a workflow before it runs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from intendant.hooks.bases import IntentHandler
from intendant.hooks.registry import Plugins
from intendant.model import references
from intendant.model.errors import (
    ExpressionFailed,
    NoHandlerError,
    Problem,
    ReferenceFailed,
    StepError,
    WorkflowError,
)
from intendant.model.fault_words import grouped, hint_of, names_at, told_of
from intendant.model.placing import STATE
from intendant.model.references import Reference
from intendant.model.requests import Options
from intendant.model.source import Path
from intendant.model.workflow import Json, Placed, Step, Workflow
from intendant.model.workflow_problems import real_path
from intendant.pilot.conditions import Expression, input_names, step_names
from intendant.pilot.graph import CONDITION_NAMES, Graph, inner_ids, looks_inside
from intendant.pilot.graph_checks import graph_faults, input_faults
from intendant.pilot.prepared import Prepared
from intendant.pilot.schemas import Schema
from intendant.pilot.statement_checks import statement_faults
from intendant.pilot.tool_checks import tool_faults

SAMPLES: Mapping[str, Json] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}
"""A value of each type that an input may declare, to see whether a parameter takes it."""


def check(prepared: Prepared, plugins: Plugins, inputs: Mapping[str, Json] | None = None) -> None:
    """Everything about a workflow that can be known to be wrong before it runs. With what was found right before,
    only the inputs are checked.

    Args:
        prepared: The workflow.
        plugins: What is installed.
        inputs: The values given for this run; None to check the workflow alone.

    Raises:
        WorkflowError: Something is wrong; carries every problem, in the order of the file.
    """
    workflow, problems = prepared.workflow, list[Problem]()
    if not prepared.is_checked:
        problems += [*_Checker(workflow, plugins).problems(), *_cycles(workflow)]
        prepared.is_checked = not problems
    if inputs is not None:
        problems += _input_problems(workflow, inputs)
    if problems:
        far = 10**9
        raise WorkflowError(sorted(problems, key=lambda p: (p.line or far, p.column or 0)))


def _cycles(workflow: Workflow) -> Iterator[Problem]:
    """Steps that wait for each other, among those that are executed together."""
    own = [placed for placed in workflow.placed if placed.inside is None]
    first = {id(placed.siblings): placed for placed in reversed(own)}
    for placed in first.values():
        ids = [step.id for step in placed.siblings]
        if len(set(ids)) == len(ids) and (cycle := Graph.of(placed.siblings).cycle()):
            place = (*placed.path[:-1], ids.index(cycle[0]))
            chain = " → ".join(cycle)
            message = f"these steps wait for each other: {chain}"
            yield workflow.document.problem(message, place, hint="remove one of the references")


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
        self.ids: dict[int, set[str]] = {}
        self.visible: dict[int, frozenset[str]] = {}
        self.parts: dict[int, Workflow] = {}
        """The sub-workflows that were checked."""

    def problems(self) -> Iterator[Problem]:
        yield from self.defaults()
        yield from self.returned()
        for placed in self.workflow.placed:
            if placed.inside is not None:
                continue  # checked as a step of that
            yield from self.identity(placed)
            yield from self.needs(placed)
            yield from self.references(placed)
            yield from self.conditions(placed)
            yield from graph_faults(self.workflow, placed)
            yield from self.flow(placed)
            if placed.step.is_work:
                yield from self.plugin(placed)

    def problem(self, placed: Placed, path: Path, message: str, hint: str = "") -> Problem:
        return self.workflow.problem(placed, message, path, hint=hint)

    def flow(self, placed: Placed) -> Iterator[Problem]:
        """A sub-workflow, which is one by itself, and what its inputs are given."""
        flow = placed.step.flow
        if flow is None:
            return
        if id(flow.workflow) not in self.parts:
            self.parts[id(flow.workflow)] = flow.workflow
            yield from _Checker(flow.workflow, self.plugins).problems()
            yield from _cycles(flow.workflow)
        for path, message, hint in input_faults(flow, placed.step.with_):
            yield self.problem(placed, path, message, hint)

    def identity(self, placed: Placed) -> Iterator[Problem]:
        """Ids differ among steps that are executed together; those of `finally` from those of the workflow too."""
        step = placed.step
        among = () if placed.outer is None else placed.siblings
        seen = self.ids.setdefault(id(among), set())
        if step.id in seen:
            yield self.problem(placed, ("id",), f"the id '{step.id}' is taken", "ids must differ")
        seen.add(step.id)

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

    def returned(self) -> Iterator[Problem]:
        for item in references.find(self.workflow.returns, ("returns",)):
            path, fault = self.seen(item, None)
            if fault is not None:
                yield self.workflow.document.problem(fault[0], path, hint=fault[1])

    def needs(self, placed: Placed) -> Iterator[Problem]:
        known = [step.id for step in placed.siblings]
        for place, need in enumerate(placed.step.needs):
            if need not in known:
                yield self.problem(placed, ("needs", place), f"there is no step '{need}'", _close(need, known))

    def references(self, placed: Placed) -> Iterator[Problem]:
        for item in placed.step.references:
            path, fault = self.seen(item, placed)
            if fault is not None:
                yield self.problem(placed, path, *fault)

    def seen(
        self, item: Reference | tuple[Path, ReferenceFailed], placed: Placed | None
    ) -> tuple[Path, tuple[str, str] | None]:
        """Where a reference stands, and what is wrong with it."""
        if isinstance(item, tuple):
            return item[0], (item[1].message, item[1].hint)
        fault = _fault_of_secret(item, placed) if item.root == "secrets" else self.reference_fault(item, placed)
        return item.path, fault

    def scope(self, placed: Placed | None, path: Path = ()) -> tuple[frozenset[str], tuple[str, ...]]:
        """The steps, and the names of items and states, that what stands at *path* in a step may refer to."""
        if placed is None:
            return frozenset(self.workflow.by_id), ()
        step, names, variables = placed.step, self.visible_from(placed), placed.variables
        if looks_inside(path):
            names |= inner_ids(step)
        if step.is_map and path[:1] not in (("for_each",), ("when",), ("approve",), ("wait",)):
            variables = (*variables, step.item_name)
        if path[:2] == ("loop", "next"):
            variables = (*variables, STATE)
        return names, variables

    def visible_from(self, placed: Placed) -> frozenset[str]:
        """The steps that one among these may refer to: those beside it and those around it."""
        found = self.visible.get(id(placed.siblings))
        if found is None:
            around = frozenset() if placed.outer is None else self.visible_from(placed.outer)
            last = frozenset(self.workflow.by_id) if placed.last else frozenset()
            found = around | last | {step.id for step in placed.siblings}
            self.visible[id(placed.siblings)] = found
        return found

    def reference_fault(self, ref: Reference, placed: Placed | None) -> tuple[str, str] | None:
        steps, variables = self.scope(placed, ref.path)
        if ref.root in variables:
            return None
        if ref.root not in references.ROOTS:
            hint = f"references begin with {', '.join((*references.ROOTS, *variables))}"
            return f"'{ref.root}' in '{{{{ {ref.text} }}}}' is not known", hint
        if ref.root == "run":
            return _fault_of_run(ref, placed)
        if not ref.parts:
            return f"'{{{{ {ref.text} }}}}' names no {ref.root[:-1]}", f"write {{{{ {ref.root}.<name> }}}}"
        return self.name_fault(ref, steps if ref.root == "steps" else frozenset(self.workflow.inputs))

    def name_fault(self, ref: Reference, known: frozenset[str]) -> tuple[str, str] | None:
        """What is wrong with the name of a step or an input."""
        name, field = str(ref.parts[0]), ref.parts[1] if len(ref.parts) > 1 else None
        if name not in known:
            order = [*self.workflow.by_id, *sorted(known - self.workflow.by_id.keys())]
            names = list(self.workflow.inputs) if ref.root == "inputs" else [key for key in order if key in known]
            return f"there is no {ref.root[:-1]} '{name}' ('{{{{ {ref.text} }}}}')", _close(name, names)
        if ref.root == "steps" and field not in references.STEP_FIELDS:
            hint = f"a step has: {', '.join(references.STEP_FIELDS)}; write steps.{ref.parts[0]}.output"
            return f"'{{{{ {ref.text} }}}}' names no field of the step", hint
        return None

    def conditions(self, placed: Placed) -> Iterator[Problem]:
        step = placed.step
        if step.when is not None:
            yield from self.condition(placed, step.when, ("when",), ("when",))
        if step.loop is not None:  # it sees what `next` sees
            yield from self.condition(placed, step.loop.while_, ("loop", "while"), ("loop", "next"))

    def condition(self, placed: Placed, when: str, path: Path, sees: Path) -> Iterator[Problem]:
        steps, variables = self.scope(placed, sees)
        try:
            expression = Expression(when, tuple(dict.fromkeys((*CONDITION_NAMES, *variables))))
        except ExpressionFailed as error:
            yield self.problem(placed, path, error.message, error.hint)
            return
        if not expression.is_condition:
            message = f"`{when}` is neither true nor false"
            yield self.problem(placed, path, message, "compare it with something")
        known: Iterable[str]
        for kind, names, known in (
            ("step", step_names(when), steps),
            ("input", input_names(when), self.workflow.inputs),
        ):
            for name in sorted(names - set(known)):
                message = f"there is no {kind} '{name}' (`{when}`)"
                yield self.problem(placed, path, message, _close(name, known))

    def plugin(self, placed: Placed) -> Iterator[Problem]:
        step, index = placed.step, placed
        intents = self.plugins.intents
        handler = intents.get(step.intent or "")
        if step.intent is not None and handler is None:
            message = NoHandlerError(step.intent).message
            hint = self.plugins.unavailable_hint("intent", step.intent)
            yield self.problem(index, ("intent",), message, hint)
        if step.connector is not None:
            yield from self.connector(index, step, *step.connector)
        yield from self.route(placed)
        own = statement_faults(step, self.plugins, self.workflow.inputs)
        for path, message, hint in (*tool_faults(step, self.plugins), *own):
            yield self.problem(index, path, message, hint)
        if handler is not None and (step.connector is None or step.options):
            yield from self.parameters(index, step, handler.Parameters, step.parameters)
        if handler is not None:
            yield from self.handler_check(index, step, handler)
        if step.output is not None:
            try:
                Schema(step.output)
            except StepError as error:
                yield self.problem(index, ("output",), error.message, error.hint)

    def route(self, placed: Placed) -> Iterator[Problem]:
        """What the step says of its tier and its model."""
        step, plugins = placed.step, self.plugins
        if step.tier is not None and step.tier not in plugins.tiers:
            yield self.problem(
                placed, ("tier",), f"there is no tier '{step.tier}'", _close(step.tier, plugins.tiers)
            )
        if step.model is not None and (name := step.model.partition("/")[0]) not in plugins.providers:
            hint = plugins.unavailable_hint("provider", name)
            yield self.problem(placed, ("model",), f"there is no provider '{name}'", hint)

    def handler_check(self, index: Placed, step: Step, handler: IntentHandler) -> Iterator[Problem]:
        if step.uses is not None and not handler.spec.connects:
            message = (
                f"a step of intent '{handler.name}' uses no connector, and `uses: {step.uses}` would not be done"
            )
            hint = "use it in a step of its own without an `intent`, and give that step's output as `input`"
            yield self.problem(index, ("uses",), message, hint)
            return
        if handler.spec.reads_only and self.changes(step):
            message = f"a step of intent '{handler.name}' only reads, and `{step.uses}` changes something outside"
            yield self.problem(index, ("uses",), message, "name an operation that reads, or use it in a send step")
        if handler.spec.delivers and "input" not in step.model_fields_set and self.sends_input(step):
            hint = 'such as `input: "{{ steps.<id>.output }}"`'
            yield self.problem(index, (), f"`input` is missing: what `{step.uses}` is to send or write", hint)
        try:
            messages = list(handler.check(step))
            if step.tools and step.prompt is not None and not handler.needs_model(step):
                messages.append(f"`tools` need a step that asks a model, and '{handler.name}' asks none here")
        except Exception as error:  # noqa: BLE001  # a plugin's own code
            messages = [f"the handler of '{handler.name}' cannot check it: {type(error).__name__}: {error}"]
        for message in messages:
            yield self.problem(index, (), message)
        if step.batch is not None and not handler.batches(step):
            message = f"`batch`: this step of '{handler.name}' asks no model about records in batches"
            hint = f"leave it out; a `prompt` over a list of records is asked so in {self.batching()}"
            yield self.problem(index, ("batch",), message, hint)

    def changes(self, step: Step) -> bool:
        """Whether the step's operation changes something outside, whatever its parameters are."""
        name, operation = step.connector or ("", "")
        connector = self.plugins.connectors.get(name)
        found = None if connector is None else connector.operations.get(operation)
        return found is not None and found.side_effects and not found.varies

    def sends_input(self, step: Step) -> bool:
        """Whether the step's operation needs the step's input."""
        name, operation = step.connector or ("", "")
        connector = self.plugins.connectors.get(name)
        if connector is None or operation not in connector.operations:
            return False
        return connector.needs_input(operation, step.with_)

    def batching(self) -> str:
        """The intents whose handlers ask in batches."""
        example = Step(id="a", prompt="b", input=[])
        return ", ".join(name for name, handler in self.plugins.intents.items() if handler.batches(example))

    def classified(self, intents: Mapping[str, str]) -> Iterator[Problem]:
        """What is wrong with steps whose intent was not written but told by a classifier."""
        for placed in self.workflow.placed:
            step = placed.step
            handler = self.plugins.intents.get(intents.get(placed.key, "")) if step.is_work else None
            if step.intent is None and handler is not None:
                checker = self if placed.inside is None else _Checker(placed.inside, self.plugins)
                if step.connector is None or step.options:
                    yield from checker.parameters(placed, step, handler.Parameters, step.parameters)
                yield from checker.handler_check(placed, step, handler)

    def connector(self, index: Placed, step: Step, name: str, operation: str) -> Iterator[Problem]:
        connector = self.plugins.connectors.get(name)
        if connector is None:
            hint = self.plugins.unavailable_hint("connector", name)
            yield self.problem(index, ("uses",), f"no connector '{name}' can be used", hint)
        elif operation not in connector.operations:
            hint = _close(operation, connector.operations)
            yield self.problem(index, ("uses",), f"the connector '{name}' has no operation '{operation}'", hint)
        else:
            yield from self.parameters(index, step, connector.parameters_of(operation), step.with_)

    def parameters(self, index: Placed, step: Step, model: type[Any], given: dict[str, Json]) -> Iterator[Problem]:
        """Checks parameters as far as they are known; those that are references are known at run time only."""
        if not issubclass(model, Options):
            return
        try:
            model.model_validate(self.sampled(given))
        except ValidationError as error:
            items = [item for item in error.errors() if self.is_known(given, item)]
            paths = [real_path(item["loc"], given, missing=item["type"] == "missing") for item in items]
            for path, faults in grouped(items, paths).items():
                where = "options" if path and path[0] in step.options else "with"
                message, hint = told_of(faults, path), next(filter(None, map(hint_of, faults)), "")
                if faults[0]["type"] == "extra_forbidden":
                    message = f"'{path[-1]}' is not a parameter here"
                    lacks = [str(item["loc"][-1]) for item in items if item["type"] == "missing"]
                    alone = len(lacks) == 1 and len(items) == 2  # noqa: PLR2004  # one is there in place of the other
                    hint = f"did you mean '{lacks[0]}'?" if alone else _close(str(path[-1]), names_at(model, path))
                elif _is_reference(value := _at(given, path)):
                    message += f" ('{value}')"
                yield self.problem(index, (where, *path), message, hint)

    def is_known(self, given: Json, item: Any) -> bool:
        """False for a fault that is about a reference, whose value is known at run time only."""
        path = item["loc"]
        value = _at(given, path)
        if _is_reference(value):
            return self.cannot_fit(value, item["type"])
        return not (item["type"] == "missing" and _has_reference(given, path))

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
        if found and isinstance(found[0], Reference) and found[0].instead:
            return None  # it may be of either type
        if len(found) != 1 or not isinstance(found[0], Reference) or value.strip() != f"{{{{ {found[0].text} }}}}":
            return "string"  # inside other text everything becomes text
        declared = self.workflow.inputs.get(found[0].input or "")
        return declared.type if declared is not None and len(found[0].parts) == 1 else None

    def cannot_fit(self, value: Json, fault: str) -> bool:
        """True if a fault is one of type, and the type of the reference is known."""
        return self.kind_of(value) in SAMPLES and fault.endswith(("_type", "_parsing"))


def _fault_of_secret(ref: Reference, placed: Placed | None) -> tuple[str, str] | None:
    """What is wrong with a reference to a secret."""
    of_tool = ref.path[:1] == ("tools",) and ref.path[2:3] == ("with",)
    if placed is None or not (of_tool or (placed.step.uses is not None and ref.path[:1] == ("with",))):
        hint = "a secret may stand in the `with` of a step that `uses` a connector, or of a tool, and nowhere else"
        return f"'{{{{ {ref.text} }}}}' would give a secret away", hint
    if len(ref.parts) != 1 or not isinstance(ref.parts[0], str):
        return f"'{{{{ {ref.text} }}}}' names no secret", "write {{ secrets.NAME }}"
    return None


def _fault_of_run(ref: Reference, placed: Placed | None) -> tuple[str, str] | None:
    """What is wrong with a reference to the run."""
    last = placed is not None and placed.last
    known = ("id", "workflow", "started", *(("status", "failures") if last else ()))
    if ref.parts and ref.parts[0] in known:
        return None
    return f"'{ref.text}' is not known", f"run has: {', '.join(known)}"


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

"""Makes a workflow of an exported one of n8n."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from intendant_n8n._builder import Builder, How, Outcome, Shared
from intendant_n8n._code import CODE
from intendant_n8n._course import COURSE, passes
from intendant_n8n._graph import BATCHES_SECOND, LOOPS, NOTES, Node, body_of, in_order, read_nodes
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._merging import MERGING
from intendant_n8n._models import MODELS, REPAIRS, is_part
from intendant_n8n._pages import PAGES
from intendant_n8n._records import RECORDS, before_of, single_source
from intendant_n8n._services import SERVICES, TRIGGERS, trigger
from intendant_n8n._words import braces

MAKERS = {**RECORDS, **COURSE, **MERGING, **CODE, **SERVICES, **MODELS, **PAGES}
LANGCHAIN = "langchain"
MOST_CHECKS = 8
"""How often a workflow is checked again after what was wrong with it was left out."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A workflow that was imported."""

    workflow: dict[str, Any]
    """As a file has it."""
    outcomes: tuple[Outcome, ...]
    """What became of each node."""
    schedules: tuple[str, ...]
    """When it was started, as lines of cron."""
    owners: Mapping[str, str]
    """The nodes that steps were made of, by the steps' ids."""

    def of_step(self, address: str) -> str:
        """The node of a step, which may be one within another; empty if there is none."""
        ids = re.split(r"[/\[]", address)
        return next((self.owners[one] for one in reversed(ids) if one in self.owners), "")

    def count(self, how: How) -> int:
        """How many nodes became that."""
        return sum(outcome.how == how for outcome in self.outcomes)

    def text(self) -> str:
        """The file, with what has to be done by hand as comments at its head."""
        import yaml

        return _head(self) + yaml.dump(
            self.workflow, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
        )


def convert_checked(document: Any, name: str, problems_of: Callable[[str], Mapping[str, str] | None]) -> Imported:
    """The same as `convert`, where nodes whose steps cannot be used become placeholders too.

    Args:
        document: The export, as JSON.
        name: What the workflow is called where the export does not say.
        problems_of: Checks the text of a workflow file; gives the problems by the ids of steps.

    Raises:
        IntendantError: It is no export of a workflow.
    """
    refused: dict[str, str] = {}
    made = convert(document, name)
    for _ in range(MOST_CHECKS):
        problems = problems_of(made.text()) or {}
        found = {made.of_step(step): reason for step, reason in problems.items()}
        new = {node: reason for node, reason in found.items() if node and node not in refused}
        if not new:
            break
        refused |= new
        made = convert(document, name, refused)
    return made


def convert(document: Any, name: str = "imported", refused: Mapping[str, str] | None = None) -> Imported:
    """The workflow of an exported one of n8n.

    Every node is in the result: as steps that do the same, as a call of an API, or as a step that asks a person to
    do by hand what could not be translated.

    Args:
        document: The export, as JSON.
        name: What the workflow is called where the export does not say.
        refused: Nodes that are not to be translated, and why.

    Raises:
        IntendantError: It is no export of a workflow.
    """
    nodes = read_nodes(document)
    shared = Shared(refused=refused or {})
    builder = Builder(shared, nodes)
    names = [node.name for node in nodes.values() if node.kind not in NOTES and not node.serves]
    _build(builder, names)
    for node in nodes.values():
        if node.kind in NOTES:
            shared.outcomes[node.name] = Outcome(node, "left out", "a note")
        elif node.serves:
            shared.outcomes[node.name] = _of_helper(shared, nodes, node)
    workflow: dict[str, Any] = {"name": _name(str(document.get("name") or name))}
    if shared.inputs:
        workflow["inputs"] = shared.inputs
    workflow["budget"] = {"tokens": 50_000}
    steps = builder.steps or [_nothing()]
    workflow["steps"] = steps
    if shared.returns is not None:
        workflow["returns"] = shared.returns if isinstance(shared.returns, dict) else {"response": shared.returns}
    ordered = tuple(_with_options(shared.outcomes[node.name]) for node in nodes.values())
    return Imported(workflow, ordered, tuple(shared.schedules), shared.ids.owners)


def _with_options(outcome: Outcome) -> Outcome:
    """What became of a node, with the options that were not taken over."""
    if outcome.how in ("mapped", "http") and (without := outcome.node.left_out):
        outcome.without = f"without its options: {', '.join(without)}"
    return outcome


def _nothing() -> dict[str, Any]:
    return {"id": "nothing", "intent": "transform", "input": [], "options": {"op": "limit", "count": 1}}


def _name(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:200] or "imported"


def _of_helper(shared: Shared, nodes: dict[str, Node], node: Node) -> Outcome:
    """A model, parser or tool: it became a part of the nodes that it serves, or of those that these serve."""
    served = served_by(nodes, node)
    mapped = [other for other in served if other.name in shared.outcomes]
    if not mapped or any(shared.outcomes[other.name].how != "mapped" for other in mapped):
        return Outcome(node, "placeholder", f"serves '{served[0].name}'" if served else "serves nothing")
    if not is_part(node):
        return Outcome(node, "placeholder", f"the step of '{mapped[0].name}' works without it")
    return Outcome(node, "mapped", f"a part of '{mapped[0].name}'")


def served_by(nodes: Mapping[str, Node], node: Node) -> list[Node]:
    """The nodes that another serves: through a parser that repairs answers, also those which that serves."""
    found = [other for other in nodes.values() if any(node.name in names for names in other.helpers.values())]
    for other in [one for one in found if one.kind in REPAIRS]:
        found += served_by({name: one for name, one in nodes.items() if name != node.name}, other)
    return found


def _build(builder: Builder, names: Iterable[str]) -> None:
    left = set(names)
    for node in in_order(builder.nodes, names):
        if node.name not in left:
            continue
        left.discard(node.name)
        if node.kind in LOOPS and (body := body_of(builder.nodes, node) & left):
            left -= body
            builder.shared.outcomes[node.name] = _loop(builder, node, body)
            continue
        builder.shared.outcomes[node.name] = _one(builder, node)


def _one(builder: Builder, node: Node) -> Outcome:
    """The steps of a node; one that asks a person where it cannot be translated."""
    before = len(builder.steps)
    try:
        if node.name in builder.shared.refused:
            raise NotUnderstood(builder.shared.refused[node.name])  # noqa: TRY301  # a placeholder is made of it below
        if node.disabled:
            outcome = passes(builder, node)
            outcome.how, outcome.note = "left out", "it is disabled"
            return outcome
        if node.kind in TRIGGERS or node.kind.endswith("Trigger"):
            return trigger(builder, node)
        maker = MAKERS.get(node.kind)
        if node.kind == "openAi" and LANGCHAIN not in node.full and node.parameters.get("resource") == "image":
            maker = None
        if maker is None:
            raise NotUnderstood("nodes of this type")  # noqa: TRY301  # a placeholder is made of it below
        return maker(builder, node)
    except NotUnderstood as reason:
        del builder.steps[before:]
        return _placeholder(builder, node, str(reason))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        # An export may hold anything; what has not the form that it should is not translated.
        del builder.steps[before:]
        return _placeholder(builder, node, f"its parameters have another form ({type(error).__name__}: {error})")


def _placeholder(builder: Builder, node: Node, reason: str) -> Outcome:
    """A step that asks a person, and passes on what comes in."""
    ask = f"'{node.name}' ({node.full}) was not imported: {reason}. Do it by hand, or replace this step"
    try:
        items = builder.items(node)
    except NotUnderstood:
        items = builder.shared.input("items", "What the workflow works on: a list of records.", [{}], "array")
    step: dict[str, Any] = {"approve": {"ask": _shown(f"{ask}.")}, "input": braces(items)}
    step["x-n8n"] = {"type": node.full, "parameters": _shown(node.parameters)}
    reference = builder.add(node, step)
    number = max(len(node.outputs), 1)
    # It passes on what comes in: until it is replaced, records belong together as they did before it.
    made = Outcome(node, "placeholder", reason, outputs=dict.fromkeys(range(number), reference), pairs=True)
    made.single, made.before = single_source(builder, node), before_of(node)
    return made


def _shown(parameters: Any) -> Any:
    """Parameters as they may stand in a file: nothing in them is a reference."""
    if isinstance(parameters, dict):
        return {str(key): _shown(value) for key, value in parameters.items()}
    if isinstance(parameters, list):
        return [_shown(value) for value in parameters]
    if isinstance(parameters, str):
        return parameters.replace("{{", "{ {").replace("}}", "} }")[:2000]
    return parameters


def _loop(builder: Builder, node: Node, body: set[str]) -> Outcome:
    """Loop Over Items: a group that is executed for each record."""
    before = len(builder.steps)
    try:
        if node.name in builder.shared.refused:
            raise NotUnderstood(builder.shared.refused[node.name])  # noqa: TRY301  # a placeholder is made of it below
        items = builder.items_from_outside(node, body)
        # Within another loop, its record has a name of its own.
        depth = sum(1 for one in builder.around() if one.batch is not None)
        name = f"batch_{depth + 1}" if depth else "batch"
        inner = Builder(builder.shared, builder.nodes, (node.name, f"{name}_records"), builder)
        _build(inner, body)
        returns = _with_batch(braces(inner.items_from_inside(node, body)), name)
        steps = _with_batch(inner.steps, name)
        group = {"for_each": braces(items), "as": name, "steps": steps, "returns": returns, "gather": "flatten"}
        if not steps:
            raise NotUnderstood("a loop around nothing")  # noqa: TRY301  # a placeholder is made of it below
        reference = builder.add(node, group)
    except NotUnderstood as reason:
        del builder.steps[before:]
        for name in body:
            builder.shared.outcomes.pop(name, None)
        made = _placeholder(builder, node, str(reason))
        _build(builder, body)
        return made
    done = 0 if node.version >= BATCHES_SECOND else 1
    return Outcome(node, "mapped", "one record at a time", outputs={done: reference})


def _with_batch(value: Any, name: str) -> Any:
    """Steps in which the records of a pass are a list of the item alone."""
    if isinstance(value, dict):
        return {key: _with_batch(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_batch(inner, name) for inner in value]
    if value == f"{{{{ {name}_records }}}}":
        return [f"{{{{ {name} }}}}"]
    if isinstance(value, str) and f"{name}_records" in value:
        return re.sub(rf"\b{name}_records\[0\]", name, value)
    return value


def _head(imported: Imported) -> str:
    lines = ["Imported from n8n."]
    lines += [
        f'It was started by times; for `intendant worker --triggers FILE`: cron = "{cron}"'
        for cron in imported.schedules
    ]
    by_hand = [outcome for outcome in imported.outcomes if outcome.how == "placeholder"]
    if by_hand:
        lines.append("These nodes have to be replaced by hand; until then a person is asked:")
        lines += [f"  {one.node.name} ({one.node.full}): {one.note}" for one in by_hand]
    if less := [outcome for outcome in imported.outcomes if outcome.without]:
        lines.append("Of these nodes options were not taken over: look whether they matter.")
        lines += [f"  {one.node.name} ({one.node.full}): {one.without}" for one in less]
    return "".join(f"# {re.sub(_UNSHOWN, ' ', line)}\n" for line in lines)


_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

"""What nodes are made into: steps, and where the records are that come out of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from intendant_n8n._expressions import PAIRED, Keys, Scope
from intendant_n8n._graph import Ids, Node
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._words import braces

How = Literal["mapped", "http", "placeholder", "left out"]
"""A node became steps that do the same; a call of the API behind it; a step that asks a person; or nothing."""


@dataclass(slots=True)
class Outcome:
    """What became of a node."""

    node: Node
    how: How
    note: str = ""
    outputs: dict[int, str] = field(default_factory=dict)
    """For each output the reference to its list of records, such as `steps.fetch.output`."""
    single: bool = False
    """True if there is one record, whatever comes in."""
    pairs: bool = False
    """True if there is one record for each that comes in, in their order."""
    aligned: "Aligned | None" = None
    """Where records are chosen or split: makes of a list that is paired with what comes in one that is paired with
    what comes out.
    """
    before: str = ""
    """The node whose records come in, where there is one alone."""
    without: str = ""
    """Which of its options were not taken over, in words; empty if all were."""


Aligned = Callable[["Builder", Node, int, str], str]
"""Takes the node that needs it, the number of the output and the reference to the list; gives a reference."""


@dataclass(slots=True)
class Shared:
    """What the whole workflow shares."""

    ids: Ids = field(default_factory=Ids)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    returns: Any = None
    refused: Mapping[str, str] = field(default_factory=dict)
    """Nodes that are not to be translated, and why."""
    schedules: list[str] = field(default_factory=list)
    """Lines of a file of triggers."""

    def input(self, name: str, description: str, default: Any = "", kind: str = "string") -> str:
        """A reference to an input of the workflow, which is declared once."""
        self.inputs.setdefault(name, {"type": kind, "description": description, "default": default})
        return f"inputs.{name}"


class Builder:
    """Makes steps of nodes that are executed together: those of the workflow, or those within a loop.

    Args:
        shared: What the whole workflow shares.
        nodes: All nodes.
        batch: Within a loop: the loop's node, and the reference to the records of a pass.
        outer: Within a loop: what makes the steps around it.
    """

    def __init__(
        self,
        shared: Shared,
        nodes: Mapping[str, Node],
        batch: tuple[str, str] | None = None,
        outer: "Builder | None" = None,
    ) -> None:
        self.outer = outer
        self.shared = shared
        self.nodes = nodes
        self.batch = batch
        self.steps: list[dict[str, Any]] = []
        self._companions: dict[tuple[str, int, str], str] = {}

    def add(self, node: Node, step: Mapping[str, Any], suffix: str = "") -> str:
        """Add a step; returns the reference to its output."""
        step_id = self.shared.ids.new(f"{node.name} {suffix}" if suffix else node.name, node.name)
        named = {} if suffix else {"name": node.name[:500]}
        self.steps.append({"id": step_id, **named, **step})
        return f"steps.{step_id}.output"

    def items(self, node: Node, index: int = 0) -> str:
        """The reference to the records that come into a node; several sources are put together."""
        return self._together(node, node.inputs[index] if len(node.inputs) > index else [])

    def items_from_outside(self, node: Node, body: set[str]) -> str:
        """The same for a loop, without what comes back to it."""
        return self._together(node, [source for source in node.inputs[0] if source[0] not in body])

    def items_from_inside(self, node: Node, body: set[str]) -> str:
        """The records that come back to a loop."""
        return self._together(node, [source for source in node.inputs[0] if source[0] in body])

    def _together(self, node: Node, sources: Sequence[tuple[str, int]]) -> str:
        found = [self.output(name, number) for name, number in sources]
        if not found:
            return self.shared.input("items", "What the workflow works on: a list of records.", [{}], "array")
        if len(found) == 1:
            return found[0]
        merge = [f"{{{{ {reference} }}}}" for reference in found[1:]]
        step = {"intent": "aggregate", "input": f"{{{{ {found[0]} }}}}", "options": {"merge": merge}}
        return self.add(node, step, "all")

    def output(self, name: str, number: int) -> str:
        """The reference to what comes out of a node.

        Raises:
            NotUnderstood: It is not there: the node comes later, or is within a loop.
        """
        if self.batch is not None and name == self.batch[0]:
            return self.batch[1]
        outcome = self.shared.outcomes.get(name)
        if outcome is None or number not in outcome.outputs or not self._seen(outcome.outputs[number]):
            raise NotUnderstood(f"what comes from '{name}'")
        return outcome.outputs[number]

    def _seen(self, reference: str) -> bool:
        """False for the output of a step within a loop that this builder is not in."""
        root, _, rest = reference.partition(".")
        known = {step["id"] for builder in self.around() for step in builder.steps}
        return root != "steps" or rest.partition(".")[0] in known

    def around(self) -> Iterator["Builder"]:
        """This builder, and those of the steps around it."""
        yield self
        if self.outer is not None:
            yield from self.outer.around()

    # --- expressions ---

    def scope(self, node: Node, item: str = "item") -> Scope:
        """What expressions of a node may refer to."""
        made = Scope(lambda name, first: self._record_of(node, name, first=first), self._variable, item)
        made.own = lambda: self.items(node)
        made.parameter = self.parameter
        return made

    def _record_of(self, node: Node, name: str, *, first: bool) -> str:
        """The record of another node that an expression means."""
        for builder in self.around():
            if builder.batch is not None and name == builder.batch[0]:
                return f"{builder.batch[1]}[0]"
        outcome = self.shared.outcomes.get(name)
        if outcome is None:
            raise NotUnderstood(f"the node '{name}', which comes later or is not there")
        if not first and (source := self._source(node)) is not None:
            companion = self._companion(node, source, name)
            if companion is not None:
                return f"{companion}{PAIRED}"
        reference = self.output(name, min(outcome.outputs, default=0))
        if first or outcome.single:
            return f"{reference}[0]"
        raise NotUnderstood(f"the record of '{name}' that belongs to this one")

    @staticmethod
    def _source(node: Node) -> tuple[str, int] | None:
        """Where a node's records come from, if that is one output of one node."""
        sources = [source for several in node.inputs for source in several]
        return sources[0] if len(sources) == 1 else None

    def _companion(self, node: Node, source: tuple[str, int], wanted: str) -> str | None:
        """The records of another node, one for each that comes from *source*; None where that cannot be told."""
        name, number = source
        outcome = self.shared.outcomes.get(name)
        if outcome is None:
            return None
        if name == wanted:
            return self.output(name, number)
        before = self._source(outcome.node)
        if before is None or (outcome.aligned is None and not outcome.pairs):
            return None
        inner = self._companion(node, before, wanted)
        if inner is None or outcome.aligned is None:
            return inner
        key = (name, number, wanted)
        if key not in self._companions:
            self._companions[key] = outcome.aligned(self, node, number, inner)
        return self._companions[key]

    def _variable(self, name: str, keys: Keys) -> str:
        if name in ("$env", "$vars") and keys and isinstance(keys[0], str):
            key = re.sub(r"\W", "_", keys[0]).lower()
            return self.shared.input(key, f"{name[1:]} {keys[0]} of n8n.")
        if name == "$execution" and keys == ("id",):
            return "run.id"
        if name == "$workflow" and keys in (("name",), ("id",)):
            return "run.workflow"
        raise NotUnderstood(f"`{name}`")

    def parameter(self, name: str, keys: Keys) -> Any:
        """A parameter of another node, as it is written.

        Raises:
            NotUnderstood: There is none, or it is computed.
        """
        value: Any = self.nodes[name].parameters if name in self.nodes else None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str | int | float | bool) or str(value).startswith("="):
            raise NotUnderstood(f"a parameter of '{name}'")
        return value

    def computed(self, node: Node, scope: Scope, items: str) -> str:
        """The records with the fields that a scope's templates need; a step that computes them is added."""
        operations = [*scope.before]
        if scope.computed:
            operations.append({"op": "set", "fields": dict(scope.computed), "on_error": "null"})
        if not operations:
            return items
        options = operations_of(operations, scope)
        return self.add(node, {"intent": "transform", "input": braces(items), "options": options}, "fields")

    def for_items(
        self, node: Node, items: str, make: Callable[[Scope], Mapping[str, Any]], suffix: str = ""
    ) -> str:
        """Add a step that is executed for each record; returns the reference to the list of their outputs."""
        scope = self.scope(node)
        step = make(scope)
        items = self.computed(node, scope, items)
        return self.add(node, {"for_each": braces(items), "as": "item", **step}, suffix)

    def flat(self, node: Node, outputs: str) -> str:
        """A list of records of outputs that may be lists themselves."""
        step = {"intent": "transform", "input": braces(outputs), "options": {"op": "flatten", "depth": 1}}
        return self.add(node, step, "records")


def operations_of(operations: Sequence[Mapping[str, Any]], scope: Scope) -> dict[str, Any]:
    """The options of a step of operations, with the values that expressions in them use."""
    values = {"values": dict(scope.values)} if scope.values else {}
    done = [{**one, **(values if one["op"] == "set" else {})} for one in operations]
    return done[0] if len(done) == 1 else {"do": done}


ALL = "records_beside"
WITH = "record_beside"
"""A field that carries a record of another node while records are chosen."""


def beside(items: str, companion: str) -> dict[str, Any]:
    """A step that lays a record of *companion* into each of *items*."""
    fields = {WITH: "values.beside[index]"}
    return {
        "intent": "transform",
        "input": braces(items),
        "options": {"op": "set", "fields": fields, "values": {"beside": braces(companion)}},
    }


TAKE_OUT = {"op": "project", "path": WITH}


def beside_each(outputs: str) -> Aligned:
    """For records of outputs that may be lists themselves, one output for each record that came in."""

    def aligned(other: Builder, reader: Node, _number: int, companion: str) -> str:
        found = "values.found[index]"
        listed = f"type({found}) == list ? {found}.map(x, {{'{WITH}': item}}) : [{{'{WITH}': item}}]"
        lay = {"op": "set", "fields": {ALL: listed}, "values": {"found": braces(outputs)}}
        options = {"do": [lay, {"op": "flatten", "field": ALL, "carry": []}, TAKE_OUT]}
        return other.add(
            reader, {"intent": "transform", "input": braces(companion), "options": options}, "belongs"
        )

    return aligned

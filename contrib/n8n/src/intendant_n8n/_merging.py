"""Merge: several inputs become one."""

from collections.abc import Mapping
from typing import Any

from intendant_n8n._builder import Builder, Outcome
from intendant_n8n._graph import Node
from intendant_n8n._javascript import NotUnderstood
from intendant_n8n._records import Make, mapped
from intendant_n8n._words import braces

EVERY = "joined_with_every"
"""A field that all records have, so that each joins with each."""


def merge(builder: Builder, node: Node) -> Outcome:  # noqa: PLR0911  # one mode each
    """Merge, of every version."""
    parameters = node.parameters
    mode = parameters.get("mode", "append")
    how = parameters.get("combineBy", parameters.get("combinationMode", ""))
    if mode in ("passThrough", "chooseBranch", "wait"):
        chosen = (
            1 if parameters.get("output", "input1") == "input2" or parameters.get("useDataOfInput") == "2" else 0
        )
        return mapped(node, builder.items(node, chosen))
    if mode == "append":
        first, *others = (builder.items(node, index) for index in range(max(1, len(node.inputs))))
        options = {"merge": [braces(one) for one in others]}
        return mapped(node, builder.add(node, {"intent": "aggregate", "input": braces(first), "options": options}))
    if mode == "mergeByIndex" or how in ("combineByPosition", "mergeByPosition"):
        return mapped(node, _by_position(builder, node))
    if mode == "mergeByKey" or (mode == "combine" and how in ("", "combineByFields", "mergeByFields")):
        left, right = _keys(parameters)
        kinds = {"keepMatches": "inner", "enrichInput1": "left", "keepEverything": "outer"}
        wanted = parameters.get("joinMode", "left" if mode == "mergeByKey" else "keepMatches")
        if wanted == "enrichInput2":
            return mapped(node, _joined(builder, node, {"left": right, "right": left}, "left", swapped=True))
        if wanted == "keepNonMatches":
            return mapped(node, _not_in(builder, node, parameters, left, right))
        join = kinds.get(wanted)
        join = "left" if mode == "mergeByKey" else join
        if join is None:
            raise NotUnderstood(f"the mode {parameters.get('joinMode')}")
        return mapped(node, _joined(builder, node, {"left": left, "right": right}, join))
    if how in ("combineAll", "multiplex") or mode == "multiplex":
        return mapped(node, _every_pair(builder, node))
    raise NotUnderstood(f"the mode {how or mode}")


def _keys(parameters: Mapping[str, Any]) -> tuple[str, str]:
    if "propertyName1" in parameters:
        return str(parameters["propertyName1"]), str(parameters.get("propertyName2", ""))
    pairs = parameters.get("mergeByFields", {}).get("values", [])
    if len(pairs) == 1:
        return str(pairs[0].get("field1")), str(pairs[0].get("field2"))
    name = str(parameters.get("fieldsToMatchString", parameters.get("fieldsToMatch", "")))
    if not name or "," in name:
        raise NotUnderstood("several fields to join on")
    return name, name


def _joined(builder: Builder, node: Node, on: Mapping[str, str], how: str, *, swapped: bool = False) -> str:
    first, second = (1, 0) if swapped else (0, 1)
    join = {"with": braces(builder.items(node, second)), "on": dict(on), "how": how}
    step = {"intent": "aggregate", "input": braces(builder.items(node, first)), "options": {"join": join}}
    return builder.add(node, step)


def _not_in(builder: Builder, node: Node, parameters: Mapping[str, Any], left: str, right: str) -> str:
    """The records of one input that have no partner in the other."""
    chosen = parameters.get("outputDataFrom", "both")
    if chosen not in ("input1", "input2"):
        raise NotUnderstood("what has no partner, of both")
    first, other, by, other_by = (0, 1, left, right) if chosen == "input1" else (1, 0, right, left)
    options = {
        "op": "set_difference",
        "other": braces(builder.items(node, other)),
        "by": by,
        "other_by": other_by,
    }
    return builder.add(
        node, {"intent": "transform", "input": braces(builder.items(node, first)), "options": options}
    )


def _every_pair(builder: Builder, node: Node) -> str:
    """Each record of one input with each of the other."""
    sides = []
    for index, side in enumerate(("first", "second")):
        options = {"op": "set", "fields": {EVERY: "1"}}
        step = {"intent": "transform", "input": braces(builder.items(node, index)), "options": options}
        sides.append(builder.add(node, step, side))
    join = {"with": braces(sides[1]), "on": EVERY, "how": "inner"}
    both = builder.add(node, {"intent": "aggregate", "input": braces(sides[0]), "options": {"join": join}})
    options = {"op": "drop", "fields": [EVERY]}
    return builder.add(node, {"intent": "transform", "input": braces(both), "options": options}, "joined")


def _by_position(builder: Builder, node: Node) -> str:
    numbered = []
    for index, side in enumerate(("first", "second")):
        step = {
            "intent": "transform",
            "input": braces(builder.items(node, index)),
            "options": {"op": "set", "fields": {"place_in_list": "index"}},
        }
        numbered.append(builder.add(node, step, side))
    join = {"with": braces(numbered[1]), "on": "place_in_list", "how": "inner"}
    both = builder.add(node, {"intent": "aggregate", "input": braces(numbered[0]), "options": {"join": join}})
    options = {"op": "drop", "fields": ["place_in_list"]}
    return builder.add(node, {"intent": "transform", "input": braces(both), "options": options}, "joined")


MERGING: dict[str, Make] = {"merge": merge}
"""Nodes by the last part of their type."""

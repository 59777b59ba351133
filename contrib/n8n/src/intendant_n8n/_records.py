"""Nodes that work on records without asking anybody."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from intendant_n8n._builder import TAKE_OUT, WITH, Builder, Outcome, beside, operations_of
from intendant_n8n._conditions import condition_of
from intendant_n8n._expressions import Scope
from intendant_n8n._graph import Node
from intendant_n8n._javascript import Call, Member, Name, Node as Tree, NotUnderstood, Object
from intendant_n8n._json_text import json_tree
from intendant_n8n._words import braces, cel_part, literal

Make = Callable[[Builder, Node], Outcome]
REPLACED = "made"
"""A field that holds a whole record until it takes the place of the others."""
ASSIGNMENTS, FLAGS = 3, 3.3
"""Versions of Set from which on fields are listed, and from which on a flag says whether others are kept."""


def mapped(node: Node, reference: str, **facts: Any) -> Outcome:
    """A node with one output."""
    return Outcome(node, "mapped", outputs={0: reference}, before=before_of(node), **facts)


def before_of(node: Node) -> str:
    """The node whose records come in, where there is one alone."""
    return node.inputs[0][0][0] if node.inputs and len(node.inputs[0]) == 1 else ""


def transform(builder: Builder, node: Node, *operations: Mapping[str, Any]) -> str:
    """Add a step of operations on the records that come into a node."""
    options = dict(operations[0]) if len(operations) == 1 else {"do": [dict(one) for one in operations]}
    step = {"intent": "transform", "input": braces(builder.items(node)), "options": options}
    return builder.add(node, step)


# --- fields ---


def set_fields(builder: Builder, node: Node) -> Outcome:
    """Edit Fields (Set), of every version."""
    scope = builder.scope(node)
    parameters = node.parameters
    if parameters.get("mode") == "raw":
        text = str(parameters.get("jsonOutput", "{}"))
        tree = json_tree(text)
        if not isinstance(tree, Object) and not _keeps_others(node):
            return _replaced(builder, node, scope, tree)
        fields, keep = _raw(tree, scope), _keeps_others(node)
    else:
        fields = {name: scope.expression(_typed(value, kind)) for name, value, kind in _assignments(node)}
        keep = _keeps_others(node)
    if any("." in name for name in fields):
        if keep:
            raise NotUnderstood("names with dots, which change nested fields")
        fields = _nested(fields)
    if not fields and keep:
        return mapped(node, builder.items(node), pairs=True)
    return mapped(
        node, with_fields(builder, node, scope, fields, keep=keep), pairs=True, single=single_source(builder, node)
    )


def with_fields(builder: Builder, node: Node, scope: Scope, fields: Mapping[str, str], *, keep: bool) -> str:
    """Add a step that computes fields of the records that come in; without *keep* these alone are left."""
    operations: list[dict[str, Any]] = [*scope.before, {"op": "set", "fields": dict(fields), "on_error": "null"}]
    if not keep:
        operations.append({"op": "select", "fields": list(fields)})
    elif scope.preparing:
        operations.append({"op": "drop", "fields": scope.preparing})
    options = operations_of(operations, scope)
    return builder.add(node, {"intent": "transform", "input": braces(builder.items(node)), "options": options})


def single_source(builder: Builder, node: Node) -> bool:
    """True if one record comes in."""
    if builder.batch is not None and before_of(node) == builder.batch[0]:
        return True
    sources = [name for several in node.inputs for name, _ in several]
    outcome = builder.shared.outcomes.get(sources[0]) if len(sources) == 1 else None
    return outcome is not None and outcome.single


def _assignments(node: Node) -> list[tuple[str, Any, str]]:
    parameters = node.parameters
    if isinstance(parameters.get("assignments"), dict):
        listed = parameters["assignments"].get("assignments", [])
        return [
            (str(one["name"]), one.get("value"), one.get("type", "string")) for one in listed if one.get("name")
        ]
    if isinstance(parameters.get("fields"), dict):
        listed = parameters["fields"].get("values", [])
        found = []
        for one in listed:
            kind = str(one.get("type", "stringValue"))
            found.append((str(one["name"]), one.get(kind), kind.removesuffix("Value")))
        return found
    found = []
    for kind, several in parameters.get("values", {}).items():
        found += [(str(one["name"]), one.get("value"), kind) for one in several if one.get("name")]
    return found


def _typed(value: Any, kind: str) -> Any:
    """A value that is no expression, as its type says."""
    if not isinstance(value, str) or value.startswith("="):
        return value
    if kind == "number":
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise NotUnderstood(f"the number '{value}'") from None
    if kind == "boolean":
        return value.lower() == "true"
    if kind in ("array", "object"):
        try:
            return json.loads(value)
        except ValueError:
            raise NotUnderstood(f"a value of type {kind} that is not JSON") from None
    return value


def _raw(tree: Tree, scope: Scope) -> dict[str, str]:
    if not isinstance(tree, Object) or any(name is None for name, _ in tree.fields):
        raise NotUnderstood("JSON that is no object")
    return {str(name): scope.cel(value) for name, value in tree.fields}


def _replaced(builder: Builder, node: Node, scope: Scope, tree: Tree) -> Outcome:
    """Records that an expression makes, each in place of one that comes in."""
    match tree:
        case Call(Member(Name("Object"), "assign"), (Object(given), Name("$json"))) if given:
            # What the record has wins over what is given.
            fields = {str(name): _unless_there(str(name), scope.cel(value)) for name, value in given}
            return mapped(
                node,
                with_fields(builder, node, scope, fields, keep=True),
                pairs=True,
                single=single_source(builder, node),
            )
    made = scope.cel(tree)
    operations = [*scope.before, {"op": "set", "fields": {REPLACED: made}}, {"op": "project", "path": REPLACED}]
    options = operations_of(operations, scope)
    step = {"intent": "transform", "input": braces(builder.items(node)), "options": options}
    return mapped(node, builder.add(node, step), pairs=True, single=single_source(builder, node))


def _unless_there(name: str, cel: str) -> str:
    return f"{literal(name)} in item ? item{cel_part(name)} : {cel}"


def _nested(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields of which some names are paths, as fields that hold maps.

    Raises:
        NotUnderstood: A name is a field and a path.
    """
    made: dict[str, Any] = {}
    for name, cel in fields.items():
        *path, last = name.split(".")
        inner = made
        for key in path:
            inner = inner.setdefault(key, {})
        if not isinstance(inner, dict) or last in inner:
            raise NotUnderstood("names that are fields and paths")
        inner[last] = cel
    return {name: _as_map(value) for name, value in made.items()}


def _as_map(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{{{', '.join(f'{literal(name)}: {_as_map(inner)}' for name, inner in value.items())}}}"


def _keeps_others(node: Node) -> bool:
    parameters = node.parameters
    if node.version >= FLAGS:
        return bool(parameters.get("includeOtherFields", False))
    if node.version >= ASSIGNMENTS:
        return bool(parameters.get("include", "all") != "none")
    return not parameters.get("keepOnlySet", False)


# --- conditions ---


def if_node(builder: Builder, node: Node) -> Outcome:
    """If: two outputs."""
    scope = builder.scope(node)
    test = condition_of(
        node.parameters.get("conditions", {}), scope, node.parameters.get("combineOperation", "all")
    )
    return chosen(builder, node, scope, {0: (test, ""), 1: (f"!{_wrapped(test)}", "otherwise")})


def chosen(builder: Builder, node: Node, scope: Scope, tests: Mapping[int, tuple[str, str]]) -> Outcome:
    """An output for each test; what the steps are called is beside it."""
    items = builder.items(node)

    def aligned(other: Builder, reader: Node, number: int, companion: str) -> str:
        laid = other.add(reader, beside(items, companion), "beside")
        kept = _filtered(other, reader, laid, tests[number][0], scope, "beside chosen")
        return other.add(reader, {"intent": "transform", "input": braces(kept), "options": TAKE_OUT}, "belongs")

    outputs = {
        number: _filtered(builder, node, items, test, scope, suffix) for number, (test, suffix) in tests.items()
    }
    return Outcome(node, "mapped", outputs=outputs, before=before_of(node), aligned=aligned)


def _wrapped(test: str) -> str:
    return test if test.startswith("(") and _closes_at_end(test) else f"({test})"


def _closes_at_end(text: str) -> bool:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place == len(text) - 1
    return False


def _filtered(builder: Builder, node: Node, items: str, test: str, scope: Scope, suffix: str = "") -> str:
    options: dict[str, Any] = {"where": test}
    if scope.values:
        options["values"] = dict(scope.values)
    ready = builder.computed(node, scope, items)
    kept = builder.add(node, {"intent": "filter", "input": braces(ready), "options": options}, suffix)
    if not scope.preparing:
        return kept
    drop = {"op": "drop", "fields": scope.preparing}
    return builder.add(node, {"intent": "transform", "input": braces(kept), "options": drop}, f"{suffix} kept")


def filter_node(builder: Builder, node: Node) -> Outcome:
    """Filter: what matches goes on."""
    scope = builder.scope(node)
    combine = "any" if str(node.parameters.get("combineConditions", "")).upper() == "OR" else "all"
    test = condition_of(node.parameters.get("conditions", {}), scope, combine)
    return chosen(builder, node, scope, {0: (test, "")})


def switch_node(builder: Builder, node: Node) -> Outcome:
    """Switch: an output for each rule; a record goes to the first that matches."""
    scope, parameters = builder.scope(node), node.parameters
    if parameters.get("mode") == "expression":
        raise NotUnderstood("the mode `expression`")
    every = bool(parameters.get("options", {}).get("allMatchingOutputs"))
    found: dict[int, tuple[str, str]] = {}
    before: list[str] = []
    for number, test in _rules(parameters, scope):
        only = " && ".join([*(f"!{_wrapped(one)}" for one in before), test]) if before and not every else test
        found[number] = (only, str(number))
        before.append(test)
    fallback = parameters.get("options", {}).get("fallbackOutput", parameters.get("fallbackOutput"))
    if before and (fallback == "extra" or isinstance(fallback, int)):
        rest = " && ".join(f"!{_wrapped(one)}" for one in before)
        found[len(before) if fallback == "extra" else fallback] = (rest, "rest")
    return chosen(builder, node, scope, found)


def _rules(parameters: Mapping[str, Any], scope: Scope) -> list[tuple[int, str]]:
    rules = parameters.get("rules", {})
    if "values" in rules:
        return [(number, condition_of(one["conditions"], scope)) for number, one in enumerate(rules["values"])]
    kind = parameters.get("dataType", "number")
    found = []
    for number, one in enumerate(rules.get("rules", [])):
        test = {
            "value1": parameters.get("value1"),
            "value2": one.get("value2"),
            "operation": one.get("operation", "equal"),
        }
        found.append((int(one.get("output", number)), condition_of({kind: [test]}, scope)))
    return found


# --- lists ---


def split_out(builder: Builder, node: Node) -> Outcome:
    """Split Out: a record for each element of a list."""
    parameters = node.parameters
    name = str(parameters.get("fieldToSplitOut", "")).removeprefix("$json.")
    if not name or "," in name or name.startswith("="):
        raise NotUnderstood("several fields, or a computed one, to split out")
    into = str(parameters.get("options", {}).get("destinationFieldName") or name.rpartition(".")[2])
    include = parameters.get("include", "noOtherFields")
    operations: list[dict[str, Any]] = [{"op": "flatten", "field": name}]
    if include == "noOtherFields" and into == name.rpartition(".")[2]:
        operations[0]["carry"] = []
    elif "." in name or into.startswith("="):
        raise NotUnderstood("the fields that go along")
    else:
        named = f"item{cel_part(name)}.map(element, {{{literal(into)}: element}})"
        operations.insert(0, {"op": "set", "fields": {name: named}})
        if include == "noOtherFields":
            operations[1]["carry"] = []
        elif include == "selectedOtherFields":
            listed = [one.strip() for one in str(parameters.get("fieldsToInclude", "")).split(",")]
            operations[1]["carry"] = [one for one in listed if one]
    items = builder.items(node)

    def aligned(other: Builder, reader: Node, _number: int, companion: str) -> str:
        laid = other.add(reader, beside(items, companion), "beside")
        fields = {name.split(".")[0]: f"{cel_of(name)}.map(element, {{{literal(WITH)}: item.{WITH}}})"}
        split = {"op": "flatten", "field": name.split(".")[0], "carry": []}
        options = {"do": [{"op": "set", "fields": fields}, split, TAKE_OUT]}
        return other.add(reader, {"intent": "transform", "input": braces(laid), "options": options}, "belongs")

    return mapped(node, transform(builder, node, *operations), aligned=aligned)


def cel_of(path: str) -> str:
    """A field of the record, whose name may be a path, as CEL."""
    return "item" + "".join(cel_part(key) for key in path.split("."))


def aggregate(builder: Builder, node: Node) -> Outcome:
    """Aggregate: one record of all."""
    parameters, items = node.parameters, builder.items(node)
    if parameters.get("aggregate") == "aggregateAllItemData":
        include = parameters.get("include", "allFields")
        if include == "allFieldsExcept":
            raise NotUnderstood("the fields that go along")
        if include == "specifiedFields":
            fields = [one.strip() for one in str(parameters.get("fieldsToInclude", "")).split(",") if one.strip()]
            items = transform(builder, node, {"op": "select", "fields": fields})
        name = str(parameters.get("destinationFieldName", "data"))
        step = {"intent": "transform", "input": [{name: braces(items)}], "options": {"op": "limit", "count": 1}}
        return mapped(node, builder.add(node, step), single=True)
    measures = {}
    for one in parameters.get("fieldsToAggregate", {}).get("fieldToAggregate", []):
        field = str(one["fieldToAggregate"])
        measures[str(one.get("outputFieldName") if one.get("renameField") else field.rpartition(".")[2])] = {
            "list": field
        }
    if not measures:
        raise NotUnderstood("no field to aggregate")
    step = {"intent": "aggregate", "input": braces(items), "options": {"measures": measures}}
    return mapped(node, _listed(builder, node, builder.add(node, step)), single=True)


def _listed(builder: Builder, node: Node, output: str) -> str:
    """A list of records of an output that is one record, or a list."""
    step = {"intent": "transform", "input": [braces(output)], "options": {"op": "flatten", "depth": 1}}
    return builder.add(node, step, "records")


_MEASURES = {
    "sum": ("sum", "sum_{}"),
    "average": ("mean", "average_{}"),
    "count": ("count", "count_{}"),
    "countUnique": ("count_distinct", "unique_count_{}"),
    "min": ("min", "min_{}"),
    "max": ("max", "max_{}"),
    "append": ("list", "appended_{}"),
}


def summarize(builder: Builder, node: Node) -> Outcome:
    """Summarize: figures of groups."""
    parameters = node.parameters
    measures: dict[str, Any] = {}
    joined: dict[str, str] = {}
    for one in parameters.get("fieldsToSummarize", {}).get("values", []):
        if one.get("aggregation") == "concatenate" and one.get("field"):
            name = f"concatenated_{re.sub(r'[ .]', '_', one['field'])}"
            measures[name], joined[name] = {"list": one["field"]}, _separator(one)
            continue
        found = _MEASURES.get(one.get("aggregation", "count"))
        if found is None or not one.get("field"):
            raise NotUnderstood(f"the aggregation {one.get('aggregation')}")
        measures[found[1].format(re.sub(r"[ .]", "_", one["field"]))] = {found[0]: one["field"]}
    groups = [name.strip() for name in str(parameters.get("fieldsToSplitBy", "")).split(",") if name.strip()]
    options: dict[str, Any] = {"measures": measures, "on_error": "skip"}
    if groups:
        options["group_by"] = groups
    output = builder.add(node, {"intent": "aggregate", "input": braces(builder.items(node)), "options": options})
    output = output if groups else _listed(builder, node, output)
    if joined:
        fields = {
            name: f"item{cel_part(name)}.map(x, string(x)).join({literal(by)})" for name, by in joined.items()
        }
        step = {"intent": "transform", "input": braces(output), "options": {"op": "set", "fields": fields}}
        output = builder.add(node, step, "joined")
    return mapped(node, output, single=not groups)


def _separator(one: Mapping[str, Any]) -> str:
    by = str(one.get("separateBy", ","))
    by = str(one.get("customSeparator", "")) if by == "other" else by
    return {"\\n": "\n", "\\t": "\t"}.get(by, by)


def sort(builder: Builder, node: Node) -> Outcome:
    """Sort."""
    fields = node.parameters.get("sortFieldsUi", {}).get("sortField", [])
    if node.parameters.get("type", "simple") != "simple" or not fields:
        raise NotUnderstood("the kind of order")
    by = [f"-{one['fieldName']}" if one.get("order") == "descending" else one["fieldName"] for one in fields]
    return mapped(node, transform(builder, node, {"op": "sort", "by": by}))


def limit(builder: Builder, node: Node) -> Outcome:
    """Limit."""
    count = node.parameters.get("maxItems", 1)
    if node.parameters.get("keep", "firstItems") != "firstItems" or not isinstance(count, int):
        raise NotUnderstood("the last records, or a computed number")

    def aligned(other: Builder, reader: Node, _number: int, companion: str) -> str:
        step = {"intent": "transform", "input": braces(companion), "options": {"op": "limit", "count": count}}
        return other.add(reader, step, "belongs")

    return mapped(node, transform(builder, node, {"op": "limit", "count": count}), aligned=aligned)


def remove_duplicates(builder: Builder, node: Node) -> Outcome:
    """Remove Duplicates, of one run."""
    parameters = node.parameters
    if parameters.get("operation", "removeDuplicateInputItems") != "removeDuplicateInputItems":
        raise NotUnderstood("records of earlier runs")
    compare = parameters.get("compare", "allFields")
    if compare == "allFieldsExcept":
        raise NotUnderstood("all fields but some")
    fields = parameters.get("fieldsToCompare", "")
    listed = fields.get("fields", []) if isinstance(fields, dict) else str(fields).split(",")
    names = [one["fieldName"] if isinstance(one, dict) else one.strip() for one in listed]
    by: Any = names if compare == "selectedFields" else "*"
    step = {"intent": "filter", "input": braces(builder.items(node)), "options": {"unique_by": by}}
    return mapped(node, builder.add(node, step))


def item_lists(builder: Builder, node: Node) -> Outcome:
    """Item Lists, from which the nodes above were made."""
    operations: dict[str, Make] = {
        "splitOutItems": split_out,
        "aggregateItems": aggregate,
        "concatenateItems": aggregate,
        "removeDuplicates": remove_duplicates,
        "limit": limit,
        "sort": sort,
        "summarize": summarize,
    }
    return operations[node.parameters.get("operation", "splitOutItems")](builder, node)


RECORDS: dict[str, Make] = {
    "set": set_fields,
    "if": if_node,
    "filter": filter_node,
    "switch": switch_node,
    "splitOut": split_out,
    "aggregate": aggregate,
    "summarize": summarize,
    "sort": sort,
    "limit": limit,
    "removeDuplicates": remove_duplicates,
    "itemLists": item_lists,
}
"""Nodes by the last part of their type."""

"""Code nodes of a few known forms: nothing changes, literal records, or fields computed of each record."""

import re
from dataclasses import fields
from typing import Any

from intendant_n8n._builder import Builder, Outcome, operations_of
from intendant_n8n._graph import Node
from intendant_n8n._javascript import (
    TREES,
    Array,
    Arrow,
    Call,
    Literal,
    Member,
    Name,
    Node as Tree,
    NotUnderstood,
    Object,
    parse,
    parse_changes,
    parse_program,
)
from intendant_n8n._records import mapped, single_source, with_fields
from intendant_n8n._words import braces

_PASSES = re.compile(r"return\s+(\$input\.all\(\)|items|\[?\s*item\s*\]?|\$input\.item)\s*;?")
_LITERAL = re.compile(r"return\s+(\[.*\]|\{.*\})\s*;?", re.DOTALL)
_MAPS = re.compile(
    r"return\s+(?:\$input\.all\(\)|items)\.map\(\s*\(?\s*(?P<name>\w+)\s*\)?\s*=>\s*\(\s*(?P<body>\{.*\})\s*\)\s*\)\s*;?",
    re.DOTALL,
)


_CHANGES = re.compile(
    r"for\s*\(\s*(?:const|let|var)?\s*(?P<name>\w+)\s+of\s+(?:\$input\.all\(\)|items)\s*\)\s*\{(?P<body>.*)\}"
    r"\s*return\s+(?:\$input\.all\(\)|items)\s*;?",
    re.DOTALL,
)
_OWN = (Name("$json"), Member(Member(Name("$input"), "item"), "json"))
"""The record itself, as code for each record has it."""


def code(builder: Builder, node: Node) -> Outcome:
    """Code, where it is one of a few known forms: nothing changes, literal records, or fields of each record."""
    text = str(node.parameters.get("jsCode", node.parameters.get("functionCode", "")))
    text = re.sub(r"^\s*//[^\n]*$|/\*.*?\*/", "", text, flags=re.MULTILINE | re.DOTALL).strip()
    if _PASSES.fullmatch(text):
        return mapped(node, builder.items(node), pairs=True)
    if (found := _MAPS.fullmatch(text)) is not None:
        return _computed(builder, node, _json_of(parse(found["body"])), found["name"])
    if (found := _LITERAL.fullmatch(text)) is not None:
        tree = parse(found[1])
        listed = tree.elements if isinstance(tree, Array) else (tree,)
        try:
            records = [_value(_json_of(one, bare=True)) for one in listed]
        except NotUnderstood:
            return _returned(builder, node, unwrapped(tree))
        step = {"intent": "transform", "input": records, "options": {"op": "limit", "count": len(records)}}
        return mapped(node, builder.add(node, step), single=len(records) == 1)
    if (found := _CHANGES.fullmatch(text)) is not None:
        changes = parse_changes(found["body"], found["name"])
        tree = Object(((None, Member(Name(found["name"]), "json")), *changes))
        return _computed(builder, node, tree, found["name"])
    return _returned(builder, node, unwrapped(parse_program(text)))


MADE, MOST_CEL = "made", 20_000
"""The field that holds what code returns; characters of an expression that may become of it."""


def unwrapped(tree: Tree) -> Tree:
    """What code returns, without the `json` that n8n wraps records in.

    Raises:
        NotUnderstood: It is neither a record nor a list of them.
    """
    match tree:
        case Array(elements):
            return Array(tuple(_json_of(one, bare=True) for one in elements))
        case Object():
            return _json_of(tree, bare=True)
        case Call(Member(of, "map" as key), (Arrow(name, body),)):
            return Call(Member(of, key), (Arrow(name, _json_of(body, bare=True)),))
        case Call(Member(_, "filter"), (Arrow(),)) | Call(Member(Call(Name("$"), (_,)), "all"), ()):
            return tree
    raise NotUnderstood("code")


def _returned(builder: Builder, node: Node, tree: Tree) -> Outcome:
    """Records that an expression makes: of each record, or of all at once."""
    each = node.parameters.get("mode") == "runOnceForEachItem"
    if each and not isinstance(tree, Object):
        raise NotUnderstood("code that gives several records for each")
    if isinstance(tree, Object) and any(name is None for name, _ in tree.fields):
        return _spread(builder, node, tree, each=each)
    scope = builder.scope(node)
    cel = scope.items_of(tree) if scope.is_items(tree) else scope.cel(tree)
    if len(cel) > MOST_CEL:
        raise NotUnderstood("code that makes a very long expression")
    operations: list[dict[str, Any]] = [] if each else [{"op": "limit", "count": 1}]
    operations += [*scope.before, {"op": "set", "fields": {MADE: cel}}, {"op": "project", "path": MADE}]
    if not isinstance(tree, Object):
        operations.append({"op": "flatten", "depth": 1})
    step = {
        "intent": "transform",
        "input": braces(builder.items(node)),
        "options": operations_of(operations, scope),
    }
    reference = builder.add(node, step)
    if each:
        return mapped(node, reference, pairs=True, single=single_source(builder, node))
    return mapped(
        node, reference, single=isinstance(tree, Object) or (isinstance(tree, Array) and len(tree.elements) == 1)
    )


def _json_of(tree: Tree, *, bare: bool = False) -> Tree:
    if isinstance(tree, Object):
        for name, value in tree.fields:
            if name == "json":
                return value
        if bare:
            return tree
    raise NotUnderstood("code")


def _value(tree: Tree) -> Any:
    match tree:
        case Literal():
            return tree.value
        case Array():
            return [_value(one) for one in tree.elements]
        case Object() if all(name is not None for name, _ in tree.fields):
            return {str(name): _value(one) for name, one in tree.fields}
    raise NotUnderstood("code that computes")


def _computed(builder: Builder, node: Node, tree: Tree, variable: str) -> Outcome:
    if not isinstance(tree, Object):
        raise NotUnderstood("code")
    scope = builder.scope(node)
    keep = any(name is None for name, _ in tree.fields)
    made = {name: scope.cel(_renamed(one, variable)) for name, one in tree.fields if name is not None}
    return mapped(node, with_fields(builder, node, scope, made, keep=keep), pairs=True)


def _spread(builder: Builder, node: Node, tree: Object, *, each: bool) -> Outcome:
    """`{...$json, name: value}`: the record with more fields."""
    first = (*_OWN, Member(Call(Member(Name("$input"), "first"), ()), "json"))
    if tree.fields[0] not in [(None, own) for own in (_OWN if each else first)]:
        raise NotUnderstood("code that puts records together")
    scope, named = builder.scope(node), dict(tree.fields[1:])
    if None in named or len(named) < len(tree.fields) - 1:
        raise NotUnderstood("code that puts records together")
    fields = {str(name): scope.cel(value) for name, value in named.items()}
    operations: list[dict[str, Any]] = [] if each else [{"op": "limit", "count": 1}]
    operations += scope.before
    if fields:
        operations.append({"op": "set", "fields": fields, "on_error": "null"})
    if scope.preparing:
        operations.append({"op": "drop", "fields": scope.preparing})
    if not operations:
        return mapped(node, builder.items(node), pairs=True, single=single_source(builder, node))
    options = operations_of(operations, scope)
    step = {"intent": "transform", "input": braces(builder.items(node)), "options": options}
    return mapped(node, builder.add(node, step), pairs=each, single=not each or single_source(builder, node))


def _renamed(tree: Tree, variable: str) -> Tree:
    """The tree with `$json` in place of `item.json`."""
    if tree == Member(Name(variable), "json"):
        return Name("$json")

    def inner(one: Any) -> Any:
        if isinstance(one, tuple):
            return tuple(inner(element) for element in one)
        return _renamed(one, variable) if isinstance(one, TREES) else one

    changed = {part.name: inner(getattr(tree, part.name)) for part in fields(tree)}
    return type(tree)(**changed)


CODE = {"code": code, "function": code}
"""Nodes by the last part of their type."""

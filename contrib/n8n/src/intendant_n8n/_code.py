"""Code nodes of a few known forms: nothing changes, literal records, or fields computed of each record."""

import re
from dataclasses import fields
from typing import Any, get_args

from intendant_n8n._builder import Builder, Outcome
from intendant_n8n._graph import Node
from intendant_n8n._javascript import Array, Literal, Member, Name, Node as Tree, NotUnderstood, Object, parse
from intendant_n8n._records import mapped, with_fields

_PASSES = re.compile(r"return\s+(\$input\.all\(\)|items|\[?\s*item\s*\]?|\$input\.item)\s*;?")
_LITERAL = re.compile(r"return\s+(\[.*\]|\{.*\})\s*;?", re.DOTALL)
_MAPS = re.compile(
    r"return\s+(?:\$input\.all\(\)|items)\.map\(\s*\(?\s*(?P<name>\w+)\s*\)?\s*=>\s*\(\s*(?P<body>\{.*\})\s*\)\s*\)\s*;?",
    re.DOTALL,
)


TREES = get_args(Tree)


def code(builder: Builder, node: Node) -> Outcome:
    """Code, where it is one of a few known forms: nothing changes, literal records, or fields of each record."""
    text = str(node.parameters.get("jsCode", node.parameters.get("functionCode", "")))
    text = re.sub(r"^\s*//.*$|/\*.*?\*/", "", text, flags=re.MULTILINE | re.DOTALL).strip()
    if _PASSES.fullmatch(text):
        return mapped(node, builder.items(node), pairs=True)
    if (found := _MAPS.fullmatch(text)) is not None:
        return _computed(builder, node, _json_of(parse(found["body"])), found["name"])
    if (found := _LITERAL.fullmatch(text)) is not None:
        tree = parse(found[1])
        listed = tree.elements if isinstance(tree, Array) else (tree,)
        records = [_value(_json_of(one, bare=True)) for one in listed]
        step = {"intent": "transform", "input": records, "options": {"op": "limit", "count": len(records)}}
        return mapped(node, builder.add(node, step), single=len(records) == 1)
    raise NotUnderstood("code")


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

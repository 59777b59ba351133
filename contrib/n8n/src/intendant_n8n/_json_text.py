"""JSON that holds expressions, as nodes have it in text fields."""

import json
import re
from typing import Any

from intendant_n8n._expressions import Scope
from intendant_n8n._javascript import (
    Array,
    Call,
    Literal,
    Member,
    Name,
    Node,
    NotUnderstood,
    Object,
    Template,
    parse,
)
from intendant_n8n._words import escaped, pieces

_WITHIN, _BARE = "\x00{}\x00", "\x00{}\x01"
"""Stand for expressions while the JSON around them is read: within a text, and in place of a value."""
_MARK = re.compile("\x00(\\d+)([\x00\x01])")


def read_json(text: Any, scope: Scope) -> Any:
    """The value of a JSON text, with references in place of expressions.

    Raises:
        NotUnderstood: It is not JSON, or an expression cannot be translated.
    """
    return _filled(json_tree(text), scope) if isinstance(text, str) else scope.template(text)


def json_tree(text: str) -> Node:
    """A JSON text with expressions, or one expression that makes an object, as a tree.

    Raises:
        NotUnderstood: It is not JSON, or an expression is not understood.
    """
    if not text.startswith("="):
        return _node(_loads(text), [])
    whole = text[1:].strip()
    one = whole.startswith("{{") and whole.endswith("}}") and whole.count("{{") == 1
    tree = _parsed(whole[2:-2]) if whole.startswith("{{") and whole.endswith("}}") else None
    if isinstance(tree, Object | Array) or (one and tree is not None):
        return tree
    found: list[Node] = []
    made: list[str] = []
    quoted = False
    for plain, part in pieces(text[1:]):
        if plain:
            quoted = _ends_within_quotes(part, quoted)
        made.append(
            part if plain else _WITHIN.format(len(found)) if quoted else json.dumps(_BARE.format(len(found)))
        )
        if not plain:
            found.append(_without_stringify(parse(part)))
    return _node(_loads("".join(made)), found)


def _parsed(text: str) -> Node | None:
    try:
        return parse(text)
    except NotUnderstood:
        return None  # several expressions, or one that is refused below with its reason


def _node(value: Any, found: list[Node]) -> Node:
    """A value of JSON as a tree, with the expressions in their places."""
    if isinstance(value, dict):
        if any(_MARK.search(name) for name in value):
            raise NotUnderstood("a name that is computed")
        return Object(tuple((name, _node(inner, found)) for name, inner in value.items()))
    if isinstance(value, list):
        return Array(tuple(_node(inner, found) for inner in value))
    if not isinstance(value, str) or not (marks := list(_MARK.finditer(value))):
        return Literal(value)
    if marks[0][2] == "\x01":
        return found[int(marks[0][1])]
    texts = _MARK.split(value)[::3]
    parts: list[str | Node] = [texts[0]]
    for mark, rest in zip(marks, texts[1:], strict=True):
        parts += [found[int(mark[1])], rest]
    return Template(tuple(parts))


def _filled(tree: Node, scope: Scope) -> Any:
    """The value of a tree, with references in place of expressions."""
    match tree:
        case Object() if all(name is not None for name, _ in tree.fields):
            return {name: _filled(value, scope) for name, value in tree.fields}
        case Array():
            return [_filled(value, scope) for value in tree.elements]
        case Literal():
            return escaped(tree.value) if isinstance(tree.value, str) else tree.value
        case Template():
            return "".join(escaped(part) if isinstance(part, str) else scope.filled(part) for part in tree.parts)
    return scope.filled(tree)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        raise NotUnderstood("a body that is not JSON") from None


def _ends_within_quotes(text: str, quoted: bool) -> bool:
    escape = False
    for letter in text:
        if escape:
            escape = False
        elif letter == "\\":
            escape = True
        elif letter == '"':
            quoted = not quoted
    return quoted


def _without_stringify(node: Node) -> Node:
    """`JSON.stringify(value)` within JSON is the value."""
    if isinstance(node, Call) and node.function == Member(Name("JSON"), "stringify") and node.arguments:
        return node.arguments[0]
    return node

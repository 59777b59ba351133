"""JSON that holds expressions, as nodes have it in text fields."""

import json
from typing import Any

from intendant_n8n._expressions import Scope, pieces
from intendant_n8n._javascript import Array, Call, Literal, Member, Name, NotUnderstood, Object, parse

_MARK = "\x00{}\x00"


def read_json(text: Any, scope: Scope) -> Any:
    """The value of a JSON text, with references in place of expressions.

    Raises:
        NotUnderstood: It is not JSON, or an expression cannot be translated.
    """
    if not isinstance(text, str):
        return scope.template(text)
    if not text.startswith("="):
        return _loads(text)
    whole = text[1:].strip()
    if whole.startswith("{{") and whole.endswith("}}") and isinstance(tree := _tree(whole[2:-2]), Object | Array):
        return _of_tree(tree, scope)
    references: list[str] = []
    made: list[str] = []
    quoted = False
    for plain, part in pieces(text[1:]):
        if plain:
            made.append(part)
            quoted = _ends_within_quotes(part, quoted)
            continue
        mark = _MARK.format(len(references))
        references.append(scope.template(f"={{{{{_without_stringify(part)}}}}}"))
        made.append(mark if quoted else json.dumps(mark))
    joined = "".join(made)
    if len(references) == 1 and joined.strip() == json.dumps(_MARK.format(0)):
        return references[0]
    return _filled(_loads(joined), references)


def _tree(text: str) -> Any:
    try:
        return parse(text)
    except NotUnderstood:
        return None  # several expressions, or one that is refused below with its reason


def _of_tree(tree: Any, scope: Scope) -> Any:
    """A value that is written in JavaScript."""
    match tree:
        case Object() if all(name is not None for name, _ in tree.fields):
            return {name: _of_tree(value, scope) for name, value in tree.fields}
        case Array():
            return [_of_tree(value, scope) for value in tree.elements]
        case Literal():
            return tree.value
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


def _without_stringify(text: str) -> str:
    node = parse(text)
    if isinstance(node, Call) and node.function == Member(Name("JSON"), "stringify"):
        inner = text[text.index("(") + 1 : text.rindex(")")]
        return inner.partition(", null")[0]
    return text


def _filled(value: Any, references: list[str]) -> Any:
    if isinstance(value, dict):
        return {_filled(key, references): _filled(inner, references) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, references) for inner in value]
    if isinstance(value, str):
        for number, reference in enumerate(references):
            value = value.replace(_MARK.format(number), reference)
    return value

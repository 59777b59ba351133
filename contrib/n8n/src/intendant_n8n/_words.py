"""How expressions are written: literals, texts with references, keys; and how a tree is told."""

import json
import re
from collections.abc import Iterator
from typing import Any

from intendant_n8n._javascript import (
    Call,
    Literal,
    Member,
    Name,
    Node,
    NotUnderstood,
    Object,
    Operation,
    Template,
)

WORD = re.compile(r"[A-Za-z_]\w*")
RESERVED = frozenset(
    (
        *(
            "as",
            "break",
            "const",
            "continue",
            "else",
            "false",
            "for",
            "function",
            "if",
            "import",
            "in",
            "let",
            "loop",
        ),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    )
)


def braces(reference: str) -> str:
    """A value that is one reference."""
    return f"{{{{ {reference} }}}}"


def cel_part(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if is_plain(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def is_plain(key: str) -> bool:
    return WORD.fullmatch(key) is not None and key not in RESERVED


def literal(value: Any) -> str:
    """A value as CEL writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(str(key))}: {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False)


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """A text in parts: what stands for itself (True), and what stands between `{{` and `}}`."""
    at = 0
    while (start := text.find("{{", at)) >= 0:
        end = text.find("}}", start)
        if end < 0:
            break
        while text[end : end + 3] == "}}}" and text.count("{", start + 2, end) > text.count("}", start + 2, end):
            end += 1  # an object within the expression ends here
        if start > at:
            yield True, text[at:start]
        yield False, text[start + 2 : end]
        at = end + 2
    if at < len(text):
        yield True, text[at:]


def escaped(text: str) -> str:
    """A text that holds no reference."""
    return text.replace("{{", "{{ '{{' }}") if "{{" in text else text


def is_text(node: Node) -> bool:
    if isinstance(node, Operation) and node.operator == "+" and node.left is not None:
        return is_text(node.left) or is_text(node.right)
    if isinstance(node, Call) and isinstance(node.function, Member):
        return node.function.key in (
            "toLowerCase",
            "toUpperCase",
            "trim",
            "join",
            "replace",
            "replaceAll",
            "toString",
        )
    return isinstance(node, Template) or (isinstance(node, Literal) and isinstance(node.value, str))


def text_of(node: Node) -> str:
    if isinstance(node, Literal) and isinstance(node.value, str):
        return node.value
    raise NotUnderstood("a node whose name is computed")


def shown(node: Node) -> str:
    match node:
        case Call(function=Member(key=str() as key)):
            return f"`.{key}()`"
        case Call(function=Name(name=name)):
            return f"`{name}()`"
        case Name(name=name):
            return f"`{name}`"
        case Object():
            return "an object"
    return f"a {type(node).__name__.lower()}"


def people(value: Any) -> Any:
    """Those who are written to: n8n takes several in one text, with commas between."""
    several = isinstance(value, str) and not value.startswith("=") and value.count("@") > 1 and '"' not in value
    return [one.strip() for one in value.split(",") if one.strip()] if several else value

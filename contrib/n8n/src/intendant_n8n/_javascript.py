"""Reads the part of JavaScript that most expressions of n8n are written in: paths, operators, calls, literals."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn


class NotUnderstood(Exception):
    """An expression is not of the part that can be translated; the message says what of it is not."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text, a number, true, false or null."""

    value: str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, such as `$json`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`of.key`, or `of[key]` where the key is computed; `?.` is taken for `.`."""

    of: "Node"
    key: "str | int | Node"


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`."""

    function: "Node"
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Operation:
    """`left operator right`; of a unary one `left` is None."""

    operator: str
    left: "Node | None"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choice:
    """`test ? then : otherwise`."""

    test: "Node"
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class Object:
    """`{name: value}`; the name of a spread element (`...x`) is None."""

    fields: "tuple[tuple[str | None, Node], ...]"


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    elements: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Arrow:
    """`name => body`."""

    name: str
    body: "Node"


@dataclass(frozen=True, slots=True)
class Template:
    """A text between backticks: texts and expressions by turns."""

    parts: "tuple[str | Node, ...]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression: `/source/flags`."""

    source: str
    flags: str


Node = Literal | Name | Member | Call | Operation | Choice | Object | Array | Template | Arrow | Pattern
TREES = (Literal, Name, Member, Call, Operation, Choice, Object, Array, Template, Arrow, Pattern)

_TOKEN = re.compile(
    r"""\s*(?://[^\n]*\s*|/\*.*?\*/\s*)*(?:
    (?P<number>\d+(?:\.\d+)?)|
    (?P<name>[A-Za-z_$][\w$]*)|
    (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|
    (?P<template>`(?:[^`\\]|\\.)*`)|
    (?P<mark>===|!==|==|!=|<=|>=|&&|\|\||\?\?|\?\.|=>|\.\.\.|[-+*/%<>!?:.,;=()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_PATTERN = re.compile(
    r"\s*(?P<pattern>/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)(?![\w$])",
)
"""A regular expression, where an operand may stand."""
_BINDING = [("??", "||"), ("&&",), ("==", "!=", "===", "!=="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%")]
"""Binary operators, the weakest first."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "undefined": None}
DEEPEST = 60
"""How deep expressions may be nested."""


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        NotUnderstood: It is none, or of another part of the language.
    """
    reader = _Reader(text)
    node = reader.expression()
    reader.end()
    return node


def parse_program(text: str) -> Node:
    """What a program of constants returns, with their values in their places.

    Raises:
        NotUnderstood: It has other statements, or its expressions are not understood.
    """
    reader = _Reader(text)
    known: dict[str, Node] = {}
    while reader.peek() in ("const", "let", "var") and reader.kind() == "name":
        reader.take()
        kind, name = reader.take()
        if kind != "name":
            raise NotUnderstood("code")
        reader.want("=")
        known[name] = replaced(reader.expression(), known)
        reader.skip(";")
    if reader.take() != ("name", "return"):
        raise NotUnderstood("code")
    node = replaced(reader.expression(), known)
    reader.skip(";")
    reader.end()
    return node


def parse_changes(text: str, variable: str) -> list[tuple[str, Node]]:
    """The fields that statements such as `item.json.name = …` set, in their order.

    Raises:
        NotUnderstood: There are other statements.
    """
    reader = _Reader(text)
    found: list[tuple[str, Node]] = []
    while reader.peek():
        target = reader.postfix(reader.primary())
        reader.want("=")
        match target:
            case Member(Member(Name(name), "json"), str() as key) if name == variable:
                found.append((key, reader.expression()))
            case _:
                raise NotUnderstood("code")
        reader.skip(";")
    return found


def replaced(tree: Node, known: Mapping[str, Node]) -> Node:
    """A tree with others in place of names; parameters of functions hide names of theirs."""
    if isinstance(tree, Name):
        return known.get(tree.name, tree)
    if isinstance(tree, Arrow):
        known = {name: value for name, value in known.items() if name != tree.name}

    def inner(one: Any) -> Any:
        if isinstance(one, tuple):
            return tuple(inner(element) for element in one)
        return replaced(one, known) if isinstance(one, TREES) else one

    changed = {part.name: inner(getattr(tree, part.name)) for part in fields(tree)}
    return type(tree)(**changed)


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        self.depth = 0
        place = 0
        while text[place:].strip():
            found = (None if self._after_operand() else _PATTERN.match(text, place)) or _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise NotUnderstood(f"`{text[place : place + 20].strip()}`")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def _after_operand(self) -> bool:
        """True if `/` divides here."""
        if not self.tokens:
            return False
        kind, last = self.tokens[-1]
        return last in ")]}" if kind == "mark" else last != "return"

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise NotUnderstood("it ends too soon")
        token = self.tokens[self.at]
        self.at += 1
        return token

    def skip(self, mark: str) -> bool:
        if self.kind() == "mark" and self.peek() == mark:
            self.at += 1
            return True
        return False

    def want(self, mark: str) -> None:
        if not self.skip(mark):
            self.refuse()

    def refuse(self) -> NoReturn:
        raise NotUnderstood(f"`{self.peek()}`" if self.peek() else "it ends too soon")

    def end(self) -> None:
        if self.at < len(self.tokens):
            self.refuse()

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotUnderstood("it is nested too deep")
        node = self.binary(0)
        if self.skip("?"):
            then = self.expression()
            self.want(":")
            node = Choice(node, then, self.expression())
        self.depth -= 1
        return node

    def binary(self, level: int) -> Node:
        if level == len(_BINDING):
            return self.unary()
        node = self.binary(level + 1)
        while self.kind() == "mark" and self.peek() in _BINDING[level]:
            operator = self.take()[1]
            node = Operation(operator.replace("===", "==").replace("!==", "!="), node, self.binary(level + 1))
        return node

    def unary(self) -> Node:
        for operator in ("!", "-", "+"):
            if self.skip(operator):
                return Operation(operator, None, self.unary())
        return self.postfix(self.primary())

    def postfix(self, node: Node) -> Node:
        while True:
            if self.skip(".") or self.skip("?."):
                if self.skip("["):
                    node = self.computed(node)
                    continue
                kind, key = self.take()
                if kind != "name":
                    raise NotUnderstood(f"`.{key}`")
                node = Member(node, key)
            elif self.skip("["):
                node = self.computed(node)
            elif self.skip("("):
                node = Call(node, self.several(")"))
            else:
                return node

    def computed(self, node: Node) -> Node:
        key = self.expression()
        self.want("]")
        if isinstance(key, Literal) and isinstance(key.value, str | int) and not isinstance(key.value, bool):
            return Member(node, key.value)
        return Member(node, key)

    def several(self, last: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.skip(last):
            found.append(self.expression())
            if not self.skip(","):
                self.want(last)
                break
        return tuple(found)

    def primary(self) -> Node:  # noqa: PLR0911  # one kind of token each
        kind, text = self.take()
        match kind:
            case "number":
                return Literal(float(text) if "." in text else int(text))
            case "text":
                return Literal(unescaped(text[1:-1]))
            case "pattern":
                source, _, flags = text[1:].rpartition("/")
                return Pattern(source, flags)
            case "template":
                return Template(tuple(self.parts(text[1:-1])))
            case "name" if self.skip("=>"):
                return Arrow(text, self.body())
            case "name" if text == "new" and self.kind() == "name":
                made = self.take()[1]
                self.want("(")
                return Call(Name(f"new {made}"), self.several(")"))
            case "name":
                return Literal(_CONSTANTS[text]) if text in _CONSTANTS else Name(text)
        if text == "(":
            node = self.expression()
            self.want(")")
            if isinstance(node, Name) and self.skip("=>"):
                return Arrow(node.name, self.body())
            return node
        if text == "[":
            return Array(self.several("]"))
        if text == "{":
            return self.object()
        raise NotUnderstood(f"`{text}`")

    def body(self) -> Node:
        """What a function gives: an expression, or what a block returns that does nothing else."""
        if not self.skip("{"):
            return self.expression()
        if self.take() != ("name", "return"):
            raise NotUnderstood("a function of several statements")
        node = self.expression()
        self.skip(";")
        self.want("}")
        return node

    def object(self) -> Node:
        fields: list[tuple[str | None, Node]] = []
        while not self.skip("}"):
            if self.skip("..."):
                fields.append((None, self.expression()))
            else:
                kind, key = self.take()
                if kind not in ("name", "text", "number"):
                    raise NotUnderstood(f"`{key}`")
                name = unescaped(key[1:-1]) if kind == "text" else key
                fields.append((name, self.expression() if self.skip(":") else Name(name)))
            if not self.skip(","):
                self.want("}")
                break
        return Object(tuple(fields))

    @staticmethod
    def parts(text: str) -> Sequence[str | Node]:
        found: list[str | Node] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            end = text.find("}", start)
            if end < 0:
                raise NotUnderstood("`${`")
            found += [unescaped(text[at:start]), parse(text[start + 2 : end])]
            at = end + 1
        return [*found, unescaped(text[at:])]


def unescaped(text: str) -> str:
    """A text without the escapes that it is written with."""
    if "\\u" in text:
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: json.loads(f'"{found[0]}"'), text)
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)

"""Translates expressions of n8n: into references where they are paths, into CEL where they compute.

A record is `item` in both. Values of other nodes are references; in CEL they are handed over under `values`.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from intendant_n8n._javascript import (
    Array,
    Arrow,
    Call,
    Choice,
    Literal,
    Member,
    Name,
    Node,
    NotUnderstood,
    Object,
    Operation,
    Template,
    parse,
)

Keys = tuple[str | int, ...]
PAIRED = "[=]"
"""Stands at the end of a reference to the records of another node that belong to the items, one to each."""
Lookup = Callable[[str, bool], str]
"""The reference to the record of another node, such as `steps.fetch.output[0]`: its name, and whether the first
one is meant whatever the item. With `PAIRED` at the end, the one at the place of the item is meant. Raises
NotUnderstood where it cannot be told.
"""
_WORD = re.compile(r"[A-Za-z_]\w*")
_RESERVED = frozenset(
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


@dataclass(frozen=True, slots=True)
class Path:
    """A value by where it is."""

    root: str
    """`item`, or a reference such as `steps.fetch.output[0]`."""
    keys: Keys = ()

    @property
    def paired(self) -> bool:
        """True if it is in the record of another node at the place of the item, which only CEL can say."""
        return self.root.endswith(PAIRED)

    def reference(self) -> str:
        """As it stands between the braces of a reference."""
        return self.root + "".join(_reference_part(key) for key in self.keys)


def _reference_part(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if re.fullmatch(r"[^\W\d][\w-]*", key):
        return f".{key}"
    return f"['{key}']" if "'" not in key else f'["{key}"]'


@dataclass(slots=True)
class Scope:
    """What expressions of one node may refer to.

    Args:
        lookup: Finds the record of another node.
        variable: The reference to a variable such as `$env.NAME` or `$execution.id`.
        item: What `$json` is.
    """

    lookup: Lookup
    variable: Callable[[str, Keys], str]
    item: str = "item"
    local: tuple[str, ...] = ()
    """Names of elements, within `map` and `filter`."""
    values: dict[str, Any] = field(default_factory=dict)
    """What CEL conditions use as `values.<name>`."""

    # --- paths ---

    def path(self, node: Node) -> Path | None:
        """Where the value of an expression is; None if it is computed.

        Raises:
            NotUnderstood: It names what cannot be told.
        """
        keys: list[str | int] = []
        if isinstance(node, Member) and node.key == "length":
            return None
        while isinstance(node, Member) and isinstance(node.key, str | int):
            keys.append(node.key)
            node = node.of
        root = self._root(node, keys[::-1])
        return None if root is None else Path(root[0], tuple(root[1]))

    def _root(self, node: Node, keys: list[str | int]) -> tuple[str, list[str | int]] | None:
        if isinstance(node, Name):
            return self._of_name(node.name, keys)
        if isinstance(node, Call):
            return self._of_call(node, keys)
        return None

    def _of_name(self, name: str, keys: list[str | int]) -> tuple[str, list[str | int]] | None:
        if name == "$json" or name in self.local:
            return (self.item if name == "$json" else name), keys
        if name == "$input" and keys[:2] == ["item", "json"]:
            return self.item, keys[2:]
        if name == "$node" and len(keys) > 1 and keys[1] == "json":
            return self.lookup(str(keys[0]), False), keys[2:]
        if name.startswith("$") and name != "$input":
            return self.variable(name, tuple(keys)), []
        return None

    def _of_call(self, node: Call, keys: list[str | int]) -> tuple[str, list[str | int]] | None:
        """`$('X').item.json`, `$('X').first().json`, `$input.first().json`, `$items('X')[0].json`."""
        function, arguments = node.function, node.arguments
        if isinstance(function, Name) and function.name in ("$", "$items") and len(arguments) == 1:
            name = _text_of(arguments[0])
            if function.name == "$" and keys[:2] == ["item", "json"]:
                return self.lookup(name, False), keys[2:]
            if function.name == "$items" and keys[:2] == [0, "json"]:
                return self.lookup(name, True), keys[2:]
        if isinstance(function, Member) and function.key == "first" and keys[:1] == ["json"]:
            if isinstance(function.of, Call) and function.of.function == Name("$"):
                return self.lookup(_text_of(function.of.arguments[0]), True), keys[1:]
            if function.of == Name("$input"):
                return self.item, keys[1:]
        return None

    # --- templates ---

    def template(self, value: Any) -> Any:
        """A parameter with references in place of expressions. Computed ones become fields of the record, which
        `computed` names.

        Raises:
            NotUnderstood: An expression cannot be translated.
        """
        if isinstance(value, dict):
            return {key: self.template(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.template(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if not value.startswith("="):
            return escaped(value)
        return "".join(text if plain else self._filled(text) for plain, text in pieces(value[1:]))

    def _filled(self, text: str) -> str:
        return self.filled(parse(text))

    def filled(self, node: Node) -> str:
        """An expression as a reference.

        Raises:
            NotUnderstood: It cannot be translated.
        """
        if isinstance(node, Literal):
            return escaped(str(node.value))
        path = self.path(node)
        if path is not None and not path.paired:
            return braces(path.reference())
        name = f"computed_{len(self.computed) + 1}"
        self.computed[name] = self.cel(node)
        return f"{{{{ {self.item}.{name} }}}}"

    computed: dict[str, str] = field(default_factory=dict)
    """Fields that a step before this one has to compute, as CEL, by their names."""

    # --- CEL ---

    def expression(self, value: Any) -> str:
        """A parameter as a CEL expression on `item`.

        Raises:
            NotUnderstood: It cannot be translated.
        """
        if not isinstance(value, str):
            return literal(value)
        if not value.startswith("="):
            return literal(value)
        found = [(plain, text) for plain, text in pieces(value[1:]) if text]
        if len(found) == 1 and not found[0][0]:
            return self.cel(parse(found[0][1]))
        parts = [literal(text) if plain else self.as_text(parse(text)) for plain, text in found]
        return " + ".join(parts) or '""'

    def cel(self, node: Node) -> str:  # noqa: PLR0911  # one kind of node each
        """An expression as CEL.

        Raises:
            NotUnderstood: It cannot be translated.
        """
        path = self.path(node)
        if path is not None:
            return self.cel_path(path)
        match node:
            case Literal():
                return literal(node.value)
            case Operation():
                return self._operation(node)
            case Choice():
                return f"({self.truth(node.test)} ? {self.cel(node.then)} : {self.cel(node.otherwise)})"
            case Template():
                parts = (literal(part) if isinstance(part, str) else self.as_text(part) for part in node.parts)
                return f"({' + '.join(parts)})"
            case Call():
                return self._call(node)
            case Member(key="length"):
                return f"size({self.cel(node.of)})"
            case Member(key=str() | int() as key):
                return f"{self.cel(node.of)}{_cel_part(key)}"
            case Member(key=computed):
                return f"{self.cel(node.of)}[{self.cel(computed)}]"  # type: ignore[arg-type]
            case Array():
                return f"[{', '.join(map(self.cel, node.elements))}]"
            case Object() if all(name is not None for name, _ in node.fields):
                return f"{{{', '.join(f'{literal(name)}: {self.cel(value)}' for name, value in node.fields)}}}"
        raise NotUnderstood(_shown(node))

    def cel_path(self, path: Path) -> str:
        """A path as CEL."""
        root, keys = path.root, path.keys
        if path.paired:
            root = f"values.{self._value(Path(root.removesuffix(PAIRED)))}[index]"
        elif root != "item" and root not in self.local:
            root, keys = f"values.{self._value(path)}", ()
        return root + "".join(_cel_part(key) for key in keys)

    def _value(self, path: Path) -> str:
        reference = f"{{{{ {path.reference()} }}}}"
        for name, known in self.values.items():
            if known == reference:
                return name
        name = f"v{len(self.values) + 1}"
        self.values[name] = reference
        return name

    def guards(self, node: Node) -> Iterator[str]:
        """What has to hold so that the paths of an expression are there: undefined is no error in JavaScript."""
        path = self.path(node)
        if path is not None:
            yield from _guards(path) if path.root == "item" else ()
            return
        match node:
            case Member():
                yield from self.guards(node.of)
            case Call():
                yield from self.guards(node.function)
                for argument in node.arguments:
                    yield from self.guards(argument)
            case Operation() if node.operator not in ("&&", "||", "!"):
                for side in (node.left, node.right):
                    if side is not None:
                        yield from self.guards(side)

    def guarded(self, test: str, *nodes: Node) -> str:
        """A test that is false where a path of *nodes* is not there."""
        guards = dict.fromkeys(guard for node in nodes for guard in self.guards(node))
        return f"({' && '.join([*guards, test])})"

    def as_text(self, node: Node) -> str:
        """An expression as CEL text; empty where it is not there."""
        if isinstance(node, Literal):
            return literal("" if node.value is None else str(node.value))
        value = self.cel(node)
        guards = dict.fromkeys(self.guards(node))
        if self.path(node) is not None:
            guards[f"{value} != null"] = None
        if isinstance(node, Template) or (isinstance(node, Call) and not guards):
            return value
        text = f"string({value})"
        return f'({" && ".join(guards)} ? {text} : "")' if guards else text

    def truth(self, node: Node) -> str:
        """Whether JavaScript takes an expression for true."""
        if isinstance(node, Operation) and node.operator in ("&&", "||"):
            left = self.truth(node.left or node.right)
            return f"({left} {node.operator} {self.truth(node.right)})"
        if isinstance(node, Operation) and node.operator == "!":
            return f"!{self.truth(node.right)}"
        if isinstance(node, Operation) and node.operator in _COMPARING:
            return self._operation(node)
        value = self.cel(node)
        if isinstance(node, Call) and isinstance(node.function, Member) and node.function.key in _TESTS:
            return self.guarded(value, node)
        return self.guarded(f'{value} != null && {value} != "" && {value} != 0 && {value} != false', node)

    def _operation(self, node: Operation) -> str:  # noqa: PLR0911  # one kind of operator each
        operator, left, right = node.operator, node.left, node.right
        if left is None:
            return f"!{self.truth(right)}" if operator == "!" else f"({operator}{self._number(right)})"
        if operator == "&&":
            return f"({self.truth(left)} ? {self.cel(right)} : {self.cel(left)})"
        if operator == "||":
            return f"({self.truth(left)} ? {self.cel(left)} : {self.cel(right)})"
        if operator in ("==", "!="):
            same = self.guarded(f"{self.cel(left)} == {self.cel(right)}", left, right)
            return same if operator == "==" else f"!{same}"
        if operator in _COMPARING:
            return self.guarded(f"{self._number(left)} {operator} {self._number(right)}", left, right)
        if operator == "+" and (_is_text(left) or _is_text(right)):
            return f"({self.as_text(left)} + {self.as_text(right)})"
        if operator == "%":
            return f"(int({self._number(left)}) % int({self._number(right)}))"
        return f"({self._number(left)} {operator} {self._number(right)})"

    def _number(self, node: Node) -> str:
        if isinstance(node, Literal) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return repr(float(node.value))
        return f"double({self.cel(node)})"

    def _call(self, node: Call) -> str:
        function = node.function
        if isinstance(function, Name) and function.name in _FUNCTIONS and len(node.arguments) == 1:
            return _FUNCTIONS[function.name].format(self.cel(node.arguments[0]))
        if isinstance(function, Member) and function.key in _MACROS and len(node.arguments) == 1:
            return self._macro(function, node.arguments[0])
        if isinstance(function, Member) and isinstance(function.key, str):
            arguments = [self.cel(argument) for argument in node.arguments]
            made = _METHODS.get((function.key, len(arguments)))
            if made is not None:
                return made.format(self.cel(function.of), *arguments)
        raise NotUnderstood(_shown(node))

    def _macro(self, function: Member, arrow: Node) -> str:
        """`list.map(x => …)` and the like."""
        if not isinstance(arrow, Arrow) or _WORD.fullmatch(arrow.name) is None or arrow.name in _RESERVED:
            raise NotUnderstood(f"`.{function.key}()`")
        of, before = self.cel(function.of), self.local
        self.local = (*before, arrow.name)
        try:
            body = self.cel(arrow.body) if function.key == "map" else self.truth(arrow.body)
        finally:
            self.local = before
        macro = _MACROS[str(function.key)]
        return f"{of}.{macro[0]}({arrow.name}, {body}){macro[1]}"


_MACROS = {
    "map": ("map", ""),
    "filter": ("filter", ""),
    "find": ("filter", "[0]"),
    "some": ("exists", ""),
    "every": ("all", ""),
}
"""Calls with a function, and what CEL has for them."""
_COMPARING = ("==", "!=", "<", ">", "<=", ">=")
_TESTS = ("includes", "startsWith", "endsWith", "isEmpty", "isNotEmpty")
_FUNCTIONS = {
    "String": "string({0})",
    "Number": "double({0})",
    "parseFloat": "double({0})",
    "parseInt": "int({0})",
}
_METHODS: dict[tuple[str, int], str] = {
    ("toLowerCase", 0): "{0}.lowerAscii()",
    ("toUpperCase", 0): "{0}.upperAscii()",
    ("trim", 0): "{0}.trim()",
    ("includes", 1): "(type({0}) == string ? string({0}).contains({1}) : {1} in {0})",
    ("startsWith", 1): "{0}.startsWith({1})",
    ("endsWith", 1): "{0}.endsWith({1})",
    ("split", 1): "{0}.split({1})",
    ("join", 1): "{0}.map(x, string(x)).join({1})",
    ("join", 0): '{0}.map(x, string(x)).join(",")',
    ("replaceAll", 2): "{0}.replace({1}, {2})",
    ("replace", 2): "{0}.replace({1}, {2}, 1)",
    ("toString", 0): "string({0})",
    ("toNumber", 0): "double({0})",
    ("first", 0): "{0}[0]",
    ("last", 0): "{0}[size({0}) - 1]",
    ("isEmpty", 0): "(size({0}) == 0)",
    ("isNotEmpty", 0): "(size({0}) > 0)",
}
"""What may be called on a value, with so many arguments."""


def braces(reference: str) -> str:
    """A value that is one reference."""
    return f"{{{{ {reference} }}}}"


def _cel_part(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _plain(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _plain(key: str) -> bool:
    return _WORD.fullmatch(key) is not None and key not in _RESERVED


def _guards(path: Path) -> Iterator[str]:
    so_far = path.root
    for key in path.keys:
        if isinstance(key, int):
            yield f"size({so_far}) > {key}"
        elif _plain(key):
            yield f"has({so_far}.{key})"
        else:
            yield f"{json.dumps(key, ensure_ascii=False)} in {so_far}"
        so_far += _cel_part(key)


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
        while text[end : end + 3] == "}}}":
            end += 1  # an object in braces ends here
        if start > at:
            yield True, text[at:start]
        yield False, text[start + 2 : end]
        at = end + 2
    if at < len(text):
        yield True, text[at:]


def escaped(text: str) -> str:
    """A text that holds no reference."""
    return text.replace("{{", "{{ '{{' }}") if "{{" in text else text


def _is_text(node: Node) -> bool:
    if isinstance(node, Operation) and node.operator == "+" and node.left is not None:
        return _is_text(node.left) or _is_text(node.right)
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


def _text_of(node: Node) -> str:
    if isinstance(node, Literal) and isinstance(node.value, str):
        return node.value
    raise NotUnderstood("a node whose name is computed")


def _shown(node: Node) -> str:
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

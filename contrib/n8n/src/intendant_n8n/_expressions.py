"""Translates expressions of n8n: into references where they are paths, into CEL where they compute.

A record is `item` in both. Values of other nodes are references; in CEL they are handed over under `values`.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from intendant_n8n._calls import COMPARING, TESTS, called
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
from intendant_n8n._moments import TIMES, value_of_moment
from intendant_n8n._words import braces, cel_part, escaped, is_plain, is_text, literal, pieces, shown, text_of

Keys = tuple[str | int, ...]
PAIRED = "[=]"
"""Stands at the end of a reference to the records of another node that belong to the items, one to each."""
Lookup = Callable[[str, bool], str]
"""The reference to the record of another node, such as `steps.fetch.output[0]`: its name, and whether the first
one is meant whatever the item. With `PAIRED` at the end, the one at the place of the item is meant. Raises
NotUnderstood where it cannot be told.
"""


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
    wrapped: set[str] = field(default_factory=set)
    """Those of them that are items of n8n: the record is in their `json`."""
    parameter: Callable[[str, Keys], Any] | None = None
    """A parameter of another node."""
    own: Callable[[], str] | None = None
    """The reference to the records that come in."""
    values: dict[str, Any] = field(default_factory=dict)
    """What CEL conditions use as `values.<name>`."""
    before: list[dict[str, Any]] = field(default_factory=list)
    """Operations that have to be done on the records before: they compute fields that expressions use."""

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
        if name in self.local:
            inner = keys[1:] if name in self.wrapped and keys[:1] == ["json"] else keys
            return None if name in self.wrapped and inner is keys else (name, inner)
        if name == "$json" or (name == "$input" and keys[:2] == ["item", "json"]):
            return self.item, keys if name == "$json" else keys[2:]
        if name == "$node" and len(keys) > 1 and keys[1] == "json":
            return self.lookup(str(keys[0]), False), keys[2:]
        if name.startswith("$") and name not in ("$input", *TIMES):
            return self.variable(name, tuple(keys)), []
        return None

    def _of_call(  # noqa: PLR0911  # one form each
        self, node: Call, keys: list[str | int]
    ) -> tuple[str, list[str | int]] | None:
        """`$('X').item.json`, `$('X').first().json`, `$input.first().json`, `$items('X')[0].json`."""
        function, arguments = node.function, node.arguments
        if function == Name("$item") and keys[:1] == ["$node"] and keys[2:3] == ["json"]:
            if arguments not in ((Literal(0),), (Literal("0"),)):
                raise NotUnderstood("`$item()`")
            return self.lookup(str(keys[1]), True), keys[3:]
        if isinstance(function, Name) and function.name in ("$", "$items") and len(arguments) == 1:
            name = text_of(arguments[0])
            if function.name == "$" and keys[:2] == ["item", "json"]:
                return self.lookup(name, False), keys[2:]
            if function.name == "$items" and keys[:2] == [0, "json"]:
                return self.lookup(name, True), keys[2:]
        if (
            isinstance(function, Member)
            and function.key == "all"
            and keys[1:2] == ["json"]
            and self.is_items(node)
        ):
            return (f"{self._records_of(node)}[{keys[0]}]", keys[2:]) if isinstance(keys[0], int) else None
        if isinstance(function, Member) and function.key == "first" and keys[:1] == ["json"]:
            if isinstance(function.of, Call) and function.of.function == Name("$"):
                return self.lookup(text_of(function.of.arguments[0]), True), keys[1:]
            if function.of == Name("$input"):
                return (self.item if self.own is None else f"{self.own()}[0]"), keys[1:]
        return None

    # --- lists of items ---

    def is_items(self, node: Node) -> bool:
        """True for `$input.all()`, `$('X').all()`, `items`, and some of these."""
        match node:
            case Name("items"):
                return "items" not in self.local and self.own is not None
            case Call(Member(Name("$input"), "all"), ()):
                return self.own is not None
            case Call(Member(Call(Name("$"), (_,)), "all"), ()):
                return True
            case Call(Member(of, "filter"), (Arrow(),)):
                return self.is_items(of)
        return False

    def items_of(self, node: Node) -> str:
        """The records of such a list, as CEL."""
        if isinstance(node, Call) and isinstance(node.function, Member) and node.function.key == "filter":
            return self.cel(node)
        return self.given(self._records_of(node))

    def _records_of(self, node: Node) -> str:
        match node:
            case Call(Member(Call(Name("$"), (name,)), "all"), ()):
                return self.lookup(text_of(name), True).removesuffix("[0]")
        if self.own is None:
            raise NotUnderstood("`.all()`")
        return self.own()

    def given(self, reference: str) -> str:
        """A value that is handed over to CEL."""
        return f"values.{self._value(Path(reference))}"

    def prepared(self, operation: str, cel: str) -> str:
        """A value that an operation has to make before, of one that is computed: as CEL.

        Raises:
            NotUnderstood: It is made of elements of a list.
        """
        if self.local or self.item != "item":
            raise NotUnderstood(f"{operation} of elements")
        name = f"prepared_{len(self.before) // 2 + 1}"
        self.before.append({"op": "set", "fields": {name: cel}, "on_error": "null"})
        options = {"compact": True} if operation == "to_json" else {}
        self.before.append({"op": operation, "field": name, **options})
        return f"item.{name}"

    @property
    def preparing(self) -> list[str]:
        """The fields that `before` computes."""
        return [name for one in self.before for name in one.get("fields", ())]

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

    def cel(self, node: Node) -> str:
        """An expression as CEL.

        Raises:
            NotUnderstood: It cannot be translated.
        """
        made = value_of_moment(self, node)
        if made is not None:
            return made
        path = self.path(node)
        if path is not None:
            return self.cel_path(path)
        fixed = self._parameter(node)
        if fixed is not None:
            return literal(fixed)
        return self._member(node) if isinstance(node, Member) else self._computed(node)

    def _parameter(self, node: Node) -> Any:
        """The value of `$('X').params.name`; None for any other expression."""
        keys: list[str | int] = []
        while isinstance(node, Member) and isinstance(node.key, str | int):
            keys.insert(0, node.key)
            node = node.of
        if keys[:1] != ["params"] or self.parameter is None:
            return None
        match node:
            case Call(Name("$"), (name,)):
                return self.parameter(text_of(name), tuple(keys[1:]))
        return None

    def _computed(self, node: Node) -> str:  # noqa: PLR0911  # one kind of node each
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
                return called(self, node)
            case Array():
                return f"[{', '.join(map(self.cel, node.elements))}]"
            case Object() if all(name is not None for name, _ in node.fields):
                return f"{{{', '.join(f'{literal(name)}: {self._there(value)}' for name, value in node.fields)}}}"
        raise NotUnderstood(shown(node))

    def _member(self, node: Member) -> str:
        match node:
            case Member(Call(Member(Name("Object"), "keys" | "values"), (of,)), "length"):
                return f"size({self.cel(of)})"  # CEL's maps have no order: of their keys only the number is known
            case Member(Call(Member(of, "keys" | "values"), ()), "length"):
                return f"size({self.cel(of)})"
            case Member(key="length"):
                return f"size({self.items_of(node.of) if self.is_items(node.of) else self.cel(node.of)})"
            case Member(of=Call(Member(of, "find"), (Arrow(),)), key="json") if self.is_items(of):
                return self.cel(node.of)
            case Member(key=str() | int() as key):
                return f"{self.cel(node.of)}{cel_part(key)}"
        return f"{self.cel(node.of)}[{self.cel(node.key)}]"  # type: ignore[arg-type]

    def _there(self, node: Node) -> str:
        """The value of a field; null where it is not there: undefined is no error in JavaScript."""
        value, guards = self.cel(node), list(dict.fromkeys(self.guards(node)))
        return f"({' && '.join(guards)} ? {value} : null)" if guards else value

    def cel_path(self, path: Path) -> str:
        """A path as CEL."""
        root, keys = path.root, path.keys
        if path.paired:
            root = f"values.{self._value(Path(root.removesuffix(PAIRED)))}[index]"
        elif root != "item" and root not in self.local:
            root, keys = f"values.{self._value(path)}", ()
        return root + "".join(cel_part(key) for key in keys)

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
            yield from _guards(path) if path.root == "item" or path.root in self.local else ()
            return
        match node:
            case Member():
                yield from self.guards(node.of)
            case Call():
                function = node.function
                yield from self.guards(function.of if isinstance(function, Member) else function)
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
        if isinstance(node, Operation) and node.operator in COMPARING:
            return self._operation(node)
        value = self.cel(node)
        if isinstance(node, Member) and node.key == "length":
            return self.guarded(f"{value} > 0", node)
        if isinstance(node, Call) and isinstance(node.function, Member) and node.function.key in TESTS:
            return self.guarded(value, node)
        return self.guarded(f'{value} != null && {value} != "" && {value} != 0 && {value} != false', node)

    def _operation(self, node: Operation) -> str:  # noqa: PLR0911  # one kind of operator each
        operator, left, right = node.operator, node.left, node.right
        if left is None:
            return f"!{self.truth(right)}" if operator == "!" else f"({operator}{self.number(right)})"
        if operator == "&&":
            return f"({self.truth(left)} ? {self.cel(right)} : {self.cel(left)})"
        if operator == "??":
            there = self.guarded(f"{self.cel(left)} != null", left)
            return f"({there} ? {self.cel(left)} : {self.cel(right)})"
        if operator == "||":
            return f"({self.truth(left)} ? {self.cel(left)} : {self.cel(right)})"
        if operator in ("==", "!="):
            same = self.guarded(f"{self.cel(left)} == {self.cel(right)}", left, right)
            return same if operator == "==" else f"!{same}"
        if operator in COMPARING:
            return self.guarded(f"{self.number(left)} {operator} {self.number(right)}", left, right)
        if operator == "+" and (is_text(left) or is_text(right)):
            return f"({self.as_text(left)} + {self.as_text(right)})"
        if operator == "%":
            return f"(int({self.number(left)}) % int({self.number(right)}))"
        return f"({self.number(left)} {operator} {self.number(right)})"

    def number(self, node: Node) -> str:
        """An expression as a CEL number."""
        if isinstance(node, Literal) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return repr(float(node.value))
        return f"double({self.cel(node)})"


def _guards(path: Path) -> Iterator[str]:
    so_far = path.root
    for key in path.keys:
        if isinstance(key, int):
            yield f"size({so_far}) > {key}"
        elif is_plain(key):
            yield f"has({so_far}.{key})"
        else:
            yield f"{json.dumps(key, ensure_ascii=False)} in {so_far}"
        so_far += cel_part(key)

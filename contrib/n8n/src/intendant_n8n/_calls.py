"""Calls in expressions, as CEL: functions, methods of values, functions of elements."""

from typing import TYPE_CHECKING

from intendant_n8n._javascript import Arrow, Call, Literal, Member, Name, Node, NotUnderstood
from intendant_n8n._patterns import called_on_pattern
from intendant_n8n._words import RESERVED, WORD, is_text, shown

if TYPE_CHECKING:
    from intendant_n8n._expressions import Scope

MACROS = {
    "map": ("map", ""),
    "filter": ("filter", ""),
    "find": ("filter", "[0]"),
    "some": ("exists", ""),
    "every": ("all", ""),
}
"""Calls with a function, and what CEL has for them."""
COMPARING = ("==", "!=", "<", ">", "<=", ">=")
TESTS = ("includes", "startsWith", "endsWith", "isEmpty", "isNotEmpty")
TO_JSON, PARSE_JSON = "to_json", "parse_json"
"""Operations on a field, which stand before the step that needs it."""
_FUNCTIONS = {
    "Number": "double({0})",
    "parseFloat": "double({0})",
    "parseInt": "int(double({0}))",
}
_OF_MATH = {
    ("round", 1): "math.floor({0} + 0.5)",  # halves up, as JavaScript has it
    ("floor", 1): "math.floor({0})",
    ("ceil", 1): "math.ceil({0})",
    ("abs", 1): "math.abs({0})",
    ("sqrt", 1): "math.sqrt({0})",
    ("min", 2): "math.least({0}, {1})",
    ("max", 2): "math.greatest({0}, {1})",
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
    ("indexOf", 1): "{0}.indexOf({1})",
    ("length", 0): "size({0})",
    ("compact", 0): '{0}.filter(x, x != null && x != "" && x != [] && x != {{}})',
}
"""What may be called on a value, with so many arguments."""
_CUTS = ("substring", "slice")


def called(scope: "Scope", node: Call) -> str:
    """A call as CEL.

    Raises:
        NotUnderstood: It cannot be translated.
    """
    if (made := called_on_pattern(node, scope.cel)) is not None:
        return made
    match node:
        case Call(Name(name), arguments):
            found = _function(scope, name, arguments)
        case Call(Member(Name("JSON"), "stringify"), (value, *_)) | Call(Member(value, "toJsonString"), ()):
            found = scope.prepared(TO_JSON, scope.cel(value))
        case Call(Member(Name("JSON"), "parse"), (value,)) | Call(Member(value, "parseJson"), ()):
            found = scope.prepared(PARSE_JSON, scope.cel(value))
        case Call(Member(Name("Math"), str() as key), arguments):
            template = _OF_MATH.get((key, len(arguments)))
            found = None if template is None else template.format(*map(scope.number, arguments))
        case Call(Member(Name("Array"), "isArray"), (value,)):
            found = scope.guarded(f"type({scope.cel(value)}) == list", value)
        case Call(Member(of, str() as key), (Arrow() as arrow,)) if key in MACROS:
            found = macro(scope, of, key, arrow)
        case Call(Member(of, str() as key), arguments) if key in _CUTS and arguments:
            found = _cut(scope, of, arguments, key)
        case Call(Member(of, str() as key), arguments):
            template = _METHODS.get((key, len(arguments)))
            found = None if template is None else template.format(scope.cel(of), *map(scope.cel, arguments))
        case _:
            found = None
    if found is None:
        raise NotUnderstood(shown(node))
    return found


def _function(scope: "Scope", name: str, arguments: tuple[Node, ...]) -> str | None:
    if name == "$ifEmpty" and len(arguments) == 2:  # noqa: PLR2004
        value = scope.cel(arguments[0])
        there = f'{value} != null && {value} != "" && {value} != [] && {value} != {{}}'
        return f"({scope.guarded(there, arguments[0])} ? {value} : {scope.cel(arguments[1])})"
    if len(arguments) != 1:
        return None
    if name == "String":
        return scope.as_text(arguments[0])
    if name == "Boolean":
        return scope.truth(arguments[0])
    template = _FUNCTIONS.get(name)
    return None if template is None else template.format(scope.cel(arguments[0]))


def _cut(scope: "Scope", of: Node, arguments: tuple[Node, ...], key: str) -> str | None:
    """A part of a text: an end beyond it is its end."""
    places = [one.value for one in arguments if isinstance(one, Literal) and isinstance(one.value, int)]
    if len(places) != len(arguments) or min(places) < 0 or (key == "slice" and not is_text(of)):
        return None  # of lists there is no such part, and a path may be either
    text, start, end = scope.cel(of), min(places), max(places)
    rest = f"{text}.substring(math.least({start}, size({text})))"
    # The library of CEL takes no end that is the text's own.
    return rest if len(places) == 1 else f"(size({text}) <= {end} ? {rest} : {text}.substring({start}, {end}))"


def macro(scope: "Scope", of: Node, key: str, arrow: Arrow) -> str:
    """`list.map(x => …)` and the like.

    Raises:
        NotUnderstood: It cannot be translated.
    """
    if WORD.fullmatch(arrow.name) is None or arrow.name in RESERVED:
        raise NotUnderstood(f"`.{key}()`")
    wrapped = scope.is_items(of)
    listed, before = scope.items_of(of) if wrapped else scope.cel(of), (scope.local, scope.wrapped)
    scope.local = (*scope.local, arrow.name)
    scope.wrapped = {*scope.wrapped, arrow.name} if wrapped else scope.wrapped - {arrow.name}
    try:
        body = scope.cel(arrow.body) if key == "map" else scope.truth(arrow.body)
    finally:
        scope.local, scope.wrapped = before
    name, after = MACROS[key]
    return f"{listed}.{name}({arrow.name}, {body}){after}"

"""What was mostly meant by an expression that is none: habits of other languages, in the words of CEL."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

_STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_HABITS = (
    (re.compile(r"\{\{"), "conditions are written without braces: steps.check.output.valid"),
    (re.compile("[\u201c\u201d\u201e\u2018\u2019]"), "text stands between straight quotes: 'open'"),
    (re.compile(r"={3}"), "`==` compares"),
    (re.compile(r"<>"), "`!=` is: not equal"),
    (re.compile(r"(?<![=!<>])=(?!=)"), "`==` compares"),
    (re.compile(r"\band\b", re.IGNORECASE), "write `&&` for and"),
    (re.compile(r"\bor\b", re.IGNORECASE), "write `||` for or"),
    (re.compile(r"\bnot\s+in\b", re.IGNORECASE), "write !(item.x in ['a', 'b'])"),
    (re.compile(r"\bnot\b", re.IGNORECASE), "write `!` for not"),
    (re.compile(r"\bis\b", re.IGNORECASE), "write `== null`, or has(item.x) for a field that is there"),
    (
        re.compile(r"\b(?:like|ilike)\b", re.IGNORECASE),
        "write item.x.contains('a') or item.x.matches('^a')",
    ),
    (re.compile(r"\b(?:if|then|else)\b"), "write condition ? one : other"),
    (re.compile(r"\bin\s*\([^)]*,"), "a list stands in brackets: item.x in ['a', 'b']"),
)
_WORDS = {
    "none": "null",
    "undefined": "null",
    "nil": "null",
    "true": "true",
    "false": "false",
    "len": "size(x)",
    "length": "size(x)",
    "count": "size(x)",
    "lower": "x.lowerAscii()",
    "tolowercase": "x.lowerAscii()",
    "upper": "x.upperAscii()",
    "touppercase": "x.upperAscii()",
    "strip": "x.trim()",
    "round": "math.round(x)",
    "abs": "math.abs(x)",
    "min": "math.least(a, b)",
    "max": "math.greatest(a, b)",
    "ceil": "math.ceil(x)",
    "floor": "math.floor(x)",
    "float": "double(x)",
    "number": "double(x)",
    "str": "string(x)",
    "includes": "x.contains('a')",
    "startswith": "x.startsWith('a')",
    "endswith": "x.endsWith('a')",
}
_ESCAPE = re.compile(r"token recognition error at: '['\"]")
"""What the library says of an escape in a text that CEL does not know."""
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
_CLOCK = frozenset(("now", "today", "date", "current_date"))
_OVERLOAD = re.compile(r"found no matching overload for '(\S+?)' applied to '\((.*)\)'")
_KINDS = {
    "int": "a whole number",
    "uint": "a whole number",
    "double": "a decimal",
    "string": "text",
    "bool": "true or false",
    "null_type": "null",
    "list": "a list",
    "map": "a map",
    "google.protobuf.Timestamp": "a time",
    "google.protobuf.Duration": "a duration",
}
_CHOICE = "? :"
_NUMBERS = {"a whole number", "a decimal"}


def plainly(message: str) -> str:
    """A message of the library without its grammar's own words."""
    found = _OVERLOAD.search(message)
    if found is not None:
        operator, kinds = _applied(found)
        if operator == _CHOICE:
            return f"the two results of `? :` are of different kinds: {' and '.join(kinds[1:])}"
        return f"`{operator}` does not apply to {' and '.join(kinds)}"
    text = re.sub(r" expecting (?:\{.*\}|<EOF>|\S+)$", "", message.removeprefix("Syntax error: "))
    text = re.sub(r"(?:mismatched|extraneous) input '<EOF>'", "something is missing at its end", text)
    text = re.sub(r"(?:mismatched|extraneous) input '(.*)'", r"'\1' is not expected", text)
    text = re.sub(r"at '<EOF>'", "at its end", text)
    return re.sub(r"token recognition error at: '(.*?)\s*'$", r"'\1' is not understood", text)


def _applied(found: re.Match[str]) -> tuple[str, list[str]]:
    """An operator, and the kinds of what it was applied to."""
    kinds = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", found[2]).split(", ")  # what lists and maps are made of
    return found[1].strip("_").replace("_", " "), [_KINDS.get(kind, "a value") for kind in kinds]


def _conversion(found: re.Match[str]) -> str:
    """How values of different kinds are put together; empty if that is not known."""
    operator, kinds = _applied(found)
    if operator == _CHOICE:
        return "write dyn(…) around one of them, such as: item.x == null ? dyn(null) : item.x > 5"
    if set(kinds) == _NUMBERS:
        return "write double(…) around the whole number"
    if operator == "+" and "text" in kinds:
        return "write string(…) around what is no text"
    return ""


def meant(source: str, message: str, names: Sequence[str]) -> str:
    """What to write instead; empty if that is not known.

    Args:
        source: The expression.
        message: What the library says of it.
        names: The names that it may use.
    """
    undeclared = _UNDECLARED.search(message)
    if undeclared is not None:
        return _name_meant(undeclared[1], names)
    overload = _OVERLOAD.search(message)
    if overload is not None and (hint := _conversion(overload)):
        return hint
    if "\\" in source and _ESCAPE.search(message):
        return r"a text with backslashes, such as a regular expression, is written r'\d+'"
    bare = _STRING.sub("''", source)
    return next((hint for habit, hint in _HABITS if habit.search(bare)), "")


def _name_meant(name: str, names: Sequence[str]) -> str:
    root = name.partition(".")[0]
    if (word := _WORDS.get(root.lower())) is not None:
        return f"write {word}"
    if root.lower() in _CLOCK:
        return "it knows no clock: give the time under `values`, such as {{ run.started }}"
    close = get_close_matches(root, names, n=1)
    known = f"did you mean '{close[0]}'? " if close else ""
    return f"{known}names are {', '.join(_shape(one) for one in names)}; text needs quotes"


def _shape(name: str) -> str:
    """A name as it is written."""
    return {"steps": "steps.<id>.output", "inputs": "inputs.<name>"}.get(name, name)

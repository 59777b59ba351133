"""Regular expressions of JavaScript, as those of Python that the functions `regex.…` take."""

import re
import warnings
from collections.abc import Callable

from intendant_n8n._javascript import Call, Literal, Member, Node, NotUnderstood, Pattern
from intendant_n8n._words import literal

_FLAGS = {"i": "i", "m": "m", "s": "s"}
_IGNORED = frozenset("gu")
_PART = re.compile(
    r"(?P<wide>\\u\{[0-9a-fA-F]{1,6}\})|(?P<slash>\\/)|(?P<property>\\[pP]\{)|(?P<escape>\\.)"
    r"|(?P<any>\[\^\])|(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<name>\(\?<(?![=!]))|(?P<end>\$)",
    re.DOTALL,
)
_PART_OF_SET = re.compile(r"\\u\{[0-9a-fA-F]{1,6}\}|\\[pP]\{|\\.|\[", re.DOTALL)
BETWEEN = "\x1f"
"""Stands for what separates the parts of a text, until it is split there: no text has it."""


def python_of(pattern: Pattern) -> str:
    """The expression, with its flags within.

    Raises:
        NotUnderstood: Python has nothing of the kind.
    """
    if unknown := set(pattern.flags) - set(_FLAGS) - _IGNORED:
        raise NotUnderstood(f"the flag {min(unknown)} of a regular expression")

    def part(found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind == "property":
            raise NotUnderstood("a property of letters in a regular expression")
        if kind == "set":
            return "[" + _PART_OF_SET.sub(_within_set, found[0][1:-1]) + "]"
        if kind == "end":
            return "$" if "m" in pattern.flags else r"\Z"
        return {"slash": "/", "any": r"[\s\S]", "name": "(?P<"}.get(kind or "", _wide(found[0]))

    flags = "".join(_FLAGS[flag] for flag in pattern.flags if flag in _FLAGS)
    made = (f"(?{flags})" if flags else "") + _PART.sub(part, pattern.source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(made)
    except (re.error, OverflowError, Warning):
        raise NotUnderstood(f"the regular expression /{pattern.source[:40]}/") from None
    return made


def _within_set(found: re.Match[str]) -> str:
    if found[0] in (r"\p{", r"\P{"):
        raise NotUnderstood("a property of letters in a regular expression")
    return r"\[" if found[0] == "[" else _wide(found[0])


def _wide(part: str) -> str:
    """A part without braces around a code point."""
    return f"\\U{int(part[3:-1], 16):08x}" if part.startswith(r"\u{") else part


def replacement_of(node: Node) -> str:
    r"""What matches are replaced by: `$1` is `\1`.

    Raises:
        NotUnderstood: It is computed, and may hold such signs.
    """
    if not isinstance(node, Literal) or not isinstance(node.value, str):
        raise NotUnderstood("a replacement that is computed")
    signs = {"$$": "$", "$&": r"\0"}

    def part(found: re.Match[str]) -> str:
        if found[0] == "\\":
            return r"\\"
        return signs.get(found[0]) or f"\\{found[1]}"

    return re.sub(r"\\|\$\$|\$&|\$(\d)", part, node.value)


def called_on_pattern(node: Call, cel: Callable[[Node], str]) -> str | None:
    """A call with a regular expression as CEL; None for any other. *cel* writes a node as CEL.

    Raises:
        NotUnderstood: It cannot be translated.
    """
    match node:
        case Call(Member(of, "replace" | "replaceAll"), (Pattern() as pattern, by)):
            count = "" if "g" in pattern.flags else ", 1"
            return f"regex.replace({cel(of)}, {literal(python_of(pattern))}, {literal(replacement_of(by))}{count})"
        case Call(Member(Pattern() as pattern, "test"), (of,)):
            return f"(regex.groups({cel(of)}, {literal(python_of(pattern))}) != null)"
        case Call(Member(of, "match"), (Pattern() as pattern,)) if "g" not in pattern.flags:
            return f"regex.groups({cel(of)}, {literal(python_of(pattern))})"
        case Call(Member(of, "match"), (Pattern() as pattern,)):
            made = f"regex.extractAll({cel(of)}, {literal(_ungrouped(pattern))})"
            return f"(size({made}) > 0 ? dyn({made}) : null)"
        case Call(Member(of, "split"), (Pattern() as pattern,)):
            mark = literal(BETWEEN)
            return f"regex.replace({cel(of)}, {literal(_ungrouped(pattern))}, {mark}).split({mark})"
    return None


def _ungrouped(pattern: Pattern) -> str:
    made = python_of(pattern)
    if re.compile(made).groups:
        raise NotUnderstood("groups of a regular expression, each of several matches")
    return made

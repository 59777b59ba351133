"""YAML and JSON text into plain values, remembering where each value stood.

YAML is read by the 1.2 core rules: only `true`/`false` are booleans (no `yes`, `on`, `NO` for Norway), dates
stay text, and a key given twice is an error. Nothing but maps, lists, text, numbers, booleans and null comes out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # there, and typed nowhere
from math import isfinite
from typing import Any

from intendant.model.errors import Problem, WorkflowError

Path = tuple[str | int, ...]
"""Where a value stands in a document: the keys and positions that lead to it."""

MAX_DEPTH = 60
MAX_VALUES = 500_000
"""A document that expands to more values than this (through aliases, say) is refused."""


NOT_TEXT = "this text has half a surrogate pair, which no encoding can write"


def is_text(value: str) -> bool:
    """False for text with a lone surrogate, which cannot be stored or sent."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document and the 1-based line and column of each of its values."""

    value: Any
    positions: dict[Path, tuple[int, int]]
    file: str = ""

    def position(self, path: Path) -> tuple[int | None, int | None]:
        """Where the value at *path* stands, or where its nearest known ancestor does."""
        for length in range(len(path), -1, -1):
            if (found := self.positions.get(path[:length])) is not None:
                return found
        return None, None

    def problem(self, message: str, path: Path = (), *, hint: str = "", step: str = "") -> Problem:
        """A `Problem` placed at *path*."""
        line, column = self.position(path)
        return Problem(message, hint=hint, file=self.file, line=line, column=column, step=step)


def parse(text: str, *, file: str = "", json_only: bool | None = None) -> Document:
    """Read YAML or JSON.

    Args:
        text: The document.
        file: Its name, for error messages.
        json_only: Read as JSON; by default decided by the ending of *file*.

    Raises:
        WorkflowError: The text is not well-formed; says where.
    """
    if json_only is None:
        json_only = file.endswith(".json")
    return _JsonReader(text, file).document() if json_only else _read_yaml(text, file)


def _fail(message: str, file: str, line: int, column: int, hint: str = "") -> WorkflowError:
    return WorkflowError([Problem(message, hint=hint, file=file, line=line, column=column)])


# --- JSON --------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None}


class _JsonReader:
    """`json.loads` tells no positions of values, so this small reader does; strings are read by the library."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.at = text, file, 0
        self.positions: dict[Path, tuple[int, int]] = {}
        self.newlines = [-1, *(match.start() for match in re.finditer("\n", text))]

    def document(self) -> Document:
        value = self.read((), 0)
        self.skip()
        if self.at < len(self.text):
            raise self.error("there is text after the end of the document")
        return Document(value, self.positions, self.file)

    def place(self, at: int) -> tuple[int, int]:
        from bisect import bisect_left

        line = bisect_left(self.newlines, at)
        return line, at - self.newlines[line - 1]

    def error(self, message: str, hint: str = "") -> WorkflowError:
        line, column = self.place(self.at)
        return _fail(message, self.file, line, column, hint)

    def skip(self) -> str:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches the empty string
        return self.text[self.at : self.at + 1]

    def read(self, path: Path, depth: int) -> Any:
        mark = self.skip()
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels")
        self.positions[path] = self.place(self.at)
        if mark == "{":
            return self.object(path, depth)
        if mark == "[":
            return self.array(path, depth)
        if mark == '"':
            return self.string()
        return self.scalar()

    def string(self) -> str:
        try:
            value, self.at = scanstring(self.text, self.at + 1)
        except JSONDecodeError as error:
            self.at = error.pos
            raise self.error(f"this is not a JSON string: {error.msg}") from None
        if not is_text(value):
            raise self.error(NOT_TEXT)
        return str(value)

    def scalar(self) -> Any:
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise self.error("a value was expected here", "JSON values are objects, arrays, strings, numbers")
        self.at = number.end()
        whole = number[1] is None and number[2] is None
        try:
            figure = int(number[0]) if whole else float(number[0])
        except ValueError:
            raise self.error("this number has too many digits") from None
        if not isfinite(figure):
            raise self.error("this number is too large")
        return figure

    def array(self, path: Path, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        if self.skip() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.read((*path, len(items)), depth + 1))
            if self.comma_or_end("]"):
                return items

    def object(self, path: Path, depth: int) -> dict[str, Any]:
        self.at += 1
        members: dict[str, Any] = {}
        if self.skip() == "}":
            self.at += 1
            return members
        while True:
            if self.skip() != '"':
                raise self.error("a key in double quotes was expected here")
            start = self.at
            key = self.string()
            if key in members:
                self.at = start
                raise self.error(f"the key '{key}' stands here a second time")
            if self.skip() != ":":
                raise self.error("':' was expected after the key")
            self.at += 1
            members[key] = self.read((*path, key), depth + 1)
            if self.comma_or_end("}"):
                return members

    def comma_or_end(self, end: str) -> bool:
        mark = self.skip()
        if mark not in (",", end):
            raise self.error(f"',' or '{end}' was expected here")
        self.at += 1
        return mark == end


# --- YAML --------------------------------------------------------------------------------------------------

_INT = re.compile(r"[-+]?[0-9]+$")
_HEX = re.compile(r"0x[0-9a-fA-F]+$|0o[0-7]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_MERGE = "tag:yaml.org,2002:merge"
_YAML_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


def _read_yaml(text: str, file: str) -> Document:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_depth(yaml.parse(text, Loader=loader), file)
        node = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = _yaml_hint(str(error.problem), text, line, column)
        raise _fail(f"this is not YAML: {error.problem or error.context}", file, line, column, hint) from None
    except yaml.YAMLError as error:
        raise _fail(f"this is not YAML: {str(error).splitlines()[0]}", file, 1, 1) from None
    if node is None:
        raise _fail("the file is empty", file, 1, 1, "start with `name:` and `steps:`")
    reader = _YamlReader(file)
    return Document(reader.read(node, (), 0), reader.positions, file)


_INDENTED = "look at the indentation: what belongs together begins in the same column"
_YAML_HINTS = {
    "mapping values": "a text with a colon and a blank in it needs quotes; else see how this line is indented",
    "end of stream": "a quotation mark or bracket is not closed",
    "expected ',' or": "a bracket is not closed, or a text with a colon, comma or bracket needs quotes",
    "expected key": "within '…' a single quotation mark is written twice; else see how this line is indented",
    "expected '-'": _INDENTED,
    "expected ':'": _INDENTED,
    "block end": _INDENTED,
    "escape": "write '…' in place of \"…\": a backslash is itself there",
    "alias": "a text that begins with * or & needs quotes",
    "alphabetic": "a text that begins with * or & needs quotes",
}
"""What is mostly meant, by the parser's words."""


def _yaml_hint(problem: str, text: str, line: int, column: int) -> str:
    """What is mostly meant where YAML cannot be read."""
    lines = text.splitlines()
    there = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    if there.startswith("\t") or "\\t" in problem:
        return "indent with spaces: tabs are not allowed there"
    if "cannot start any token" in problem:
        return f"a text that begins with {there[:1]} needs quotes"
    return next((hint for words, hint in _YAML_HINTS.items() if words in problem), "")


def _refuse_depth(events: Iterable[Any], file: str) -> None:
    """Refuses deep nesting before the composer, which recurses in C and would take the process down."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("MappingStartEvent", "SequenceStartEvent")
        depth -= kind in ("MappingEndEvent", "SequenceEndEvent")
        if depth > MAX_DEPTH:
            mark = event.start_mark
            raise _fail(f"nested deeper than {MAX_DEPTH} levels", file, mark.line + 1, mark.column + 1)


class _YamlReader:
    """Turns composed nodes into plain values, by the rules in this module's docstring."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.positions: dict[Path, tuple[int, int]] = {}
        self.count = 0

    def error(self, node: Any, message: str, hint: str = "") -> WorkflowError:
        mark = node.start_mark
        return _fail(message, self.file, mark.line + 1, mark.column + 1, hint)

    def read(self, node: Any, path: Path, depth: int) -> Any:
        self.count += 1
        if depth > MAX_DEPTH:
            # An alias that contains itself ends here too.
            raise self.error(node, f"nested deeper than {MAX_DEPTH} levels")
        if self.count > MAX_VALUES:
            raise self.error(node, f"the document expands to more than {MAX_VALUES} values")
        self.positions[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if node.id == "mapping":
            return self.mapping(node, path, depth)
        if node.id == "sequence":
            return [self.read(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: Any, path: Path, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged += self.merged(value_node)
                continue
            if key_node.id != "scalar":
                raise self.error(
                    key_node,
                    "a key must be text",
                    'a value that starts with {{ needs quotes: "{{ steps.fetch.output }}"',
                )
            key = str(key_node.value)
            if not is_text(key):
                raise self.error(key_node, NOT_TEXT)
            if key in members:
                raise self.error(key_node, f"the key '{key}' stands here a second time")
            members[key] = self.read(value_node, (*path, key), depth + 1)
        for other in merged:  # what stands here wins, then the first map that is merged
            given = self.read(other, path, depth + 1)
            members = {**given, **members}
        if merged:
            self.positions[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        return members

    def merged(self, node: Any) -> list[Any]:
        """The maps that a merge key `<<` names: one, or a list of them."""
        maps = node.value if node.id == "sequence" else [node]
        for item in maps:
            if item.id != "mapping":
                raise self.error(item, "`<<` merges maps only", "give it an alias of a map: <<: *common")
        return list(maps)

    def scalar(self, node: Any) -> Any:
        text = str(node.value)
        if not is_text(text):
            raise self.error(node, NOT_TEXT)
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            raise self.error(node, f"the tag {node.tag} is not supported", "write plain values")
        if node.style:  # a quoted scalar or a block is text whatever it looks like
            return text
        if text in _YAML_WORDS:
            return _YAML_WORDS[text]
        try:
            if _INT.match(text):
                return int(text)
            if _HEX.match(text):
                return int(text, 0)
        except ValueError:
            raise self.error(node, "this number has too many digits") from None
        if _FLOAT.match(text):
            return self.finite(node, float(text))
        return text

    def finite(self, node: Any, value: float) -> float:
        if not isfinite(value):
            raise self.error(node, "this number is too large")
        return value

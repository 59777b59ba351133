"""References: `{{ steps.fetch.output.rows[0].id }}`, `{{ inputs.folder }}`, `{{ run.id }}`.

A value that is one whole reference keeps its type; inside other text a reference is written as text (data as
JSON). Paths go by `.key`, `['any key']`, `[0]`, `[-1]` and `[*]` (each element of a list). Text in quotation marks
stands for itself, so that `{{ '{{' }}` writes two braces. `{{ default(steps.a.output, []) }}` is the second value
where the first is null or absent.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from intendant.model.errors import ReferenceFailed
from intendant.model.source import Path
from intendant.model.workflow import Json

ROOTS = ("steps", "inputs", "run", "secrets")
STEP_FIELDS = ("output", "status", "notes", "error", "approval")
EACH = "*"
_PART = re.compile(
    r"""\.(?P<key>[^\W\d][\w-]*)|\[\s*(?:(?P<index>-?\d{1,9})|(?P<each>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]"""
)
_DEFAULT = re.compile(
    r"""default\(\s*(?P<of>[A-Za-z_]\w*(?:\.[^\W\d][\w-]*|\[\s*(?:-?\d{1,9}|\*|'[^']*'|"[^"]*")\s*\])*)\s*,(?P<value>.*)\)\s*$""",
    re.DOTALL,
)
_ROOT = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)")\s*\}\}""")
_STOP = re.compile(r"""\}\}|\[\s*(?P<quote>['"])""")
LONGEST_KNOWN = 300
"""Characters of a text of which it is remembered what it refers to."""
SHOWN = 100
"""Characters of a reference that an error shows."""

Part = str | int | None
"""A key, an index, or None for each element."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference and where it stands."""

    text: str
    root: str
    parts: tuple[Part, ...]
    path: Path = ()
    """Where in the document its text stands."""
    otherwise: tuple[Json, ...] = ()
    """The value where it names nothing, if one was given."""

    @property
    def step(self) -> str | None:
        """The step it refers to."""
        return str(self.parts[0]) if self.root == "steps" and self.parts else None

    @property
    def input(self) -> str | None:
        """The input it refers to."""
        return str(self.parts[0]) if self.root == "inputs" and self.parts else None


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands between braces, and where in its text."""

    start: int
    end: int
    text: str
    literal: bool = False


def _scan(text: str) -> Iterator[_Found]:
    """All that stands between braces, in time linear in the text. Braces within quoted keys are part of these."""
    at = 0
    last = {quote: text.rfind(quote) for quote in "'\""}
    closing = text.rfind("}}")
    while 0 <= (start := text.find("{{", at)) < closing:
        literal = _LITERAL.match(text, start + 2)
        if literal is not None:
            at = literal.end()
            yield _Found(start, at, literal[1] if literal[1] is not None else literal[2], literal=True)
            continue
        end = _end_of(text, start + 2, last)
        if end < 0:
            return
        at = end + 2
        yield _Found(start, at, text[start + 2 : end].strip())


def _end_of(text: str, at: int, last: Mapping[str, int]) -> int:
    """Where the braces that close a reference are; below 0 if there are none."""
    while (stop := _STOP.search(text, at)) is not None:
        quote = stop["quote"]
        if quote is None:
            return stop.start()
        at = text.index(quote, stop.end()) + 1 if last[quote] >= stop.end() else stop.end()
    return -1


def read(text: str, path: Path = ()) -> Reference:
    """A reference from the text between its braces.

    Raises:
        ReferenceFailed: It is not a reference.
    """
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
    if (call := _DEFAULT.match(text)) is not None:
        return replace(read(call["of"], path), text=text, otherwise=(_literal(call["value"], shown),))
    root = _ROOT.match(text)
    if root is None:
        hint = "write {{ steps.<id>.output }}; {{ '{{' }} stands for two braces"
        raise ReferenceFailed(f"'{{{{ {shown} }}}}' is not a reference", hint=hint)
    parts: list[Part] = []
    at = root.end()
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ReferenceFailed(
                f"'{{{{ {shown} }}}}' is not a reference: '{text[at : at + SHOWN]}' is not understood",
                hint="paths go by .key, ['any key'], [0] and [*]; conditions belong under `when`",
            )
        at = part.end()
        match part.lastgroup:
            case "index":
                parts.append(int(part["index"]))
            case "each":
                parts.append(None)
            case group:
                parts.append(part[group or "key"])
    return Reference(text, root[0], tuple(parts), path)


def _literal(text: str, shown: str) -> Json:
    """The value that is written as the second argument of `default`."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ReferenceFailed(
            f"'{{{{ {shown} }}}}' is not a reference: '{text}' is no value",
            hint="write a value in JSON, such as [], {}, 0, null or 'text'",
        ) from None


def find(value: Json, path: Path = ()) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    """All references in a value, and for each text that is not one, its place and what is wrong."""
    if isinstance(value, str):
        yield from _find_in_text(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, (*path, index))


def _find_in_text(text: str, path: Path) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    opened = text.count("{{")
    for found in _scan(text):
        opened -= found.literal and found.text.count("{{")
        opened -= 1
        if found.literal:
            continue
        try:
            yield read(found.text, path)
        except ReferenceFailed as error:
            yield path, error
        else:
            opened -= found.text.count("{{")  # in a quoted key
    if opened > 0:
        hint = "write {{ steps.<id>.output }}; {{ '{{' }} stands for two braces"
        yield path, ReferenceFailed("'{{' is not closed", hint=hint)


def resolve(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with its references replaced by what they name in *scope*.

    Raises:
        ReferenceFailed: A reference names something that is not there; says what is.
    """
    if isinstance(value, str):
        return _resolve_text(value, scope)
    if isinstance(value, dict):
        return {key: resolve(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    return value


def _resolve_text(text: str, scope: Mapping[str, Json]) -> Json:
    if "{{" not in text:
        return text
    if len(text) <= LONGEST_KNOWN and (whole := _whole(text)) is not None:
        return look_up(whole, scope)
    pieces: list[str] = []
    at, first, last = 0, len(text) - len(text.lstrip()), len(text.rstrip())
    for found in _scan(text):
        value = found.text if found.literal else look_up(_read_once(found.text), scope)
        if (found.start, found.end) == (first, last):  # the whole value is one reference
            return value
        pieces += (text[at : found.start], _as_text(value))
        at = found.end
    return "".join((*pieces, text[at:]))


@lru_cache(maxsize=2048)
def _whole(text: str) -> Reference | None:
    """The reference that the whole text is; None if it is something else."""
    found = list(_scan(text))
    if len(found) != 1 or found[0].literal:
        return None
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    return read(found[0].text) if (found[0].start, found[0].end) == (first, last) else None


@lru_cache(maxsize=2048)
def _read_once(text: str) -> Reference:
    """`read`, remembered: the same references are resolved for each item of a list."""
    return read(text)


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


class Withheld(dict[str, Json]):
    """What a dry run has in place of a receipt. Fields that it lacks read as those of the delivery's parameters,
    else as null: what the other side would have answered is not known.
    """

    def field(self, name: str) -> Json:
        """A field as references read it."""
        if name in self:
            return self[name]
        given = self.get("with")
        return given.get(name) if isinstance(given, dict) else None


def with_withheld(value: Json) -> Json:
    """An output of a dry run, in which what stands for receipts is told from other data."""
    if isinstance(value, list):
        return [with_withheld(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("dry") is True and value.keys() == {"dry", "operation", "with", "input"}:
        return Withheld(value)
    return {key: with_withheld(item) for key, item in value.items()}


def holds_withheld(value: Json) -> bool:
    """True if something in it stands for a receipt."""
    if isinstance(value, dict):
        return isinstance(value, Withheld) or any(map(holds_withheld, value.values()))
    return isinstance(value, list) and any(map(holds_withheld, value))


def look_up(reference: Reference, scope: Mapping[str, Json]) -> Json:
    """What *reference* names. What lies under null is null."""
    parts = (reference.root, *reference.parts)
    if not reference.otherwise:
        return _descend(scope, parts, reference.text, "")
    try:
        value = _descend(scope, parts, reference.text, "")
    except ReferenceFailed:  # what is absent is what a default is for
        value = None
    return reference.otherwise[0] if value is None else value


def _descend(value: Json, parts: tuple[Part, ...], text: str, so_far: str) -> Json:
    for index, part in enumerate(parts):
        if value is None:
            return None
        if part is None:
            if not isinstance(value, list):
                raise _missing(text, f"{so_far} is not a list")
            return [_descend(item, parts[index + 1 :], text, f"{so_far}[*]") for item in value]
        value = _step_into(value, part, text, so_far)
        so_far = f"{so_far}[{part}]" if isinstance(part, int) else f"{so_far}.{part}".lstrip(".")
    return value


def _step_into(value: Json, part: str | int, text: str, so_far: str) -> Json:
    if isinstance(part, int):
        if not isinstance(value, list):
            raise _missing(text, f"{so_far} is not a list")
        if not -len(value) <= part < len(value):
            raise _missing(text, f"{so_far} has {len(value)} elements")
        return value[part]
    if not isinstance(value, Mapping):
        raise _missing(text, f"{so_far} has no fields")
    if isinstance(value, Withheld):
        return value.field(part)
    if part not in value:
        names = ", ".join(map(str, list(value)[:12])) or "nothing"
        raise _missing(text, f"{so_far or 'here'} has: {names}")
    return value[part]


def _missing(text: str, what: str) -> ReferenceFailed:
    return ReferenceFailed(f"{{{{ {text[:SHOWN]} }}}} names something that is not there", hint=what)

"""References: `{{ steps.fetch.output.rows[0].id }}`, `{{ inputs.folder }}`, `{{ run.id }}`.

A value that is one whole reference keeps its type; inside other text a reference is written as text (data as
JSON). Paths go by `.key`, `['any key']`, `[0]`, `[-1]` and `[*]` (each element of a list). Text in quotation marks
stands for itself, so that `{{ '{{' }}` writes two braces. `{{ default(steps.a.output, []) }}` is the second value
where the first is null or absent; that may be another reference.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from intendant.model.base import Json
from intendant.model.errors import ReferenceFailed
from intendant.model.source import Path

if TYPE_CHECKING:
    from intendant.model.workflow import Step

ROOTS = ("steps", "inputs", "run", "secrets")
STEP_FIELDS = ("output", "status", "notes", "error", "approval")
EACH = "*"
MOST_DEFAULTS = 20
"""Values of one reference that stand in for each other."""
_PART = re.compile(
    r"""\.(?P<key>[^\W\d][\w-]*)|\[\s*(?:(?P<index>-?\d{1,9})|(?P<each>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]"""
)
_DEFAULT = re.compile(
    r"""default\(\s*(?P<of>[A-Za-z_]\w*(?:\.[^\W\d][\w-]*|\[\s*(?:-?\d{1,9}|\*|'[^']*'|"[^"]*")\s*\])*)\s*,(?P<value>.*)\)\s*$""",
    re.DOTALL,
)
_REFERRING = re.compile(r"default\(|(?!(?:true|false|null)\b)[A-Za-z_]\w*\s*[.\[]")
_ROOT = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)")\s*\}\}""")
_STOP = re.compile(r"""\}\}|\[\s*(?P<quote>['"])""")
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
    instead: "tuple[Reference, ...]" = ()
    """The reference that is looked at where it names nothing, if one was given."""

    @property
    def step(self) -> str | None:
        """The step it refers to."""
        return str(self.parts[0]) if self.root == "steps" and self.parts else None

    @property
    def input(self) -> str | None:
        """The input it refers to."""
        return str(self.parts[0]) if self.root == "inputs" and self.parts else None


@dataclass(frozen=True, slots=True)
class Found:
    """What stands between braces, and where in its text."""

    start: int
    end: int
    text: str
    literal: bool = False


def scan(text: str) -> Iterator[Found]:
    """All that stands between braces, in time linear in the text. Braces within quoted keys are part of these."""
    at = 0
    last = {quote: text.rfind(quote) for quote in "'\""}
    closing = text.rfind("}}")
    while 0 <= (start := text.find("{{", at)) < closing:
        literal = _LITERAL.match(text, start + 2)
        if literal is not None:
            at = literal.end()
            yield Found(start, at, literal[1] if literal[1] is not None else literal[2], literal=True)
            continue
        end = _end_of(text, start + 2, last)
        if end < 0:
            return
        at = end + 2
        yield Found(start, at, text[start + 2 : end].strip())


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
        if text.count("default(") > MOST_DEFAULTS:
            raise ReferenceFailed(f"'{{{{ {shown} }}}}' has more than {MOST_DEFAULTS} defaults", hint="use a step")
        first, then = replace(read(call["of"], path), text=text), call["value"].strip()
        if _REFERRING.match(then):
            return replace(first, instead=(read(then, path),))
        return replace(first, otherwise=(_literal(then, shown),))
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
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ReferenceFailed(
            f"'{{{{ {shown} }}}}' is not a reference: '{text}' is no value",
            hint="write a value in JSON, such as [], {}, 0, null or 'text', or another reference",
        ) from None


def find(value: Json, path: Path = ()) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    """All references in a value, and for each text that is not one, its place and what is wrong."""
    if isinstance(value, str):
        yield from _find_in_text(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if "{{" in key:
                yield from _find_in_text(key, (*path, key))
            yield from find(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, (*path, index))


def _find_in_text(text: str, path: Path) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    opened = text.count("{{")
    for found in scan(text):
        opened -= found.literal and found.text.count("{{")
        opened -= 1
        if found.literal:
            continue
        try:
            yield from _chain(read(found.text, path))
        except ReferenceFailed as error:
            yield path, error
        else:
            opened -= found.text.count("{{")  # in a quoted key
    if opened > 0:
        hint = "write {{ steps.<id>.output }}; {{ '{{' }} stands for two braces"
        yield path, ReferenceFailed("'{{' is not closed", hint=hint)


def _chain(reference: Reference) -> Iterator[Reference]:
    """A reference and those that stand in for it."""
    yield reference
    for other in reference.instead:
        yield from _chain(other)


REFERRING = (
    ("with", "with_"),
    ("options", "options"),
    ("prompt", "prompt"),
    ("input", "input"),
    ("returns", "returns"),
    ("for_each", "for_each"),
    ("key", "key"),
)
"""The keys of a step that may hold references, as they are written and as the model calls them."""


def references_of(step: "Step") -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    """The references that a step itself makes; their paths begin at the step."""
    for name, field in REFERRING:
        value = getattr(step, field)
        if value:
            yield from find(value, (name,))
    for number, tool in enumerate(step.tools):
        yield from find(tool.with_, ("tools", number, "with"))
        if tool.approve is not None:
            yield from find(tool.approve.ask, ("tools", number, "approve", "ask"))
    if step.approve is not None:
        yield from find(step.approve.ask, ("approve", "ask"))
    if step.wait is not None:
        yield from find(step.wait.for_, ("wait", "for"))
        yield from find(step.wait.until, ("wait", "until"))
        yield from find(step.wait.event, ("wait", "event"))
    for name, branch in (step.branches or {}).items():
        yield from find(branch.returns, ("branches", name, "returns"))
    if step.loop is not None:
        yield from find(step.loop.state, ("loop", "state"))
        yield from find(step.loop.next, ("loop", "next"))
    if step.on_error is not None and step.on_error != "continue":
        yield from find(step.on_error.output, ("on_error", "output"))

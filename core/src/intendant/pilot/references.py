"""References: `{{ steps.fetch.output.rows[0].id }}`, `{{ inputs.folder }}`, `{{ run.id }}`.

A value that is one whole reference keeps its type; inside other text a reference is written as text (data as
JSON). Paths go by `.key`, `['any key']`, `[0]`, `[-1]` and `[*]` (each element of a list).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from intendant.model.errors import ReferenceFailed
from intendant.model.source import Path
from intendant.model.workflow import Json

ROOTS = ("steps", "inputs", "run")
STEP_FIELDS = ("output", "status", "notes")
EACH = "*"
_WHOLE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_PART = re.compile(
    r"""\.(?P<key>[A-Za-z_][\w-]*)|\[\s*(?:(?P<index>-?\d+)|(?P<each>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*\]"""
)
_ROOT = re.compile(r"[A-Za-z_]\w*")

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

    @property
    def step(self) -> str | None:
        """The step it refers to."""
        return str(self.parts[0]) if self.root == "steps" and self.parts else None

    @property
    def input(self) -> str | None:
        """The input it refers to."""
        return str(self.parts[0]) if self.root == "inputs" and self.parts else None


def read(text: str, path: Path = ()) -> Reference:
    """A reference from the text between its braces.

    Raises:
        ReferenceFailed: It is not a reference.
    """
    root = _ROOT.match(text)
    if root is None:
        raise ReferenceFailed(f"'{{{{ {text} }}}}' is not a reference", hint="write {{ steps.<id>.output }}")
    parts: list[Part] = []
    at = root.end()
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ReferenceFailed(
                f"'{{{{ {text} }}}}' is not a reference: '{text[at:]}' is not understood",
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


def find(value: Json, path: Path = ()) -> Iterator[Reference | tuple[Path, ReferenceFailed]]:
    """All references in a value, and for each text that is not one, its place and what is wrong."""
    if isinstance(value, str):
        for match in _WHOLE.finditer(value):
            try:
                yield read(match[1], path)
            except ReferenceFailed as error:
                yield path, error
        if value.count("{{") > len(_WHOLE.findall(value)):
            yield path, ReferenceFailed("'{{' is not closed", hint="write {{ steps.<id>.output }}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, (*path, index))


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
    whole = _WHOLE.fullmatch(text.strip())
    if whole is not None and "{{" not in whole[1] and "}}" not in whole[1]:
        return look_up(read(whole[1]), scope)
    return _WHOLE.sub(lambda match: _as_text(look_up(read(match[1]), scope)), text)


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def look_up(reference: Reference, scope: Mapping[str, Json]) -> Json:
    """What *reference* names. What lies under null is null."""
    return _descend(scope, (reference.root, *reference.parts), reference.text, "")


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
    if part not in value:
        names = ", ".join(map(str, list(value)[:12])) or "nothing"
        raise _missing(text, f"{so_far or 'here'} has: {names}")
    return value[part]


def _missing(text: str, what: str) -> ReferenceFailed:
    return ReferenceFailed(f"{{{{ {text} }}}} names something that is not there", hint=what)

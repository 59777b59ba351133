"""Templates: text in which `{field}` stands for a value of the input. Other braces are text."""

import json
import re
from collections.abc import Iterator, Sequence

from intendant.plugin import Json, StepError

_FIELD = re.compile(r"\{([A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*)\}")
_PART = re.compile(r"[\w-]+")
SHOWN = 5


class _MissingError(Exception):
    """A field is not there, or null."""


def fill(template: str, value: Json) -> str:
    """*template* filled from *value*: once for a record or a text, once for each of a list of records.

    The texts of a list are joined by line ends; an empty list gives an empty text. A text, figure or list of
    texts fills `{input}`.

    Raises:
        StepError: Fields are missing or null; names them all.
    """
    records = value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else None
    missing: list[str] = []
    texts = []
    for index, record in enumerate([value] if records is None else records):
        scope = record if isinstance(record, dict) else {"input": record}
        where = "" if records is None else f" (record {index})"
        texts.append(_filled(template, scope, missing, where))
    if missing:
        raise StepError(
            f"the template's fields are missing or null: {_named(missing)}", hint=f"there are: {_known(value)}"
        )
    return "\n".join(texts)


def _filled(template: str, scope: dict[str, Json], missing: list[str], where: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        try:
            return _shown(_look(scope, match[1]))
        except _MissingError:
            missing.append(f"{match[1]}{where}")
            return ""

    return _FIELD.sub(value_of, template)


def _look(scope: dict[str, Json], path: str) -> Json:
    if path in scope and scope[path] is not None:
        return scope[path]
    value: Json = scope
    for part in _PART.findall(path):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise _MissingError
    if value is None:
        raise _MissingError
    return value


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _named(missing: Sequence[str]) -> str:
    names = list(dict.fromkeys(missing))
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def _known(value: Json) -> str:
    return ", ".join(_keys(value)) or "none"


def _keys(value: Json) -> Iterator[str]:
    record = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
    yield from map(str, list(record)[:20]) if isinstance(record, dict) else ["input"]

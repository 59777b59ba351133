"""Templates: text in which `{field}` stands for a value of the input. Other braces are text."""

import json
import re
from collections.abc import Iterator, Sequence

from intendant.plugin import Json, StepError
from intendant.records import composed

_BRACES = re.compile(r"\{([^{}\r\n]{1,300})\}")
_NAME = re.compile(r"(?=[^{}]*[^\W\d_])[\w#][\w.()\[\]/%&#’'-]*(?: [\w.()\[\]/%&#’'-]+)*")  # noqa: RUF001
"""What looks like the name of a field: words with single blanks between them, and a letter among them."""
_INDEX = re.compile(r"\[(\d{1,9})\]")
SHOWN = 5
MAX_TEXT = 50_000_000
"""Characters of the texts of all records together."""


class _Missing:
    """What a path leads to where there is nothing, or null."""


def fill(template: str, value: Json) -> str:
    """*template* filled from *value*: once for a record or a text, once for each of a list of records.

    The texts of a list are joined by line ends; an empty list gives an empty text. A text, figure or list of
    texts fills `{input}`. What stands between braces is a field where a record has one of that name, or where it
    looks like a name. A value is put in as it is: braces in it stand for nothing.

    Raises:
        StepError: Fields are missing or null (names them all), or the text would be too long.
    """
    records = value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else None
    scopes = [item if isinstance(item, dict) else {"input": item} for item in (records or [value])]
    if records is not None and not records:
        return ""
    places = _places(template, scopes)
    missing: list[str] = []
    texts: list[str] = []
    size = 0
    for index, scope in enumerate(scopes):
        texts.append(_filled(template, places, scope, missing, "" if records is None else f" (record {index})"))
        size += len(texts[-1])
        if size > MAX_TEXT:
            raise StepError(f"the texts are longer than {MAX_TEXT} characters", hint="fill it for fewer records")
    if missing:
        raise StepError(
            f"the template's fields are missing or null: {_named(missing)}",
            hint=f"there are: {_known(value)}; braces are text where a blank follows them: {{ so }}",
        )
    return "\n".join(texts)


def _places(template: str, scopes: Sequence[dict[str, Json]]) -> frozenset[str]:
    """What of the template's braces stands for a field."""
    found = {match[1] for match in _BRACES.finditer(template)}
    return frozenset(
        name
        for name in found
        if _NAME.fullmatch(name) or any(_look(scope, name) is not _Missing for scope in scopes)
    )


def _filled(template: str, places: frozenset[str], scope: dict[str, Json], missing: list[str], where: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        if match[1] not in places:
            return match[0]
        found = _look(scope, match[1])
        if found is _Missing:
            missing.append(f"{match[1]}{where}")
            return ""
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _BRACES.sub(value_of, template)


def _look(scope: Json, path: str) -> Json | type[_Missing]:
    """What a path such as `customer.name` or `items[0].id` leads to; a key of that very name comes first."""
    found = _along(scope, path)
    return _along(scope, _INDEX.sub(r".\1", path)) if found is _Missing and "[" in path else found


def _along(value: Json, path: str) -> Json | type[_Missing]:
    found = _step(value, path)
    dot = path.rfind(".")
    while found is _Missing and dot > 0:
        inner = _step(value, path[:dot])
        found = _Missing if inner is _Missing else _along(inner, path[dot + 1 :])
        dot = path.rfind(".", 0, dot)
    return found


def _step(value: Json, name: str) -> Json | type[_Missing]:
    found: Json | type[_Missing] = None
    if isinstance(value, dict):
        found = value.get(name)
        if found is None and not name.isascii():
            wanted = composed(name)
            found = next((item for key, item in value.items() if composed(key) == wanted), None)
    elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        found = value[int(name)]
    return _Missing if found is None else found


def _named(missing: Sequence[str]) -> str:
    names = list(dict.fromkeys(missing))
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def _known(value: Json) -> str:
    return ", ".join(_keys(value)) or "none"


def _keys(value: Json) -> Iterator[str]:
    record = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
    yield from map(str, list(record)[:20]) if isinstance(record, dict) else ["input"]

"""JSON Schema, checked without reading files or the network: a `$ref` that leads outside the schema is refused.

A few references can double what a schema says again and again. A check that may take long for that runs in a
process of its own, within the settings `run.compute_seconds` and `run.compute_megabytes`.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from intendant.model.errors import StepError
from intendant.model.workflow import Json
from intendant.pilot import sandbox

SHOWN = 5
"""Faults that are named."""
LONGEST = 300
"""Characters of a fault's message."""
INLINE = 20_000_000
"""Rules times values, at most, up to which a value is checked in this process: a part of a second."""
NAMED = 100_000
"""The same, up to which several faults are looked for; beyond it the first one is named. The library collects all
of them before it gives any away, which takes long and much memory."""
MOST = 1 << 62
"""More than is ever counted."""
MAX_POWER = 64
"""Levels beyond which a value within itself is not counted any more."""


class Schema:
    """A JSON Schema.

    Args:
        schema: The schema, draft 2020-12 unless its `$schema` says otherwise.

    Raises:
        StepError: It is not a JSON Schema, or refers to something outside.
    """

    def __init__(self, schema: dict[str, Json]) -> None:
        try:
            self._text = json.dumps(schema, sort_keys=True)
        except (RecursionError, ValueError) as error:
            raise StepError(f"this is not a usable JSON Schema: {_reason(error)}") from None
        self._validator = _validator(self._text)
        self._rules = _rules(self._text)

    def accepts(self, value: Json) -> bool:
        """True if *value* matches.

        Raises:
            StepError: The check takes too long or too much memory, or the value cannot be checked.
        """
        if self._cost(value) > INLINE:
            return not _texts(sandbox.run(_APART, self._text, value, 1, INLINE))
        return bool(_checked(self._validator.is_valid, value))

    def errors(self, value: Json, limit: int = SHOWN) -> list[str]:
        """What is wrong with *value*, each with its place; at most *limit*, and only the first of a large one.

        Raises:
            StepError: As for `accepts`.
        """
        cost = self._cost(value)
        if cost > INLINE:
            return _texts(sandbox.run(_APART, self._text, value, limit, cost))
        return _faults(self._validator, value, limit, cost)

    async def errors_async(self, value: Json, limit: int = SHOWN) -> list[str]:
        """`errors` for code with an event loop, which goes on meanwhile."""
        cost = self._cost(value)
        if cost > INLINE:
            return _texts(await sandbox.run_async(_APART, self._text, value, limit, cost))
        return _faults(self._validator, value, limit, cost)

    def _cost(self, value: Json) -> int:
        """Steps that a check may take."""
        size, depth = _size_of(value)
        again = self._rules.again
        return min(MOST, self._rules.number * size * (again ** min(depth, MAX_POWER) if again > 1 else 1))


_APART = "intendant.pilot.schemas:faults_apart"


def faults_apart(text: str, value: Json, limit: int, cost: int) -> list[Json]:
    """`Schema.errors` of a schema that is given as JSON text."""
    try:
        return list(_faults(_validator(text), value, limit, cost))
    except StepError as error:
        return [{"message": error.message}]


def _texts(answer: Json) -> list[str]:
    for item in answer:
        if isinstance(item, dict):
            raise StepError(item["message"])
    return [str(item) for item in answer]


def _faults(validator: Any, value: Json, limit: int, cost: int) -> list[str]:
    def found() -> list[str]:
        import jsonschema_rs

        if validator.is_valid(value):  # remembers what it has seen, and is quicker than to look for faults
            return []
        if cost <= NAMED:
            errors = validator.iter_errors(value)
            return [_fault(error) for error, _ in zip(errors, range(limit), strict=False)]
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [_fault(error)][:limit]
        return []

    answer: list[str] = _checked(lambda _: found(), value)
    return answer


def _checked(check: Callable[[Json], Any], value: Json) -> Any:
    try:
        return check(value)
    except (ValueError, RecursionError) as error:
        raise StepError(f"the value cannot be checked: {_reason(error)}") from None


def _fault(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
    message = error.message if len(error.message) <= LONGEST else f"{error.message[:LONGEST]} …"
    return f"{place.lstrip('.') or 'value'}: {message}"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError) or "ecursion" in str(error):
        return "it is nested too deep"
    large = "int_max_str_digits" in str(error) or "large integer" in str(error)
    return "a number has too many digits" if large else str(error).partition("\n")[0]


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    import jsonschema_rs

    schema = json.loads(text)
    try:
        return jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = getattr(error, "message", None) or _reason(error)
        reason = reason.rpartition("ValueError: ")[2]  # what `_refuse` says, without how the library came there
        raise StepError(f"this is not a usable JSON Schema: {reason.splitlines()[0][:LONGEST]}") from None


def _refuse(uri: str) -> Any:
    raise ValueError(f"'{uri}' is outside the schema, and nothing outside is read")


# --- what a check may cost -----------------------------------------------------------------------------------


class Rules(NamedTuple):
    """How much a schema says of one value."""

    number: int
    """Rules, references followed and counted each time."""
    again: int
    """How often it begins again for what is within the value: 0 if it does not refer to itself."""


@lru_cache(maxsize=256)
def _rules(text: str) -> Rules:
    """How much the schema says; more than any bound where that is not known."""
    schema = json.loads(text)
    if any(f'"{key}"' in text for key in ("$dynamicRef", "$recursiveRef", "$anchor")) or text.count('"$id"') > 1:
        return Rules(MOST, 1)  # what these refer to depends on more than their text
    if text.count('"unevaluated') > 1:  # looks at the others' results once more, each
        return Rules(MOST, 1)
    try:
        return _Counter(schema).rules(schema)
    except RecursionError:
        return Rules(MOST, 1)


class _Counter:
    """Counts rules through references, each target once."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._known: dict[str, Rules] = {}
        self._open: set[str] = {"#"}

    def rules(self, node: Any) -> Rules:
        count, again = 1, 0
        for part in _parts(node):
            inner = self._referred(part[1]) if isinstance(part, tuple) else self.rules(part)
            count, again = min(MOST, count + inner.number), again + inner.again
        return Rules(count, again)

    def _referred(self, target: str) -> Rules:
        if target in self._open:
            return Rules(1, 1)
        if target not in self._known:
            self._open.add(target)
            found = _lookup(self._schema, target)
            self._known[target] = Rules(MOST, 1) if found is _Nothing else self.rules(found)
            self._open.discard(target)
        return self._known[target]


def _parts(node: Any) -> Iterator[Any]:
    """What a node holds; a reference as `("$ref", target)`."""
    if isinstance(node, dict):
        for key, item in node.items():
            yield (key, item) if key == "$ref" and isinstance(item, str) else item
    elif isinstance(node, list):
        yield from node


class _Nothing:
    """What a reference leads to that leads nowhere known."""


def _lookup(schema: Any, target: str) -> Any:
    if not target.startswith("#/"):
        return _Nothing
    from urllib.parse import unquote

    node = schema
    for part in unquote(target[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return _Nothing
    return node


def _size_of(value: Any) -> tuple[int, int]:
    """How many values a value holds, and how deep they are."""
    size, depth, level = 0, 0, [value]
    while level:
        depth += 1
        size += len(level)
        items = [
            item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        ]
        level = [part for item in items for part in item]
    return size, depth

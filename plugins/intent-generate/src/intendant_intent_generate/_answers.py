"""A model's answer as JSON that matches a schema."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from intendant.plugin import Json, ModelReply, Schema, why_no_json

TRIES = 30
"""Places in an answer where a JSON value is looked for."""
_OPENING = re.compile(r"[\[{]")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's value, or what is wrong with it."""

    value: Json
    problems: tuple[str, ...] = ()


def read(reply: ModelReply, schema: Schema) -> Answer:
    """The value in *reply* that matches *schema*, else the first value and its problems."""
    first: Answer | None = None
    for value in [reply.data] if reply.data is not None else _values(reply.text):
        problems = tuple(schema.errors(value))
        if not problems:
            return Answer(value)
        first = first or Answer(value, problems)
    if first is not None:
        return first
    cut = reply.stop_reason == "length"
    return Answer(None, ("the answer was cut before its end" if cut else why_no_json(reply.text),))


def _values(text: str) -> Iterator[Json]:
    """The JSON values in *text*: the whole, else each object or list that stands in it, in their order."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    try:
        yield decoder.decode(text.strip())
    except (ValueError, RecursionError):
        pass  # the whole is no JSON: what stands in it may be
    else:
        return
    at = 0
    for _ in range(TRIES):
        opening = _OPENING.search(text, at)
        if opening is None:
            return
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            at = opening.end()
        else:
            yield value


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")

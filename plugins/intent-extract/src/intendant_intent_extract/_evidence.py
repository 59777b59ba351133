"""Answers with evidence: of each value, the words of the input that show it, which have to stand there."""

from collections.abc import Iterator, Sequence
from typing import Any

from intendant.plugin import Json, StepRequest, StepResult, ask
from intendant.records import composed

ROLE = (
    "You extract data. Of each value that is not null, give as quote the shortest words of the data that show it, "
    "exactly as they stand there. Where the data does not say, the value is null, and there is no quote."
)
SHOWN = 20
"""Quotes that the notes show."""
LONGEST = 200


async def answered(request: StepRequest, schema: dict[str, Json]) -> StepResult:
    """Data of the step's `output` shape, and in the notes the quotes that it rests on.

    Raises:
        StepError: A value has no quote, or one that does not stand in the input, after it was asked for again too.
    """
    words = _plain("\n".join(_texts(request.input)))
    wanted: dict[str, Json] = {
        "type": "object",
        "properties": {
            "data": schema,
            "quotes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"field": {"type": "string"}, "quote": {"type": "string"}},
                    "required": ["field", "quote"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["data", "quotes"],
        "additionalProperties": False,
    }

    def check(value: Json) -> Sequence[str]:
        return list(_faults(value["data"], _quotes(value), words))

    told = "has one entry for each value of `data`; its `field` is its path, such as `total` or `items.0.name`."
    task = f"{request.prompt}\n`quotes` {told}"
    found = await ask(request, system=ROLE, task=task, schema=wanted, check=check)
    answer: Any = found.value
    shown = [f"{field}: “{quote[:LONGEST]}”" for field, quote in list(_quotes(answer).items())[:SHOWN]]
    return StepResult(output=answer["data"], notes=(*found.notes, *shown))


def _quotes(answer: Any) -> dict[str, str]:
    return {entry["field"]: entry["quote"] for entry in answer["quotes"]}


def _faults(data: Json, quotes: dict[str, str], words: str) -> Iterator[str]:
    for path in _leaves(data):
        quote = _plain(quotes.get(path, ""))
        if not quote:
            yield f"{path} has no quote"
        elif quote not in words:
            yield f"the quote of {path} does not stand in the data: '{quote[:LONGEST]}'"


def _leaves(value: Json, path: str = "") -> Iterator[str]:
    """The paths of values that are not null and not empty; a boolean is a judgement, and needs no words."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif value not in (None, "") and not isinstance(value, bool):
        yield path or "value"


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


def _plain(text: str) -> str:
    """One blank for every run of blanks, so that line breaks do not tell quotes apart."""
    return " ".join(composed(text).split())

"""What a request asks for, read from its words: how long, as bullets or not, about what."""

import re
from dataclasses import dataclass

from intendant.plugin import ModelRequest

_NUMBERS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
    )
}
_COUNT = rf"(\d{{1,5}}|{'|'.join(_NUMBERS)})"
_WISH = re.compile(
    rf"\b{_COUNT}\s+(?:[a-z]+\s+)?(sentences?|points?|bullets?|lines?|items?|words?)\b",
    re.IGNORECASE,
)
_BULLETS = re.compile(r"\bbullet|\bpoints?\b", re.IGNORECASE)
_DATA = re.compile(r"<(data(?:-[0-9a-f]{4,64})?)>")
"""Opens the data in a message; `</…>` of the same name closes it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted."""

    query: str
    """What the reader wants to know: the last message without the data in it."""
    units: int | None
    """Sentences or points; None if the request does not say."""
    words: int | None
    bullets: bool


def read(request: ModelRequest) -> Asked:
    """What *request* asks for. The system text counts first; the data is never read for wishes."""
    query, _ = _split(request.messages[-1].content)
    if isinstance(request.source, str) and request.source:
        query = query.replace(request.source, " ")
    wished = _wishes(query) | _wishes(request.system)
    return Asked(
        query=query.strip(),
        units=wished.get("units"),
        words=wished.get("words"),
        bullets=bool(_BULLETS.search(request.system) or _BULLETS.search(query)),
    )


def material(request: ModelRequest) -> object:
    """The data of *request*: its source, else what its last message marks as data, else that message."""
    if request.source is not None:
        return request.source
    prompt, data = _split(request.messages[-1].content)
    return prompt if data is None else data


def _split(message: str) -> tuple[str, str | None]:
    """What is asked, and the data between the marks `<data-…>` and `</data-…>`; None if there are none."""
    opening = _DATA.search(message)
    if opening is None:
        return message, None
    end = message.rfind(f"</{opening[1]}>")
    if end < opening.end():
        return message, None
    after = end + len(opening[1]) + 3
    return f"{message[: opening.start()]} {message[after:]}", message[opening.end() : end].strip()


def _wishes(text: str) -> dict[str, int]:
    wishes: dict[str, int] = {}
    for count, what in _WISH.findall(text):
        number = _NUMBERS.get(count.casefold()) or int(count)
        kind = "words" if what.casefold().startswith("word") else "units"
        if number > 0:
            wishes.setdefault(kind, number)
    return wishes

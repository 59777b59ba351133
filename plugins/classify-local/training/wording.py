"""How names are written: in tables, as types, as functions, as words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Row = dict[str, Any]
Step = dict[str, Any]
STYLES = ("snake", "title", "camel", "kebab", "pascal")


def lines(text: str) -> Iterator[tuple[str, list[str]]]:
    r"""What stands left of the bar, and the names right of it; an indented line continues the one above.

    >>> list(lines("a send | x y\n    z~1"))
    [('a send', ['x', 'y', 'z 1'])]
    """
    for line in re.sub(r"\n +", " ", text).strip().splitlines():
        head, _, names = line.partition("|")
        yield head.strip(), [name.replace("~", " ") for name in names.split()]


def row(platform: str, gold: str, weight: float, difficulty: str, step: Step, alt: str | None = None) -> Row:
    """A row of training."""
    return {
        "platform": platform,
        "gold": gold,
        "alt": alt,
        "difficulty": difficulty,
        "weight": weight,
        "step": step,
    }


def spaced(name: str) -> str:
    """The words of a camel-case name; `HTTPGet` is two.

    >>> spaced("HTTPGetItem")
    'HTTP Get Item'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)


def parted(name: str) -> str:
    """A name with spaces between its words, however it is written; a row of capitals is one word."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_|-", " ", name)


def snake(name: str) -> str:
    """A camel-case name in lower case, with underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def written(snake: str) -> dict[str, str]:
    """A name in all styles.

    >>> written("read_file")["camel"]
    'readFile'
    """
    words = snake.split("_")
    pascal = "".join(word.title() for word in words)
    camel = words[0] + "".join(word.title() for word in words[1:])
    return dict(zip(STYLES, (snake, " ".join(words).capitalize(), camel, "-".join(words), pascal), strict=True))


def filled(text: str, words: Mapping[str, str]) -> str:
    """A text with `<key>` replaced by what *words* has for it."""
    return re.sub(r"<(\w+)>", lambda found: words[found[1]], text)


def put(value: Any, words: Mapping[str, str]) -> Any:
    """A step, or a part of one, with its texts filled.

    >>> put({"type": "code", "params": {"code": ["<text>"]}}, {"text": "x"})
    {'type': 'code', 'params': {'code': ['x']}}
    """
    if isinstance(value, str):
        return filled(value, words)
    if isinstance(value, Mapping):
        return {key: put(inner, words) for key, inner in value.items()}
    return [put(inner, words) for inner in value] if isinstance(value, list) else value

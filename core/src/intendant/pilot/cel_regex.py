"""Functions of CEL that look into text by regular expressions, named as in CEL's own extension for C++.

They are Python's expressions, which know groups and look around. Some of them take for ever, so that whatever uses
these functions is evaluated in a process of its own.
"""

import re
from functools import lru_cache
from typing import Any

_WHOLE = re.compile(r"(?<!\\)((?:\\\\)*)\\0")
"""What stands for the match in a replacement; Python writes it in another way."""
USED = re.compile(r"\bregex\s*\.")
"""An expression that uses one of the functions."""


def replaced(text: str, pattern: str, replacement: str) -> str:
    r"""`regex.replace(text, pattern, replacement)`: all matches replaced; `\1` is the first group, `\0` all."""
    return some_replaced(text, pattern, replacement, 0)


def some_replaced(text: str, pattern: str, replacement: str, count: int) -> str:
    """`regex.replace(text, pattern, replacement, count)`: so many matches are replaced, from the first on."""
    return re.sub(pattern, _WHOLE.sub(r"\1\\g<0>", replacement), text, count=count)


def extracted(text: str, pattern: str) -> str | None:
    """`regex.extract(text, pattern)`: the first group of the first match, or all of it; null if there is none."""
    found = re.search(pattern, text)
    return None if found is None else _of(found)


def all_extracted(text: str, pattern: str) -> list[str]:
    """`regex.extractAll(text, pattern)`: the same of each match."""
    return [_of(found) for found in re.finditer(pattern, text)]


def grouped(text: str, pattern: str) -> list[str | None] | None:
    """`regex.groups(text, pattern)`: the first match, and each of its groups; null if there is none."""
    found = re.search(pattern, text)
    return None if found is None else [found[0], *found.groups()]


def _of(found: re.Match[str]) -> str:
    return (found[1] or "") if found.re.groups else found[0]


@lru_cache(maxsize=1)
def declared() -> list[Any]:
    """The declarations for an environment of CEL."""
    from cel_expr_python.cel import FunctionDecl, Overload, Type

    text, anything, number = Type.STRING, Type.DYN, Type.INT
    overloads: dict[str, list[tuple[Any, list[Any], Any]]] = {
        "regex.replace": [(replaced, [text] * 3, text), (some_replaced, [text] * 3 + [number], text)],
        "regex.extract": [(extracted, [text] * 2, anything)],
        "regex.extractAll": [(all_extracted, [text] * 2, Type.List(text))],
        "regex.groups": [(grouped, [text] * 2, anything)],
    }
    return [
        FunctionDecl(
            name,
            [
                Overload(id=f"{name}/{len(given)}", return_type=result, parameters=given, impl=work)
                for work, given, result in ways
            ],
        )
        for name, ways in overloads.items()
    ]

"""Time grows with the length of the text, whatever it holds: four times the text, about four times the time."""

from collections.abc import Callable
from time import process_time

import pytest

from intendant.plugin import CompressRequest
from intendant_compress_template import TemplateCompressor
from intendant_compress_template._context import referring

SIZE = 30_000
SLACK = 3.0
"""Quadratic time would be 16 times the time, linear 4."""


def repeated(unit: str) -> Callable[[int], str]:
    return lambda size: unit * (size // len(unit))


def lines(write: Callable[[int], str]) -> Callable[[int], str]:
    return lambda size: "\n".join(write(n) for n in range(size // len(write(1000))))


TEXTS: dict[str, Callable[[int], str]] = {
    "one word": repeated("x"),
    "one number": repeated("1"),
    "words": repeated("a1 "),
    "joined": repeated("a-"),
    "slashes": repeated("a/"),
    "colons": repeated("a::b"),
    "brackets": repeated("x[1] "),
    "open brackets": repeated("["),
    "commas": repeated("1,"),
    "blanks": repeated(" "),
    "tabs": repeated("\t"),
    "line ends": repeated("\n"),
    "short lines": repeated("a\n"),
    "quotes": repeated(">\n> "),
    "trees": repeated("│   └── a\n"),
    "braces": repeated("{}"),
    "marks": repeated("[lines 1-2 again]\n"),
    "surrogates": repeated("line \ud800 1\n"),
    "gaps": repeated("a  b  c\n"),
    "tags": repeated("<div>"),
    "columns": lines(lambda n: f"{n}   {'x' * (n % 17)}   {n % 7} end"),
    "cells": lines(lambda n: f"{n},{n % 3},abc,{n % 50}"),
    "paths": lines(lambda n: f"a/b{n // 3}/c{n}.py"),
    "shared values": lines(lambda n: f"job {n} from host-{n // 3}.example.org.some.long.name done"),
    "blocks": lines(lambda n: ("alpha beta gamma delta", "", "x", "")[n % 4]),
    "one letter": lines(lambda n: f"w{chr(97 + n % 26)}{chr(97 + n // 26 % 26)} and the same end here"),
}


def seconds(text: str, *, dense: bool) -> float:
    request = CompressRequest(text=text, tokens=len(text), target_tokens=0, count=len, dense=dense)
    begin = process_time()
    TemplateCompressor().compress(request)
    return process_time() - begin


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", TEXTS)
def test_time_is_linear_in_the_length_of_the_text(name: str) -> None:
    grows_linearly(name, SIZE, dense=False)


@pytest.mark.parametrize("name", ["one word", "words", "quotes", "cells", "columns"])
def test_time_of_dense_forms_is_linear_too(name: str) -> None:
    grows_linearly(name, SIZE // 3, dense=True)


def test_time_of_references_is_linear_in_the_number_of_lines() -> None:
    def spent(size: int) -> float:
        lines = ["one and the same line", "", "another one"] * size
        begin = process_time()
        short = referring(
            "\n".join(lines), [("before", "\n".join([*lines, "end"])), ("then", "\n".join(lines[1:]))]
        )
        assert short is not None
        return process_time() - begin

    assert min(spent(12_000) / (spent(3_000) + 0.02) for _ in range(2)) < 4 * SLACK


def grows_linearly(name: str, size: int, *, dense: bool) -> None:
    make = TEXTS[name]
    short, long = make(size), make(4 * size)
    # The least of a few runs: other work on this machine only ever adds to it.
    ratio = min(seconds(long, dense=dense) / (seconds(short, dense=dense) + 0.02) for _ in range(2))
    assert ratio < 4 * SLACK


@pytest.mark.parametrize("text", ["x" * 10_000_001, "a\n" * 400_001], ids=["characters", "lines"])
def test_what_is_too_large_is_refused(text: str) -> None:
    assert seconds(text, dense=False) < seconds("a 1\n" * 25_000, dense=False)
    request = CompressRequest(text=text, tokens=len(text), target_tokens=0, count=len)
    assert TemplateCompressor().compress(request) is None

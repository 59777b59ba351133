"""Time grows with the length of the text, whatever it holds: four times the text, about four times the time."""

import json
from collections.abc import Callable
from time import process_time

import pytest

from intendant.plugin import CompressRequest
from intendant_compress_structural import StructuralCompressor

SIZE = 40_000
SLACK = 3.0
"""Quadratic time would be 16 times the time, linear 4."""


def repeated(unit: str) -> Callable[[int], str]:
    return lambda size: unit * (size // len(unit))


TEXTS: dict[str, Callable[[int], str]] = {
    "one word": repeated("x"),
    "brackets": repeated("["),
    "braces": repeated('{"a":'),
    "begun lists": repeated("[1,\n"),
    "begun texts": repeated('["\n'),
    "blanks": repeated(" "),
    "bars": repeated("|a|b|\n"),
    "rules": repeated("|-|-|\n"),
    "pads": repeated("a  b  c\n"),
    "colours": repeated("\x1b["),
    "fences": repeated("```\n"),
    "divisions": repeated("<div>"),
    "divisions in lines": repeated("<div>\n"),
    "less": repeated("<"),
    "open tags": repeated("<p "),
    "open attributes": repeated("<p a=\"<p a='"),
    "scripts": repeated("<script>"),
    "comments": repeated("<!--"),
    "cells": repeated("<table><tr><td>"),
    "entities": repeated("&amp;"),
    "surrogates": repeated("line \ud800 1\n"),
    "blanks before a page": lambda size: " " * size + "<html>",
    "comments before a page": lambda size: "<!---->" * (size // 7) + "<html>",
    "a description": lambda size: f'<html><meta name="description" content="{" ." * (size // 2)}"><p>x',
    "figures": lambda size: f"[{'1,' * (size // 2)}1]",
    "large figures": lambda size: f"[{','.join(['9' * 3000] * (size // 3000))}]",
    "one huge figure": lambda size: f"[{'9' * size}]",
    "huge powers": lambda size: f"[{','.join(['1e400'] * (size // 6))}]",
    "records": lambda size: json.dumps([{"a": n, "b": f"x{n}"} for n in range(size // 26)]),
    "records of their own keys": lambda size: json.dumps([{f"k{n}": n} for n in range(size // 16)]),
    "records by key": lambda size: json.dumps({f"k{n}": {"a": n} for n in range(size // 20)}),
    "repeated records": lambda size: json.dumps(
        [{"id": n, "by": {"name": f"n{n % 50}", "text": "q" * 40}} for n in range(size // 80)]
    ),
    "lone surrogates": lambda size: json.dumps([{"a": "\ud800", "b": n} for n in range(size // 24)]),
}


def seconds(text: str, kind: str) -> float:
    request = CompressRequest(text=text, tokens=len(text), target_tokens=0, count=len, kind=kind, dense=True)
    begin = process_time()
    StructuralCompressor().compress(request)
    return process_time() - begin


@pytest.mark.sampled(6)
@pytest.mark.parametrize("kind", ["html", "prose"])
@pytest.mark.parametrize("name", TEXTS)
def test_time_is_linear_in_the_length_of_the_text(name: str, kind: str) -> None:
    make = TEXTS[name]
    short, long = make(SIZE), make(4 * SIZE)
    # The least of a few runs: other work on this machine only ever adds to it.
    ratio = min(seconds(long, kind) / (seconds(short, kind) + 0.02) for _ in range(2))
    assert ratio < 4 * SLACK


@pytest.mark.parametrize(
    "text", ["[" * 10_000_000, "<div>" * 2_000_000, "x" * 10_000_000], ids=["json", "html", "word"]
)
def test_ten_megabytes_are_refused(text: str) -> None:
    request = CompressRequest(text=text, tokens=len(text), target_tokens=0, count=len, kind="html")
    assert StructuralCompressor().compress(request) is None

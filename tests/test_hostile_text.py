"""Texts that were made to be slow, or that no one would write: compressing them ends, in linear time, and fits."""

import gc
import random
from collections.abc import Callable
from time import thread_time

import pytest

import intendant
from intendant.plugin import kind_of

_RANDOM = random.Random(1)
SHAPES: dict[str, Callable[[int], str]] = {
    "one word": lambda n: "x" * n,
    "words": lambda n: "word " * (n // 5),
    "brackets": lambda n: "[" * n,
    "tags": lambda n: "<html>" + "<div>" * (n // 5),
    "a comment that never ends": lambda n: "<!--" + "-" * n,
    "a figure": lambda n: "1" * n,
    "colons": lambda n: "a:" * (n // 2),
    "cells": lambda n: "a," * (n // 2) + "\n",
    "spaces": lambda n: " " * n + "x",
    "short lines": lambda n: "ab\n" * (n // 3),
    "half characters": lambda n: "\ud800 a" * (n // 3),
    "sentences": lambda n: "A. " * (n // 3),
    "names": lambda n: "Aa " * (n // 3),
    "calls": lambda n: "f(" * (n // 2),
    "ticks": lambda n: "`" * n,
    "mails": lambda n: "From: a\nTo: b\n" + "From: x\n\n" * (n // 9),
    "headings": lambda n: "# a\n" * (n // 4),
    "signatures": lambda n: "def f(x):\n   " * (n // 13),
    "paths": lambda n: "/a" * (n // 2),
    "speakers": lambda n: "A b c d: x " * (n // 11),
    "times": lambda n: "1:1:" * (n // 4),
    "records": lambda n: "[" + '{"a":1},' * (n // 8) + "1]",
    "deep records": lambda n: '{"a":' * (n // 6) + "1" + "}" * (n // 6),
    "fences": lambda n: "```\n" * (n // 4),
    "noise": lambda n: "".join(_RANDOM.choice('aA1 .,:;\n"[]{}<>=#-_/@`|é\0') for _ in range(n)),
}
QUERY = "What about x 1:1 of A b?"
SIZE, TIMES = 30_000, 4
GROWTH = 8
"""Twice what linear growth would be at four times the size; quadratic growth would be 16."""
NOISE = 0.05
"""Seconds of CPU that a machine may be busy with something else."""


def spent(text: str) -> float:
    """Seconds of CPU that making it small takes. What the garbage collector and other threads take is left out: it
    depends on what other tests have left in the process.
    """
    kind_of.cache_clear()
    gc.collect()
    gc.disable()
    try:
        started = thread_time()
        done = intendant.compress(text, tokens=200, query=QUERY)
        seconds = thread_time() - started
    finally:
        gc.enable()
    assert done.tokens_after <= 200
    assert done.text
    return seconds


@pytest.mark.sampled(2)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_ends_and_fits(shape: str) -> None:
    small, large = (spent(SHAPES[shape](size)) for size in (SIZE, SIZE * TIMES))
    assert large < GROWTH * (small + NOISE), "time grows faster than the text"


@pytest.mark.parametrize("figure", ["1e400", "-0.0", "1" * 5000, "0.1000000000000000055511151231257827", "NaN"])
def test_figures_that_no_float_holds_stay_as_written(figure: str) -> None:
    text = f"[{', '.join(f'{{{chr(34)}id{chr(34)}: {n}, {chr(34)}x{chr(34)}: {figure}}}' for n in range(20))}]"
    for done in (intendant.compress(text, lossless=True), intendant.compress(text, target=0.7)):
        assert done.strategy == "none" or figure in done.text

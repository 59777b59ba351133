from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intendant import Compression, CompressRequest, estimate_tokens
from intendant.testing import CompressorContract
from intendant_compress_template import TemplateCompressor, expand
from intendant_compress_template._fold import HEADS, fold
from intendant_compress_template._fold import expand as expand_lines
from intendant_compress_template._repeats import keep_once, put_back

HEAD = HEADS[" "]


class TestTemplateCompressor(CompressorContract):
    plugin = TemplateCompressor
    entry_point = "template"


def shrink(text: str, *, count: Callable[[str], int] = estimate_tokens, **more: Any) -> Compression | None:
    request = CompressRequest(text=text, tokens=count(text), target_tokens=1, count=count, **more)
    answer = TemplateCompressor().compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


LOG = [f"2026-01-02 03:04:{n:02d} INFO worker-{n % 3} finished job {1000 + n} in 12 ms" for n in range(50)]

LINES = st.lists(
    st.sampled_from(
        [
            "job 1 is done",
            "job 22 is done",
            "job x-3 is done",
            "",
            " ",
            " lead",
            "A 1 2",
            "A: {} x",
            "*3 x",
            "the same line",
            "curly {} 7 braces",
            "tab\there 5",
            "A",
            "B*2",
            "5",
            "12:30 at 10.0.0.1:80/x?y=9",
            "carriage 1\r",
            "数字 12 行",
            HEAD,
        ]
    )
    | st.text("aA1 *:{}\r\x85\u2028é", max_size=12),
    max_size=40,
)


@settings(max_examples=400)
@given(LINES)
def test_what_is_folded_is_expanded_to_the_very_same_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    folded = fold(text)
    if folded is not None:
        assert expand(folded) == text


@given(LINES)
def test_what_is_used_saves_a_tenth(lines: list[str]) -> None:
    text = "\n".join(lines)
    answer = shrink(text)
    if answer is not None:
        assert answer.lossless
        assert answer.tokens_after == estimate_tokens(answer.text) <= 0.9 * estimate_tokens(text)


def test_lines_of_one_shape_are_written_as_what_is_their_own() -> None:
    text = "\n".join(LOG)
    answer = shrink(text, kind="log")
    assert answer is not None
    assert answer.text.split("\n")[1:5] == [
        "A: 2026-01-02 {} INFO {} finished job {} in 12 ms",
        "",
        "A 03:04:00 worker-0 1000",
        "A 03:04:01 worker-1 1001",
    ]
    assert answer.saved > 0.4 * answer.tokens_before
    assert expand(answer.text) == text


def test_a_rare_line_stays_as_it_is_in_its_place() -> None:
    lines = [*LOG[:20], "2026-01-02 03:04:20 ERROR disk full on /dev/sda1", *LOG[21:]]
    answer = shrink("\n".join(lines), kind="log")
    assert answer is not None
    assert answer.text.split("\n").index(" 2026-01-02 03:04:20 ERROR disk full on /dev/sda1") == 23


def test_equal_lines_are_counted() -> None:
    text = "\n".join(["the pump was started again"] * 40 + ["stop"] + ["the pump was started again"] * 2)
    answer = shrink(text)
    assert answer is not None
    assert answer.text.split("\n")[1:] == ["A: the pump was started again", "", "A*40", " stop", "A*2"]


@pytest.mark.parametrize("kind", ["json", "code", "markdown", "html"])
def test_kinds_that_are_read_by_their_lay_out_are_left_alone(kind: str) -> None:
    assert shrink("\n".join(LOG), kind=kind) is None


def test_a_small_gain_is_not_worth_the_trouble() -> None:
    varied = [
        f"{word} job {n} was a rather long line of its own" for n, word in enumerate("abcdefghijklmnopqrstuvwx")
    ]
    text = "\n".join([*varied, *LOG[:3]])
    folded = fold(text)
    assert folded is not None
    assert shrink(text) is None
    eager = TemplateCompressor({"least_saved": -1.0})
    request = CompressRequest(text=text, tokens=estimate_tokens(text), target_tokens=1, count=estimate_tokens)
    answer = eager.shrink(request)
    assert answer is None or answer.tokens_after < answer.tokens_before, "never longer, whatever the setting"


def test_folded_text_is_not_folded_again() -> None:
    folded = fold("\n".join(LOG))
    assert folded is not None
    assert fold(folded) is None


def test_more_shapes_than_letters() -> None:
    words = [f"{one}{other}" for one in "abcdefgh" for other in "abcdefgh"]
    text = "\n".join(f"shape {word} number {n}" for word in words for n in range(3))
    folded = fold(text)
    assert folded is not None
    assert "\nAL: " in folded
    assert expand(folded) == text


@pytest.mark.parametrize(
    "text", ["hello", f"{HEAD}\nA: x {{}}\n\nB 1", f"{HEAD}\nA: x {{}}\n\nA 1 2", f"{HEAD}\nA: x"]
)
def test_the_expander_refuses_what_is_not_of_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="this"):
        expand(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 3_000_000,
        "1" * 3_000_000,
        "a1 " * 500_000,
        "\n" * 500_000,
        "a-" * 1_000_000,
        "line \ud800 1\n" * 5000,
    ],
    ids=["one word", "one number", "one line", "empty lines", "joined", "lone surrogates"],
)
def test_hostile_text_is_survived(text: str) -> None:
    answer = shrink(text)
    assert answer is None or expand(answer.text) == text

from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens
from intendant_compress_template import TemplateCompressor, expand
from intendant_compress_template._context import referred, referring
from intendant_compress_template._dense import HEAD, SIGNS, condensed, spelled_out

ADDRESS = "https://api.example.org/repos/intendant/intendant/issues"
TEXT = "\n".join(f"{n},{ADDRESS}/{n},is waiting for an answer of {'abc'[n % 3]}" for n in range(1, 30))


class WithContext(CompressRequest):
    """A request that knows what stands in the prompt already."""

    context: tuple[tuple[str, str], ...] = ()


def shrink(text: str, **more: Any) -> Compression | None:
    tokens = estimate_tokens(text)
    answer = TemplateCompressor().compress(
        WithContext(text=text, tokens=tokens, target_tokens=1, count=estimate_tokens, **more)
    )
    assert answer is None or isinstance(answer, Compression)
    return answer


def test_phrases_are_said_by_signs() -> None:
    short = condensed(TEXT)
    assert short is not None
    legend, _, body = short.partition("\n\n")
    assert legend.split("\n")[0] == HEAD
    assert any("api.example.org/repos/intendant" in line[2:] and line[1] == "=" for line in legend.split("\n"))
    assert "example.org/repos" not in body
    assert len(body) < len(TEXT) / 2
    assert spelled_out(short) == TEXT


@given(
    st.lists(
        st.sampled_from([ADDRESS, " and ", "a", "=", "的", "\n", "a long phrase of some words", "x_y"]),
        max_size=60,
    )
)
def test_signs_are_spelled_out_to_the_very_same_text(parts: list[str]) -> None:
    text = "".join(parts)
    short = condensed(text)
    if short is not None:
        assert spelled_out(short) == text


def test_signs_are_used_only_for_who_asks_for_them() -> None:
    usual, dense = shrink(TEXT), shrink(TEXT, dense=True)
    assert dense is not None
    assert dense.text.startswith(HEAD)
    assert dense.lossless
    assert expand(dense.text) == TEXT
    assert usual is None or not set(usual.text) & set(SIGNS)
    assert usual is None or usual.tokens_after > dense.tokens_after


def test_phrases_end_with_their_lines() -> None:
    text = "\n".join(["the pump in the hall", "was opened by the keeper"] * 9 + ["end"])
    short = condensed(text)
    assert short is not None
    assert spelled_out(short) == text


def test_text_with_all_the_signs_is_left_alone() -> None:
    assert condensed(f"{SIGNS}\n{TEXT}") is None


@pytest.mark.parametrize("text", ["的=x", HEAD, f"{HEAD}\nab=x\n\ny", f"{HEAD}\n=x\n\ny"])
def test_what_is_no_text_with_signs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sign"):
        spelled_out(text)


BLOCK = [
    "def open_valve(hall: int) -> None:",
    "    # only the keeper may",
    "    valves[hall].open()",
    "",
    "    return None",
]
CONTEXT = (("read-file", "\n".join(["import valves", *BLOCK, "end"])), ("other", "x\ny\nz"))


def test_blocks_that_stand_in_the_prompt_are_said_by_where() -> None:
    text = "\n".join(["The file is:", *BLOCK, "Change it."])
    short = referring(text, CONTEXT)
    assert short == "The file is:\n[same as read-file lines 2-6]\nChange it."
    assert referred(short, CONTEXT) == text


@pytest.mark.parametrize("kind", ["code", "text", "log"])
def test_references_keep_the_content_and_are_not_called_lossless(kind: str) -> None:
    """The text alone does not give the original back."""
    text = "\n".join(["The file is:", *BLOCK * 2, "Change it."])
    answer = shrink(text, kind=kind, context=CONTEXT)
    assert answer is not None
    assert (answer.lossless, answer.preserving, answer.dropped) == (
        False,
        True,
        ("what stands in the prompt already",),
    )
    assert answer.text.count("[same as read-file lines 2-6]") == 2
    assert expand(answer.text, CONTEXT) == text


def test_what_is_not_in_the_prompt_is_written() -> None:
    assert referring("\n".join(BLOCK), (("other", "x"),)) is None
    long = "\n".join(f"a line of some length that stands in the prompt already {n}" for n in range(2))
    assert referring(long, (("long", long),)) is None, "two lines are not worth it"
    assert referring("a\nb\nc\nd", (("short", "a\nb\nc\nd"),)) is None, "neither are a few letters"
    assert referring("\n".join(BLOCK), (("two\nlines", "\n".join(BLOCK)),)) is None


def test_text_with_such_a_line_is_left_alone() -> None:
    assert referring("\n".join(["[same as read-file lines 1-2]", *BLOCK]), CONTEXT) is None
    with pytest.raises(ValueError, match="not there"):
        referred("[same as read-file lines 1-99]", CONTEXT)
    with pytest.raises(ValueError, match="not there"):
        referred("[same as nobody lines 1-2]", CONTEXT)


LINES = st.lists(
    st.sampled_from([*BLOCK, "another line that is of some length, and stands here", "", " "]), max_size=30
)


@given(LINES, LINES, LINES)
def test_references_are_resolved_to_the_very_same_text(one: list[str], two: list[str], text: list[str]) -> None:
    context = (("one step", "\n".join(one)), ("b", "\n".join(two)))
    whole = "\n".join(text)
    short = referring(whole, context)
    if short is not None:
        assert len(short) < len(whole)
        assert referred(short, context) == whole

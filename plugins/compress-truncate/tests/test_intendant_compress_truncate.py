import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens
from intendant.testing import CompressorContract
from intendant_compress_truncate import TruncateCompressor


class TestTruncateCompressor(CompressorContract):
    plugin = TruncateCompressor
    entry_point = "truncate"


def shrink(text: str, target: int, *, made: TruncateCompressor | None = None, **more: Any) -> Compression | None:
    request = CompressRequest(
        text=text, tokens=estimate_tokens(text), target_tokens=target, count=estimate_tokens, **more
    )
    answer = (made or TruncateCompressor()).compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


LOG = [f"2026-01-02 03:04:{n:02d} INFO worker-{n % 3} finished job {n}" for n in range(60)]
RECORDS = [{"id": n, "state": "open", "owner": f"user{n % 9}"} for n in range(50)]


def test_keeps_the_beginning_and_the_end_and_says_how_much_is_missing() -> None:
    answer = shrink("\n".join(LOG), 200, kind="log")
    assert answer is not None
    lines = answer.text.split("\n")
    gap = lines.index("…")
    head, tail = lines[:gap], lines[gap + 1 : -1]
    assert head == LOG[: len(head)]
    assert tail == LOG[-len(tail) :]
    assert len(head) > len(tail) > 0
    missing = 60 - len(head) - len(tail)
    assert lines[-1] == f"[{missing} of 60 lines left out]"
    assert answer.dropped == (f"{missing} of 60 lines",)
    assert not answer.lossless


def test_can_keep_the_beginning_alone() -> None:
    answer = shrink("\n".join(LOG), 200, made=TruncateCompressor({"keep": "head"}), kind="log")
    assert answer is not None
    *kept, gap, mark = answer.text.split("\n")
    assert kept == LOG[: len(kept)]
    assert (gap, mark) == ("…", f"[{60 - len(kept)} of 60 lines left out]")


def test_sentences_are_not_cut() -> None:
    answer = shrink("One sentence stands here, and it is not short. " * 30, 60, kind="prose")
    assert answer is not None
    body, _, mark = answer.text.rpartition("\n[")
    assert {piece.strip(" .") for piece in body.split("…")} <= {
        ". ".join(["One sentence stands here, and it is not short"] * times) for times in range(1, 30)
    }
    assert mark.endswith(" of 30 sentences left out]")


def test_lists_lose_their_last_items_and_are_closed() -> None:
    answer = shrink(json.dumps(RECORDS), 120, kind="json")
    assert answer is not None
    kept = json.loads(answer.text)
    assert kept == RECORDS[: len(kept)]
    assert len(kept) > 3
    assert answer.dropped == (f"{50 - len(kept)} list items",)


def test_records_keep_their_small_fields_whole() -> None:
    page = {"rows": RECORDS, "next": None, "total": 50}
    answer = shrink(json.dumps(page), 120, kind="json")
    assert answer is not None
    found = json.loads(answer.text)
    assert list(found) == ["rows", "next", "total"]
    assert (found["next"], found["total"]) == (None, 50)
    assert found["rows"] == RECORDS[: len(found["rows"])]


def test_fields_that_are_left_out_are_counted() -> None:
    answer = shrink(json.dumps({f"field{n}": n for n in range(60)}), 60, kind="json")
    assert answer is not None
    kept = json.loads(answer.text)
    assert answer.dropped == (f"{60 - len(kept)} fields",)


def test_long_texts_in_records_are_cut_between_words() -> None:
    answer = shrink(json.dumps({"id": 7, "body": "many words stand here " * 100}), 40, kind="json")
    assert answer is not None
    found = json.loads(answer.text)
    assert found["id"] == 7
    assert found["body"].split()[-1] in {"many", "words", "stand", "here"}
    assert answer.dropped == ("1 parts of texts",)


def test_a_header_is_kept() -> None:
    answer = shrink("60 rows\nid,name\n" + "\n".join(f"{n},user{n}" for n in range(60)), 80)
    assert answer is not None
    assert answer.text.startswith("60 rows\nid,name\n0,user0\n")
    assert "\n59,user59\n" in answer.text
    assert answer.text.endswith(" rows left out]")


def test_what_has_no_ends_is_cut_between_words_and_says_so() -> None:
    text = "word " * 5000
    answer = shrink(text, 50)
    assert answer is not None
    assert answer.text.split()[-1] == "word"
    assert answer.dropped == (f"all but the first {len(answer.text)} of {len(text)} characters",)
    assert answer.tokens_after > 40


def test_one_long_word_is_cut_anywhere() -> None:
    answer = shrink("x" * 10_000, 50)
    assert answer is not None
    assert 40 <= answer.tokens_after <= 50


def test_declines_what_fits_and_what_it_can_keep_nothing_of() -> None:
    assert shrink("short", 100) is None
    assert shrink("\n".join(LOG), 0) is None


def test_figures_that_a_float_cannot_hold_are_not_rewritten() -> None:
    text = "[" + ",".join(["0.1000000000000000000001"] * 50) + "]"
    answer = shrink(text, 30, kind="json")
    assert answer is not None
    assert "0.1," not in answer.text


def test_what_must_not_go_comes_first() -> None:
    """The question's words, errors, headings and one line of each shape, then the beginning and the end."""
    lines = [
        *LOG[:20],
        "disk 7 is hot",
        *LOG[20:40],
        "2026-01-02 ERROR disk full",
        *LOG[40:50],
        "by Ada",
        *LOG[50:],
    ]
    answer = shrink("\n".join(lines), 140, kind="log", query="What did Hopper do about hot disks?")
    assert answer is not None
    kept = answer.text.split("\n")
    assert {"disk 7 is hot", "2026-01-02 ERROR disk full", "by Ada", LOG[0]} <= set(kept)
    assert [line for line in lines if line in kept] == [line for line in kept if line != "…"][:-1]


def test_fences_are_closed() -> None:
    code = "".join(f"    call({n})\n" for n in range(60))
    text = f"# Setup\n\nRun this.\n\n```python\n{code}```\n\n# Use\n\nThen that.\n"
    answer = shrink(text, 110, kind="markdown")
    assert answer is not None
    assert "call(" in answer.text
    assert answer.text.count("```") == 2
    assert "# Setup\n" in answer.text
    assert "# Use\n" in answer.text


def test_a_list_keeps_an_item_of_each_shape() -> None:
    items = [*RECORDS, {"error": "no disk", "code": 7}]
    answer = shrink(json.dumps(items), 100, kind="json")
    assert answer is not None
    assert items[-1] in json.loads(answer.text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=40,
)


@given(st.lists(JSON, min_size=1) | st.dictionaries(st.text(max_size=6), JSON, min_size=1), st.integers(1, 150))
def test_json_stays_json_and_fits(value: Any, target: int) -> None:
    answer = shrink(json.dumps(value), target, kind="json")
    if answer is not None:
        assert type(json.loads(answer.text)) is type(value)
        assert answer.tokens_after == estimate_tokens(answer.text) <= target


@given(
    st.lists(
        st.sampled_from([*LOG[:3], "", "One. Two! Three? ", "数据。处理。", "x" * 700, "12 rows", "a,b"]),
        max_size=30,
    ),
    st.sampled_from(["\n", " "]),
    st.integers(1, 200),
    st.sampled_from(["prose", "log", "text", "table", "code"]),
)
def test_text_fits_and_keeps_what_stood_there_in_its_order(
    units: list[str], joint: str, target: int, kind: str
) -> None:
    text = joint.join(units)
    answer = shrink(text, target, kind=kind)
    if answer is not None:
        assert answer.tokens_after == estimate_tokens(answer.text) <= target
        rest = text
        for piece in answer.text.rpartition("[")[0].split("…"):
            at = rest.find(piece.strip())
            assert at >= 0
            rest = rest[at + len(piece.strip()) :]
        assert answer.dropped


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 500_000,
        "word " * 150_000,
        "[" * 500_000,
        "[" * 900 + "1" * 5000 + "]" * 900,
        "ab\n" * 80_000,
        json.dumps([{"a": "\ud800"}] * 9000),
    ],
    ids=["one word", "one line", "brackets", "deep", "short lines", "lone surrogates"],
)
def test_hostile_content_is_cut_to_size(text: str) -> None:
    answer = shrink(text, 200)
    assert answer is None or answer.tokens_after <= 200
    if text[0] != "[":
        assert answer is not None

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intendant import Compression, CompressRequest, estimate_tokens
from intendant.testing import CompressorContract
from intendant_compress_structural import StructuralCompressor, decode
from intendant_compress_structural._grids import ungridded
from intendant_compress_structural._html import to_markdown
from intendant_compress_structural._table import encodings


class TestStructuralCompressor(CompressorContract):
    plugin = StructuralCompressor
    entry_point = "structural"


def shrink(text: str, *, count: Callable[[str], int] = estimate_tokens, **more: Any) -> Compression | None:
    request = CompressRequest(text=text, tokens=count(text), target_tokens=1, count=count, **more)
    answer = StructuralCompressor().compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


def same(one: Any, other: Any) -> bool:
    """Equal, and 1, 1.0 and true are three different values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


NASTY = st.sampled_from(
    [
        "",
        " ",
        "a,b",
        '"',
        '"x"',
        "null",
        "true",
        "1",
        "1.0",
        "-",
        "1e5",
        "NaN",
        "a\nb",
        "\r",
        "\x00",
        "[1]",
        "{",
        "a.b",
        "all: {}",
        "3 rows",
        "{} at rows",
        " lead",
        "trail ",
        "\\",
        "\u2028",
        "�",
        "2026-01-02",
        "é",
        "Infinity",
    ]
)
TEXTS = NASTY | st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
KEYS = st.sampled_from(["id", "state", "owner", "a.b", "", "x y"]) | TEXTS
RECORDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=6)


@settings(max_examples=300)
@given(VALUES | RECORDS | st.fixed_dictionaries({"rows": RECORDS, "next": VALUES}))
def test_every_encoding_is_decoded_to_the_same_value(value: Any) -> None:
    for candidate in encodings(json.dumps(value)):
        assert same(decode(candidate), value)


@given(RECORDS)
def test_what_is_used_is_shorter_and_can_be_had_back(records: list[dict[str, Any]]) -> None:
    text = json.dumps(records, indent=2)
    answer = shrink(text, kind="json")
    if answer is not None:
        assert answer.lossless
        assert answer.tokens_after == estimate_tokens(answer.text) < estimate_tokens(text)
        assert same(decode(answer.text), records)


PAGE = {
    "next": None,
    "rows": [
        {"id": n, "kind": "order", "customer": {"name": f"user{n % 7}", "city": None}, "note": "late, again"}
        for n in range(60)
    ],
}


def test_a_list_of_records_becomes_header_and_rows() -> None:
    answer = shrink(json.dumps(PAGE), kind="json")
    assert answer is not None
    lines = answer.text.splitlines()
    assert lines[:4] == [
        '{"next":null,"rows":[]} at rows',
        "60 rows",
        'all: {"kind":"order","customer.city":null,"note":"late, again"}',
        "id,customer.name",
    ]
    assert lines[5] == "1,user1"
    assert answer.saved > 0.6 * answer.tokens_before
    assert (answer.strategy, answer.quality, answer.dropped) == ("structural", 1.0, ())


def test_the_real_count_decides_which_encoding_is_used() -> None:
    """A counter to which line ends are dear gets minified JSON."""

    def dear(text: str) -> int:
        return len(text) + 1000 * text.count("\n")

    text = json.dumps(PAGE)
    request = CompressRequest(text=text, tokens=dear(text), target_tokens=1, count=dear, kind="json")
    answer = StructuralCompressor().shrink(request)
    assert answer is not None
    assert answer.text == json.dumps(PAGE, separators=(",", ":"))


def test_missing_null_and_empty_are_three_different_things() -> None:
    records = [{"a": 1, "b": None}, {"a": 2, "b": ""}, {"a": 3}]
    table = encodings(json.dumps(records))[-1]
    assert table.splitlines() == ["3 rows", "a,b", "1,null", '2,""', "3,"]
    assert decode(table) == records


@pytest.mark.parametrize("text", ["[1]", '{"a":1}', '"quoted"', "a\nb", "a,b", " lead", "12", "null", ""])
def test_awkward_texts_do_not_keep_a_table_from_being_written(text: str) -> None:
    """Each has a way to be written; none falls back to minified JSON because it would not be decoded."""
    records = [{"a": text, "b": n} for n in range(4)] + [{"a": "x", "b": 5}]
    assert encodings(json.dumps(records))[-1].startswith("5 rows\n")


def test_texts_that_look_like_figures_stay_texts() -> None:
    records = [{"a": "1"}, {"a": "true"}, {"a": "null"}, {"a": 1}, {"a": "1.0"}]
    assert same(decode(encodings(json.dumps(records))[-1]), records)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '[{"a": 0.10000000000000000001}]', "[1e999]", '{"a": NaN}', "[" * 5000 + "]" * 5000],
)
def test_json_that_would_lose_something_is_left_as_it_is(text: str) -> None:
    """Doubled keys, figures that a float cannot hold, what is no JSON, and what is nested too deep."""
    assert encodings(text) == []
    assert shrink(text, kind="json") is None


def test_minified_json_that_is_no_list_of_records_is_left_alone() -> None:
    assert shrink('{"a":[1,2,3],"b":{"c":null}}', kind="json") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12 rows\na,b\n1,2", "11 rows are missing"),
        ("1 rows\na,b\n1", "a cell is missing"),
        ('1 rows\na\n"open', "a quote is not closed"),
        ('1 rows\na\n"x"y', "text after a quote"),
        ("hello", "no JSON"),
    ],
)
def test_the_decoder_refuses_what_is_not_of_its_form(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


PROSE = "One sentence.   \n\n\n\n\n\nAnother one.\t\n```\nx = 1   \n\n\n\n\ny = 2\n```\nEnd.\n"


def test_prose_loses_trailing_spaces_and_runs_of_empty_lines_only() -> None:
    answer = shrink(PROSE, count=len, kind="prose")
    assert answer is not None
    assert answer.text == "One sentence.\n\n\nAnother one.\n```\nx = 1   \n\n\n\n\ny = 2\n```\nEnd.\n"
    assert answer.lossless is False
    assert answer.dropped == ("trailing spaces and runs of empty lines",)
    assert shrink(PROSE, count=len, kind="prose", lossless_only=True) == answer, "it loses form, not content"


@pytest.mark.parametrize("kind", ["markdown", "code", "table", "log", "html"])
def test_kinds_in_which_spaces_mean_something_are_left_alone(kind: str) -> None:
    assert shrink(PROSE, count=len, kind=kind) is None


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 1   \n\n\n\n\nx\n",
        "diff --git a b\n@@ -1 +1 @@\n-a \n+a\n\n\n\n\n",
        "key:\n\t- a   \n\n\n\n\n",
    ],
)
def test_what_looks_like_code_is_left_alone_whatever_it_is_called(text: str) -> None:
    assert shrink(text, count=len, kind="prose") is None


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5_000_000,
        "[" + "1," * 500_000 + "1]",
        "[" * 1_000_000,
        json.dumps([{"a": "\ud800"}] * 5000),
        '{"a":' * 2000,
    ],
    ids=["one word", "many figures", "brackets", "lone surrogates", "deep"],
)
def test_hostile_content_is_survived(text: str) -> None:
    for kind in ("json", "prose"):
        answer = shrink(text, kind=kind)
        assert answer is None or answer.tokens_after < answer.tokens_before

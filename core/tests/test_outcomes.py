"""Outcomes are read from files, and each fault is told with its place; answers are compared by what they say."""

import gzip
import json

import pytest

from intendant.model.errors import IntendantError
from intendant.planning.outcomes import Outcome, OutcomeRow, normal_answer, read_outcomes, same_answer, unlisted

ROW = {"id": "a", "intent": "math", "prompt": "1 + 1", "outcomes": {"m": {"score": 1, "cost": 2, "answer": "2"}}}


def test_rows_are_read_from_plain_and_compressed_files_one_after_the_other(tmp_path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    small = {"prompt": 3, "outcomes": {"m": {"score": 0.5}, "n": {"score": 0, "cost": None, "answer": None}}}
    plain.write_text(f"\n{json.dumps(ROW)}\n  \n{json.dumps(small)}\n")
    packed.write_bytes(gzip.compress(json.dumps(ROW).encode()))
    first = OutcomeRow("a", "math", "1 + 1", {"m": Outcome(1.0, 2.0, "2")})
    assert read_outcomes([plain, packed]) == [
        first,
        OutcomeRow("a.jsonl:4", "", "3", {"m": Outcome(0.5, 0.0, ""), "n": Outcome(0.0, 0.0, "")}),
        first,
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no file"),
        pytest.param(gzip.compress(b"x" * 1000)[:20], id="broken off"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(gzip.compress(b"\xff"), id="no text, packed"),
        pytest.param(b"\x1f\x8bnothing that was packed", id="not packed"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IntendantError, match=r"x\.jsonl cannot be read"):
        read_outcomes([path])


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        '"x"',
        json.dumps({**ROW, "outcomes": {}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": 1.01}}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": -0.01}}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": "x"}}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": None}}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": 1, "cost": -1}}}),
        json.dumps({**ROW, "outcomes": {"m": {"score": 1, "cost": float("inf")}}}),
        json.dumps({**ROW, "outcomes": {"m": {}}}),
        json.dumps({**ROW, "outcomes": {"m": 1}}),
        json.dumps({"outcomes": ROW["outcomes"]}),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n\n{line}\n")
    with pytest.raises(IntendantError, match=r"x\.jsonl, line 3 is no row of outcomes"):
        read_outcomes([path])


def test_no_rows_are_an_error(tmp_path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n")
    with pytest.raises(IntendantError, match="there are no outcomes"):
        read_outcomes([path])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The  Answer.", "theanswer"),
        ("$1,234.50", "1234.5"),
        ("-7", "-7"),
        ("7.0", "7"),
        ("['A B']", "ab"),
        ('["x"]', "x"),
        ("['a', 'b']", "['a','b']".replace("'", "")[1:-1]),
        ("[1]", "1"),
        ("['a'", "a,".replace(",", "")),
        ("", ""),
    ],
)
def test_an_answer_is_known_by_its_number_or_its_letters(text, said) -> None:
    assert normal_answer(text) == said


def test_answers_are_the_same_if_they_say_the_same_at_their_ends() -> None:
    assert same_answer("x" * 10_000, "y" + "x" * 10_000)
    assert not same_answer("x" * 10, "y" + "x" * 10)
    assert not same_answer("", " ")
    assert unlisted("['a']") == "a"
    assert [unlisted(text) for text in ("[1]", "['a', 'b']", "['a'", "a")] == ["[1]", "['a', 'b']", "['a'", "a"]

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
from intendant_compress_template._paths import by_directory, whole_paths
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
def test_what_is_used_saves_a_twentieth(lines: list[str]) -> None:
    text = "\n".join(lines)
    answer = shrink(text)
    if answer is not None:
        assert answer.lossless
        assert answer.tokens_after == estimate_tokens(answer.text) <= 0.95 * estimate_tokens(text)


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
    assert answer.text.split("\n").index("2026-01-02 03:04:20 ERROR disk full on /dev/sda1") == 23


def test_equal_lines_are_counted() -> None:
    text = "\n".join(["the pump was started again"] * 40 + ["stop"] + ["the pump was started again"] * 2)
    answer = shrink(text)
    assert answer is not None
    assert answer.text.split("\n")[1:] == ["A: the pump was started again", "", "A*40", "stop", "A*2"]


@pytest.mark.parametrize("kind", ["json", "code", "diff", "config", "html"])
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


@pytest.mark.parametrize("text", ["hello", f"{HEAD}\nA: x {{}}, {{}}\n\nA 1", f"{HEAD}\nA: x"])
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


QUOTED = [
    "The pump in hall 4 stopped at noon, and nobody knows why it did.",
    "",
    "We shall look at it tomorrow with two engineers from the maker.",
]


def test_quoted_mail_is_kept_once() -> None:
    text = "\n".join(["From: ada", *QUOTED, "From: bo", *[f"> {line}".rstrip() for line in QUOTED], "Good."])
    answer = shrink(text, kind="mail")
    assert answer is not None
    assert answer.text.split("\n")[5:] == ['[lines 2-4 again, after "> ": The pump in hall 4 stopped at]', "Good."]
    assert (answer.lossless, expand(answer.text)) == (True, text)


def test_repeated_blocks_are_kept_once_and_single_lines_are_not() -> None:
    text = "\n".join(["one", *QUOTED, "two", *QUOTED, "three", QUOTED[0]])
    once = keep_once(text)
    assert once is not None
    assert once.split("\n")[5:] == ["[lines 2-4 again: The pump in hall 4 stopped at]", "three", QUOTED[0]]
    assert put_back(once) == text


@settings(max_examples=400)
@given(
    st.lists(
        st.sampled_from(
            [*QUOTED, "> " + QUOTED[0], "> > " + QUOTED[2], ">", "> ", ">" + QUOTED[0], "|", QUOTED[0] + " "]
        ),
        max_size=40,
    )
)
def test_what_is_kept_once_is_put_back_to_the_very_same_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    once = keep_once(text)
    if once is not None:
        assert len(once) < len(text)
        assert put_back(once) == text


def test_text_that_holds_such_a_mark_is_left_alone() -> None:
    text = "\n".join([*QUOTED, "[lines 1-2 again]", *QUOTED])
    assert keep_once(text) is None
    with pytest.raises(ValueError, match="not there"):
        put_back("[lines 3-9 again]")


def test_cells_of_a_table_are_never_cut() -> None:
    rows = [f"MSFT,Jan {n} 2000,user{n}@example.org,{n}.5" for n in range(1, 30)]
    folded = fold("\n".join(["symbol,date,mail,price", *rows]))
    assert folded is not None
    assert folded.split("\n")[1:5] == [
        "A: MSFT,{},{},{}",
        "",
        "symbol,date,mail,price",
        "A Jan 1 2000,user1@example.org,1.5",
    ]
    assert expand_lines(folded).split("\n")[1:] == rows


def test_lines_that_share_only_their_beginning_keep_the_rest_whole() -> None:
    ends = ["pump started", "valve is open", "the tank was emptied by hand", "no one there", "belt moves again"]
    text = "\n".join(f"2026-01-02 03:04:0{n} INFO plant.hall {end}" for n, end in enumerate(ends))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:4] == ["A: 2026-01-02 {} INFO plant.hall {}", "", "A 03:04:00 pump started"]


def test_rare_errors_stand_whole() -> None:
    errors = [f"2026-01-02 03:05:0{n} INFO worker-1 failed job {n} in 12 ms" for n in range(4)]
    few = fold("\n".join([*LOG, *LOG, *errors]))
    many = fold("\n".join([*LOG[:20], *errors]))
    assert few is not None
    assert many is not None
    assert set(few.split("\n")) >= set(errors)
    assert not set(many.split("\n")) & set(errors)


@pytest.mark.parametrize(
    "line",
    [
        "    value_{n} = self.load(",
        "key_{n}: some value of its own",
        "@@ -{n},7 +{n},8 @@ def some_function_of_mine",
        "## Heading number {n} of this document",
    ],
    ids=["code", "config", "diff", "markdown"],
)
def test_lay_out_is_told_by_the_lines_where_the_kind_is_unknown(line: str) -> None:
    text = "\n".join(line.replace("{n}", str(n)) for n in range(40))
    assert fold(text) is not None
    assert shrink(text, kind="text") is None


PATHS = [
    *(f"src/parts/{name}.py" for name in ("one", "two", "three")),
    "setup.cfg",
    "src/b.py:3:x = 1",
    "src/b.py:9:y",
]


def test_paths_are_grouped_by_directory_and_matches_by_file() -> None:
    text = "\n".join(PATHS)
    grouped = by_directory(text)
    assert grouped is not None
    assert grouped.split("\n")[1:] == ["src/parts/", *PARTS, "setup.cfg", "src/b.py:", " 3:x = 1", " 9:y"]
    assert whole_paths(grouped) == expand(grouped) == text
    assert by_directory(grouped) is None


PARTS = [" one.py", " two.py", " three.py"]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*PATHS, "a/", "a/b", "a/b/", "", "/", "2015/01/02 3", "x y/z", "a/ b"]), max_size=20)
)
def test_grouped_paths_are_made_whole_again(lines: list[str]) -> None:
    text = "\n".join(lines)
    grouped = by_directory(text)
    if grouped is not None:
        assert whole_paths(grouped) == text


def test_dates_and_addresses_are_no_paths() -> None:
    assert by_directory("\n".join(f"2015/01/0{n} 12:00" for n in range(9))) is None
    assert by_directory("\n".join(f"https://example.org/a/{n}" for n in range(9))) is None


def test_the_name_of_a_process_stays_with_its_number() -> None:
    text = "\n".join(f"Jun 15 combo sshd(pam_unix)[{4711 + n}]: session opened for user cyrus" for n in range(9))
    folded = fold(text)
    assert folded is not None
    assert "A sshd(pam_unix)[4711]" in folded.split("\n")


def test_a_line_that_looks_like_a_row_is_told_from_one() -> None:
    text = "\n".join(["A 1 2", "*3 x", " lead", "A", "AB", *LOG])
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[3:8] == [" A 1 2", " *3 x", "  lead", " A", "AB"]
    assert expand(folded) == text

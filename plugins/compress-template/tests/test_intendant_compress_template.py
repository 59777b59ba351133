import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens
from intendant.testing import CompressorContract
from intendant_compress_template import TemplateCompressor, expand
from intendant_compress_template._fold import fold, foldings
from intendant_compress_template._form import HEADS
from intendant_compress_template._paths import by_directory, whole_paths
from intendant_compress_template._repeats import keep_once, put_back
from intendant_compress_template._trees import HEAD as HEAD_OF_TREE, STYLES, redrawn, undrawn

HEAD = next(iter(HEADS))


class TestTemplateCompressor(CompressorContract):
    plugin = TemplateCompressor
    entry_point = "template"


def shrink(text: str, *, count: Callable[[str], int] = estimate_tokens, **more: Any) -> Compression | None:
    request = CompressRequest(text=text, tokens=count(text), target_tokens=1, count=count, **more)
    answer = TemplateCompressor().compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


LOG = [f"2026-01-02 03:04:{n:02d} INFO worker-{n % 9} finished job {1000 + n} in 12 ms" for n in range(50)]
OTHER = [f"2026-01-02 03:04:{n:02d} WARN disk-{n % 3} is {40 + n} degrees warm now" for n in range(50)]
MIXED = [line for pair in zip(LOG, OTHER, OTHER[1:], strict=False) for line in pair]

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
        ": 2026-01-02 {} INFO {} finished job {} in 12 ms",
        "",
        "03:04:00 worker-0 1000",
        "03:04:01 worker-1 1001",
    ]
    assert answer.saved > 0.4 * answer.tokens_before
    assert expand(answer.text) == text


def test_lines_that_share_a_long_value_have_a_shape_of_their_own() -> None:
    hosts = ["server-1.hall.example.org", "server-2.hall.example.org", "10.2.3.4"]
    text = "\n".join(f"job {n} came from {hosts[n % 2 if n % 9 else 2]} at last" for n in range(60))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:8] == [
        ": job {} came from server-2.hall.example.org at last",
        "A: job {} came from 10.2.3.4 at last",
        "B: job {} came from server-1.hall.example.org at last",
        "",
        "A 0",
        "1",
        "B 2",
    ]
    assert expand(folded) == text


def test_lines_of_many_shapes_begin_with_the_letters_of_theirs() -> None:
    shapes = [f"{word} {{}} has come to its end after {{}} seconds" for word in ("pump", "belt", "tank", "valve")]
    text = "\n".join(shapes[n % 4].format(n, n * 7) for n in range(40))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:8] == [
        "A: pump {} has come to its end after {} seconds",
        "B: belt {} has come to its end after {} seconds",
        "C: tank {} has come to its end after {} seconds",
        "D: valve {} has come to its end after {} seconds",
        "",
        "A 0 0",
        "B 1 7",
    ]
    assert expand(folded) == text


def test_what_lines_in_a_row_begin_with_is_said_once_above_them() -> None:
    times = [f"2026-01-02 03:{n // 9:02d}:07 hall" for n in range(54)]
    text = "\n".join(f"{time} pump-{n} runs at {n % 7} bar" for n, time in enumerate(times))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:6] == [
        "@: 2026-01-02 {} hall",
        ": {@} {} runs at {} bar",
        "",
        "@ 03:00:07",
        "pump-0 0",
    ]
    assert folded.split("\n")[14:16] == ["@ 03:01:07", "pump-9 2"]
    assert expand(folded) == text


def test_directories_in_the_middle_of_lines_are_said_once_above_them() -> None:
    folders = ["src/parts/large/", "src/parts/small/", "tests/of/parts/"]
    text = "\n".join(f"{n * 7} 2026-01-02 {folders[n // 20]}{'ab'[n % 2]}part{n}.py" for n in range(60))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:6] == [
        ": {} 2026-01-02 {@}{}",
        "",
        "@ src/parts/large/",
        "0 apart0.py",
        "7 bpart1.py",
    ]
    assert expand(folded) == text


def test_blanks_that_align_words_follow_from_their_columns() -> None:
    names = ["one", "three", "a-longer-one", "x", "seventeen", "middle-one"] * 3
    text = "\n".join(f"-rw-r--r-- root {n**4:>7} {name:<20} of {n} parts" for n, name in enumerate(names))
    listed = [one.split("\n")[1:5] for one in foldings(text)]
    assert [": -rw-r--r-- root {>23}{} {} {|45}{}", "", "0 one of 0 parts", "1 three of 1 parts"] in listed
    assert all(expand(folded) == text for folded in foldings(text))


def test_a_value_that_comes_again_in_its_line_is_written_once() -> None:
    text = "\n".join(f"node dn{n} says: dn{n} has {n * 3} of its parts" for n in range(100, 130))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:4] == [": node {} says: {1} has {} of its parts", "", "dn100 300"]
    assert expand(folded) == text


def test_lines_that_differ_in_one_word_are_one_shape() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    text = "\n".join(f"fetched https://example.org/{word} in time (from the cache)" for word in words)
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:4] == [": fetched {} in time (from the cache)", "", "https://example.org/one"]
    assert expand(folded) == text


ALIGNED = st.tuples(
    st.sampled_from(["a", "bb", "ccc", "dd-4", "{|9}"]), st.integers(0, 10**6), st.sampled_from("xyz")
)


@given(
    st.lists(ALIGNED | st.sampled_from(["", "  x", "@ x", "A", "x  y", "a 1", "a  b  c", "{>3} 4"]), max_size=30),
    st.sampled_from(
        ["{:<6} {:>8} {}", "{:<3} {:>4}  {}", "k/{}:  {:>9} {}", "2026-01-02  {}  {:<9} {}", "{} {} {}"]
    ),
)
def test_columns_and_sections_are_expanded_to_the_very_same_text(rows: list[Any], form: str) -> None:
    text = "\n".join(row if isinstance(row, str) else form.format(*row) for row in rows)
    for folded in foldings(text):
        assert expand(folded) == text


TREE = [".", "├── src", "│   ├── a", "│   │   └── b.py", "│   └── c.py", "├── README", "└── x", "    └── y"]


@pytest.mark.parametrize("extra", [[], ["", "3 directories, 5 files"], ["|x", " y"]])
def test_drawn_trees_become_indented_lines(extra: list[str]) -> None:
    text = "\n".join([*TREE, *extra])
    written = undrawn(text)
    assert written is not None
    assert written.split("\n")[1:9] == [".", " src", "  a", "   b.py", "  c.py", " README", " x", "  y"]
    assert redrawn(written) == expand(written) == text


NPM = ["├─┬ a@1.0.0", "│ ├── b@1.2.0 deduped", "│ └─┬ c@2.0.0", "│   └── d@1.0.0", "└── e"]


def test_the_trees_of_npm_are_told_from_others() -> None:
    text = "x@1.0.0\n├─┬ a@1.0.0\n│ ├── b@1.2.0 deduped\n│ └─┬ c@2.0.0\n│   └── d@1.0.0\n└── e"
    written = undrawn(text)
    assert written is not None
    assert written.split("\n")[1:] == ["x@1.0.0", " a@1.0.0", "  b@1.2.0 deduped", "  c@2.0.0", "   d@1.0.0", " e"]
    assert redrawn(written) == text


@pytest.mark.parametrize(
    "wrong", [[*TREE[:3], "│       └── too deep", *TREE[4:]], [*TREE[:5], "└── README", *TREE[6:]]]
)
def test_trees_that_are_drawn_in_another_way_are_left_alone(wrong: list[str]) -> None:
    assert undrawn("\n".join(wrong)) is None


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["a", "b c", "|", "x/y"])), min_size=5, max_size=20))
def test_trees_are_drawn_again_as_they_were(nodes: list[tuple[int, str]]) -> None:
    levels = [1]
    for wish, _ in nodes:
        levels.append(min(wish, levels[-1] + 1))
    for style in STYLES:
        rows = [" " * level + name for level, (_, name) in zip(levels[1:], nodes, strict=True)]
        text = redrawn("\n".join([HEAD_OF_TREE.format(style.name), *rows]))
        written = undrawn(text)
        assert written is not None
        assert redrawn(written) == text


def test_a_rare_line_stays_as_it_is_in_its_place() -> None:
    lines = [*LOG[:20], "2026-01-02 03:04:20 ERROR disk full on /dev/sda1", *LOG[21:]]
    answer = shrink("\n".join(lines), kind="log")
    assert answer is not None
    assert answer.text.split("\n").index(" 2026-01-02 03:04:20 ERROR disk full on /dev/sda1") == 23


def test_equal_lines_are_counted() -> None:
    text = "\n".join(["the pump was started again"] * 40 + ["stop"] + ["the pump was started again"] * 2)
    answer = shrink(text)
    assert answer is not None
    assert answer.text.split("\n")[1:] == ["A: the pump was started again", "", "A*40", "stop", "A*2"]


@pytest.mark.parametrize("kind", ["code", "diff", "config"])
def test_kinds_that_are_read_by_their_lay_out_are_left_alone(kind: str) -> None:
    assert shrink("\n".join(LOG), kind=kind) is None


def test_json_and_html_are_told_by_their_form_and_left_alone() -> None:
    """What `structural` makes of JSON is still called so, and may be folded; the JSON itself may not."""
    rows = "\n".join(f"{n},worker-{n % 9},finished" for n in range(40))
    assert shrink(rows, kind="json") is not None
    assert shrink(json.dumps([{"id": n, "state": "finished"} for n in range(40)], indent=1), kind="text") is None
    assert shrink("<html>\n" + "\n".join(f"<li>job {n} is done" for n in range(40)), kind="text") is None


def test_a_small_gain_is_not_worth_the_trouble() -> None:
    varied = [f"{letter * 9} was {letter * 5} in its {letter * 7}" for letter in "abcdefghijklmnopqrstuvwx"]
    text = "\n".join([*varied, *LOG[:3]])
    folded = fold(text)
    assert folded is not None
    assert shrink(text) is None
    eager = TemplateCompressor({"least_saved": -1.0})
    request = CompressRequest(text=text, tokens=estimate_tokens(text), target_tokens=1, count=estimate_tokens)
    answer = eager.compress(request)
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
    assert folded.split("\n")[1:6] == [
        ": {@},{},{},{}",
        "",
        " symbol,date,mail,price",
        "@ MSFT",
        "Jan 1 2000,user1@example.org,1.5",
    ]
    assert expand(folded).split("\n")[1:] == rows


def test_lines_that_share_only_their_beginning_keep_the_rest_whole() -> None:
    ends = ["pump started", "valve is open", "the tank was emptied by hand", "no one there", "belt moves again"]
    text = "\n".join(f"2026-01-02 03:04:0{n} INFO plant.hall {end}" for n, end in enumerate(ends))
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[1:4] == [": 2026-01-02 {} INFO plant.hall {}", "", "03:04:00 pump started"]


def test_rare_errors_stand_whole() -> None:
    errors = [f"2026-01-02 03:05:0{n} INFO worker-1 failed job {n} in 12 ms" for n in range(4)]
    few = fold("\n".join([*LOG, *LOG, *errors]))
    many = fold("\n".join([*LOG[:20], *errors]))
    assert few is not None
    assert many is not None
    assert {line.lstrip() for line in few.split("\n")} >= set(errors)
    assert not any(line in many for line in errors)


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
    assert "sshd(pam_unix)[4711]" in folded.split("\n")


def test_a_line_that_looks_like_a_row_is_told_from_one() -> None:
    lines = ["A 1 2", "*3 x", " lead", "A", "AB"]
    others = [f"{word} {n} of many lines" for n in range(9) for word in ("pump", "belt", "tank")]
    text = "\n".join([*lines, *others])
    folded = fold(text)
    assert folded is not None
    assert folded.split("\n")[5:10] == [" A 1 2", " *3 x", "  lead", " A", "AB"]
    assert expand(folded) == text

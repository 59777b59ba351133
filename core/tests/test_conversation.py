"""What of a tool's output is sent, and that nothing becomes dearer by it."""

import os
import random
from time import process_time

import pytest

from intendant import ContextCompressor
from intendant.planning.conversation import _without
from intendant.text.line_worth import Asked, features, kind_of_command, weights
from intendant.text.listings import shorter_listing
from intendant.text.observations import plain
from intendant.text.seen_lines import SeenLines

CODE = [
    "import json",
    "",
    "class Ledger:",
    '    """Keeps what was paid for which parcel and when it was paid."""',
    "",
    "    def __init__(self, path):",
    "        self.path = path",
    "        self.parcels = json.loads(path.read_text())",
    "",
    "    def total_of(self, parcel):",
    "        return sum(entry['amount'] for entry in self.parcels[parcel]['entries'])",
    "",
    "    def entries_after(self, parcel, day):",
    "        return [entry for entry in self.parcels[parcel]['entries'] if entry['day'] > day]",
]


def count(text):
    return (len(text) + 3) // 4


def context(**options):
    return ContextCompressor(count=count, **options)


def asked(command):
    return f"THOUGHT: let me look.\n\n```bash\n{command}\n```"


def test_what_was_shown_before_becomes_a_reference_after_its_first_line():
    compressor = context(lossless=True)
    text = "\n".join(CODE)
    first = compressor.fit(text, query=asked("cat ledger.py"))
    again = compressor.fit(f"{text}\n# end", query=asked("cat ledger.py"))
    assert first.text == text
    assert again.text.startswith("import json\n[13 lines more, as shown by: cat ledger.py]\n# end")
    assert again.tokens_after < again.tokens_before / 2


def test_what_the_model_wrote_itself_becomes_a_reference():
    compressor = context()
    shown = compressor.fit("\n".join(CODE), query=asked("cat <<EOF > ledger.py\n" + "\n".join(CODE) + "\nEOF"))
    assert shown.text == "import json\n[13 lines more, as you wrote]"


def test_a_listing_with_line_numbers_refers_to_the_file_without_them():
    seen = SeenLines()
    seen.add("\n".join(CODE), "shown by: cat ledger.py")
    numbered = [f"{number}\t{line}" for number, line in enumerate(CODE, 1) if line]
    said = seen.referring(numbered)
    assert said == [numbered[0], f"[{len(numbered) - 1} lines more, as shown by: cat ledger.py]"]


def test_lines_that_differ_or_whose_numbers_jump_are_not_referred_to():
    seen = SeenLines()
    seen.add("\n".join(CODE), "x")
    other = [line.replace("amount", "total") for line in CODE[9:]]
    assert seen.referring(other) == other
    jumping = [f"{40 * number}\t{line}" for number, line in enumerate(CODE[5:8], 1)]
    assert seen.referring(jumping) == jumping


def test_nothing_that_was_sent_is_referred_to_where_it_was_left_out():
    """The reader sees what was sent, not what came."""
    compressor = context()
    long = [f"    the {number}th row of a table of figures, {number % 7} of all" for number in range(200)]
    sent = compressor.fit("\n".join(long), query=asked("cat values.py"))
    assert sent.left_out > 0
    gone = [line for line in long if line not in sent.text]
    later = compressor.fit("\n".join(gone[:12]), query=asked("sed -n 1,12p values.py"))
    assert "lines more" not in later.text


def test_an_envelope_is_shown_once_and_then_only_what_is_new_of_it():
    compressor = context()
    wrapped = "<returncode>{}</returncode>\n<output>\n{}\n</output>".format
    assert compressor.fit(wrapped(0, "one")).text == wrapped(0, "one")
    assert compressor.fit(wrapped(0, "two")).text == "two"
    assert compressor.fit(wrapped(1, "three")).text == "[returncode 1]\nthree"
    assert compressor.fit(wrapped(0, "")).text == "[no output]"


def test_long_listings_say_mode_owner_and_date_once_and_where_they_differ():
    lines = [
        "-rw-r--r--  1 ada staff   120 Mar  3 10:00 README.md",
        "-rw-r--r--  1 ada staff 40211 Mar  3 10:00 ledger.py",
        "-rwxr-xr-x  1 ada staff    88 Mar  3 10:00 run.sh",
        "drwxr-xr-x  4 ada staff   128 Mar  3 10:00 tests",
        "-rw-r--r--  1 bob staff     7 Mar  4 11:00 notes.txt",
    ]
    head, entries = shorter_listing(lines)
    assert head == "[ls -l; unless said: -rw-r--r-- ada staff Mar  3 10:00; drwxr-xr-x ada staff Mar  3 10:00]"
    assert entries == (
        "README.md 120 ledger.py 40211 run.sh 88 (rwxr-xr-x) tests/ notes.txt 7 (bob staff, Mar  4 11:00)"
    )


def test_what_grep_found_in_a_file_stands_under_its_path_and_dates_are_no_paths():
    found = ["src/a.py:3:def one():", "src/a.py:9:def two():", "src/b.py:1:import a"]
    assert shorter_listing(found) == ["src/a.py:", "3:def one():", "9:def two():", "src/b.py:1:import a"]
    dates = ["2026-01-01    240", "2026-01-02    241"]
    assert shorter_listing(dates) == dates


def test_colours_padding_and_repeats_go_and_indentation_and_line_numbers_stay():
    text = "\x1b[31mred\x1b[0m  \n     9\t    return 1\n    10\t\n    11\tx = 2\nsame\nsame\nsame\n\n\n\n\nend"
    assert plain(text) == "red\n9\t    return 1\n10\n11\tx = 2\nsame\n[2 more of this line]\n\n\nend"


def test_an_underline_of_a_heading_keeps_its_length():
    text = "Heading\n" + "-" * 20
    assert plain(text) == text


def test_every_line_that_is_left_out_is_counted_and_the_ends_stay():
    lines = [f"    the {number}th row of a table of figures, {number} in all" for number in range(300)]
    lines[0], lines[-1] = "first of all", "and the last"
    shown = context().fit("\n".join(lines), query=asked("cat filler.py"))
    left = shown.text.split("\n")
    gaps = sum(int(line[2:-7]) for line in left if line.startswith("[…"))
    assert shown.left_out == gaps > 0
    assert len([line for line in left if not line.startswith("[…")]) + gaps == len(lines)
    assert (left[0], left[-1]) == ("first of all", "and the last")
    assert context(lossless=True).fit("\n".join(lines), query="").left_out == 0


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("cat src/_pytest/pathlib.py", "file"),
        ("cat tests/runtests.py", "file"),
        ("nl -ba ledger.py | sed -n '10,40p'", "range"),
        ("cat ledger.py | head -50", "range"),
        ("grep -n -A 3 total ledger.py", "range"),
        ("grep -rn total src", "grep"),
        ("cd src && timeout 60 python3 -m pytest -q tests", "test"),
        ("PYTHONPATH=. ./tests/runtests.py forms", "test"),
        ("bin/test sympy/core", "test"),
        ("python reproduce_pytest_bug.py", "run"),
        ("ls -R", "list"),
        ("git diff src", "diff"),
        ("git grep total", "grep"),
        ("sort names.txt", ""),
        ("", ""),
    ],
)
def test_what_a_command_prints_is_told_by_how_it_begins_and_not_by_the_names_in_it(command, kind):
    assert kind_of_command(command) == kind


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("Let me look.\n\n```bash\ncat ledger.py", "shown by: cat ledger.py"),
        ("Now.\n```python\nx = 1\n```\n\n```bash\ncat ledger.py\n```", "shown by: cat ledger.py"),
        ("It has to be\n```python\nx = 1\n```\nand as it is ", "shown above"),
        ("It has to be\n```python\nx = 1", "shown above"),
        ("read the file\ncat ledger.py", "shown by: cat ledger.py"),
    ],
)
def test_the_command_is_found_in_messages_that_show_other_code_or_are_cut(query, label):
    compressor = context()
    compressor.fit("\n".join(CODE), query=query)
    assert f"lines more, as {label}]" in compressor.fit("\n".join(CODE), query=asked("cat ledger.py")).text


def test_functions_that_hold_a_name_which_was_talked_about_are_told_from_the_others():
    found = list(features(CODE, Asked("file", {"entries_after"}, {"entries_after", "total_of"}, set())))
    marks = {
        line.strip(): next(name for name in names if name.startswith("scope:"))
        for line, names in zip(CODE, found, strict=True)
    }
    assert marks["self.path = path"] == "scope:0"
    assert marks["return sum(entry['amount'] for entry in self.parcels[parcel]['entries'])"] == "scope:1"
    assert marks["return [entry for entry in self.parcels[parcel]['entries'] if entry['day'] > day]"] == "scope:2"


def test_a_word_of_the_language_is_no_name():
    names = dict(zip(CODE, features(CODE, Asked("file", set(), set(), set())), strict=True))
    assert "names:0" in names["import json"]
    assert "names:1" in names["    def total_of(self, parcel):"]


@pytest.mark.parametrize(
    "command", ["python" * 30_000, "A=1 " * 50_000, "sed " * 50_000, "; " * 100_000, "x" * 300_000]
)
def test_hostile_commands_are_told_at_once(command):
    begin = process_time()
    kind_of_command(command)
    assert process_time() - begin < 1


def test_files_keep_more_than_listings_of_the_same_length_and_shorter_texts_every_line():
    rows = [f"the {number}th row of a table of figures, {number} in all" for number in range(40)]
    assert 1200 < len("\n".join(rows)) < 3200
    left = {
        command: context().fit("\n".join(rows), query=asked(command)).left_out
        for command in ("cat rows.txt", "sed -n 1,40p rows.txt", "pytest -q", "ls rows")
    }
    assert left["cat rows.txt"] == left["sed -n 1,40p rows.txt"] == 0
    assert left["pytest -q"] > 0 < left["ls rows"]
    assert context().fit("\n".join(rows[:15]), query=asked("pytest -q")).left_out == 0


def test_features_of_lines_are_known_by_name_to_the_weights():
    found = {name for names in features(CODE, Asked("file", set(), set(), set())) for name in names}
    assert len(found & weights().keys()) > len(found) / 2


VENDORS = {
    # write, read, tokens below which nothing is cached, the block in which it is
    "anthropic": (1.25, 0.1, 1024, 1),
    "openai": (1.0, 0.1, 1024, 128),
    "google": (1.0, 0.25, 2048, 1),
}


def bill(prompt, texts, answers, vendor):
    """What the calls of a conversation cost, in tokens at full price: each sends all that came before."""
    write, read, least, block = VENDORS[vendor]
    total, before = 0.0, 0
    sent = prompt
    for text, answer in zip(texts, answers, strict=True):
        cached = before // block * block if before >= least else 0
        cost = write if sent >= least else 1.0
        total += read * cached + cost * (sent - cached)
        before = sent
        sent += answer + text
    return total


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_conversation_becomes_dearer_whatever_its_vendor_caches(vendor):
    draw = random.Random(7)
    for number in range(int(os.environ.get("INTENDANT_TRIALS", "8"))):
        prompt = draw.choice([200, 900, 1020, 2040, 4000])
        compressor = context(prompt_tokens=prompt, least_cached=VENDORS[vendor][2])
        before, after, answers = [], [], []
        for turn in range(draw.randint(3, 30)):
            start = draw.randint(0, 8)
            text = "\n".join(f"{line}  " for line in CODE[start:] * draw.randint(1, 3))
            query = asked(f"sed -n {start},{turn}p ledger.py")
            shown = compressor.fit(text, query=query)
            before.append(shown.tokens_before)
            after.append(shown.tokens_after)
            answers.append(count(query))
        assert all(new <= old for new, old in zip(after, before, strict=True))
        assert bill(prompt, after, answers, vendor) <= bill(prompt, before, answers, vendor), number


def test_texts_stay_until_the_conversation_is_long_enough_to_be_cached():
    compressor = context(prompt_tokens=100, least_cached=400)
    text = "\n".join(CODE)
    assert [compressor.fit(text).text == text for _ in range(5)] == [True, True, True, False, False]


def printed(seed: int, number: int) -> list[str]:
    """Lines of all sorts, as programs print them."""
    draw = random.Random(seed)
    sorts = [
        "def total_of_{0}(parcel_{1}):",
        "    # parcels of {0} are counted {1} times",
        "    return ledger_{0}[{1}]",
        "        raise ValueError('parcel_{0} of {1}')",
        "import module_{0}",
        "class Kind{0}(Base{1}):",
        "    value_{0} = compute_{1}(day_{0})",
        "ERROR: request_{0} FAILED after {1} s",
        "    self.assertEqual(found_{0}, {1})",
        "",
        "        path/of/some/file_{0}.py",
        "A sentence of prose that says something about number {0}.",
        '    """Keeps parcel {0} of {1}."""',
        "word_{0} " * 60,
    ]
    return [draw.choice(sorts).format(draw.randrange(90), draw.randrange(9)) for _ in range(number)]


@pytest.mark.parametrize(
    ("command", "gaps", "after"),
    [
        ("cat app.py", [2, 3, 4], 1140),
        ("sed -n 1,40p app.py", [2, 3, 2, 4], 1015),
        ("grep -n user_7 app.py", [2, 3, 2, 4], 1015),
        ("pytest -q", [4, 4, 4, 2, 2, 2, 3, 7, 2, 3], 510),
        ("git diff", [2, 4, 2, 3, 2, 4, 2], 835),
        ("python run.py", [4, 2, 4, 2, 2, 3, 7, 2, 3], 543),
        ("make", [4, 2, 4, 2, 2, 3, 7, 2, 3], 543),
    ],
)
def test_which_lines_go_depends_on_the_command_that_printed_them(command, gaps, after) -> None:
    """As it was when this was written: where other lines go, what was measured of it has to be measured again."""
    shown = context().fit("\n".join(printed(1, 90)), query=asked(command))
    assert [int(line[2:-7]) for line in shown.text.split("\n") if line.startswith("[…")] == gaps
    assert (shown.left_out, shown.tokens_before, shown.tokens_after) == (sum(gaps), 1662, after)


def test_lines_are_left_out_of_texts_from_3200_characters_on() -> None:
    lines = [f"{number:04} filler words of no worth" for number in range(120)]
    text = "\n".join(lines)[:3199]
    assert context().fit(text, query=asked("make")).left_out == 0
    assert context().fit(f"{text}x", query=asked("make")).left_out > 50
    assert context(lossless=True).fit(f"{text}x" * 2, query=asked("make")).left_out == 0


def test_of_an_output_the_first_two_lines_and_the_last_four_stay() -> None:
    lines = [f"{number:04} filler words of no worth" for number in range(150)]
    shown = context().fit("\n".join(lines), query=asked("make"))
    assert shown.text.split("\n") == [*lines[:2], "[…144 lines]", *lines[-4:]]


@pytest.mark.parametrize(("dots", "said"), [(11, None), (12, "[5 lines more, as shown above]")])
def test_texts_of_160_characters_refer_to_nothing(dots, said) -> None:
    lines = [f"alpha beta gamma delta {number}" for number in range(6)]
    text = "\n".join(lines) + "." * dots
    assert len(text) == (160 if said is None else 161)
    compressor = context(lossless=True)
    compressor.fit(f"{text}\nmore of it\nand more")
    assert compressor.fit(text).text == (text if said is None else f"{lines[0]}\n{said}")


def test_what_was_run_is_the_first_line_of_the_last_block_or_the_last_line() -> None:
    """It names the text in later references."""
    text = "\n".join(CODE)
    for query, label in (
        ("first\n```bash\ncat one\n```\nthen\n```bash\n\ncat two\nls\n```\nend of it", "shown by: cat two"),
        ("let me see\n\ncat three\n\n", "shown by: cat three"),
        ("cat four", "shown by: cat four"),
        ("", "shown above"),
        ("```\n\n```", "shown above"),
    ):
        compressor = context(lossless=True)
        compressor.fit(text, query=query)
        assert f"as {label}]" in compressor.fit(text).text


def test_texts_stay_as_long_as_nothing_of_the_prompt_is_cached() -> None:
    """The prompt, what is sent and what the model wrote count together, to the token."""

    def shortened(text: str, query: str, prompt: int, least: int) -> list[bool]:
        compressor = context(prompt_tokens=prompt, least_cached=least)
        return [compressor.fit(text, query=query).text != text for _ in range(4)]

    text = "\n".join(f"{line}  " for line in CODE)
    tokens = count(text)
    assert shortened(text, "", 0, 0) == [True] * 4
    assert shortened(text, "", 100, 100) == [True] * 4, "just as long"
    assert shortened(text, "", 100, 101) == [False, True, True, True]
    assert shortened(text, "", 100, 100 + tokens) == [False, True, True, True]
    assert shortened(text, "", 100, 101 + tokens) == [False, False, True, True]
    query = "twenty-eight characters long"
    assert shortened(text, query, 0, tokens + 7) == [False, True, True, True]
    assert shortened(text, query, 0, tokens + 8) == [False, False, True, True]


def test_of_an_envelope_only_what_is_unusual_is_said() -> None:
    def wrapped(inner: str, value: str | None = "5", tag: str = "output") -> str:
        head = "" if value is None else f"<returncode>{value}</returncode>\n"
        return f"{head}<{tag}>\n{inner}\n</{tag}>"

    compressor = context()
    assert compressor.fit(wrapped("one two three four")).text == wrapped("one two three four")
    assert compressor.fit(wrapped("five")).text == "five"
    for value in ("0", "7"):
        assert compressor.fit(wrapped("five six", value)).text == f"[returncode {value}]\nfive six"
        assert compressor.fit(wrapped("", value)).text == f"[returncode {value}]"
    assert compressor.fit(wrapped("")).text == "[no output]"
    other = wrapped("five six", None, "stdout")
    assert compressor.fit(other).text == other, "another envelope is shown once too"
    assert compressor.fit(other).text == "five six"
    assert compressor.fit(wrapped("five six")).text == wrapped("five six")
    two = "<a>\none\n</a>\n<a>\ntwo\n</a>"
    for both in (two, f"<n>5</n>\n{two}"):
        assert [compressor.fit(both).text for _ in range(2)] == [both, both], "two are no envelope"
    assert compressor.fit(wrapped("short")).left_out == 0


def test_a_single_line_is_not_left_out() -> None:
    """A mark would take its place."""
    lines = [f"line {number}" for number in range(9)]
    stay = [True, False, True, False, False, True, False, False, False]
    assert _without(lines, stay) == (
        ["line 0", "line 1", "line 2", "[…2 lines]", "line 5", "[…3 lines]"],
        5,
    )
    assert _without(lines[:4], stay[:4]) == (lines[:4], 0)
    assert _without(lines[:2], [False, False]) == (["[…2 lines]"], 2)
    assert _without([], []) == ([], 0)

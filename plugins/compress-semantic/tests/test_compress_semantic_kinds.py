"""What counts in mails, manuals, talk, diffs and what commands print."""

import re
from time import process_time

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens, text_units
from intendant_compress_semantic import SemanticCompressor
from intendant_compress_semantic._near import nearness
from intendant_compress_semantic._scores import worths
from intendant_compress_semantic._talk import written_down


def shrink(text: str, share: float, *, kind: str, index: bool = True, **more: object) -> str:
    tokens = estimate_tokens(text)
    request = CompressRequest.model_validate(
        {
            "text": text,
            "tokens": tokens,
            "target_tokens": int(share * tokens),
            "count": estimate_tokens,
            "kind": kind,
        }
        | more
    )
    answer = SemanticCompressor({"index": index}).compress(request)
    assert isinstance(answer, Compression)
    assert estimate_tokens(answer.text) <= share * tokens
    return answer.text


def worth(text: str, line: str, *, kind: str, near: float = 0.0) -> float:
    """What the first unit that holds *line* is worth, where each is as near to what is asked."""
    units = text_units(text, kind).units
    found = worths(units, [near] * len(units), frozenset(), 3.0, kind)
    one = found[next(place for place, unit in enumerate(units) if line in unit.text)]
    return one.own + sum(weight for _, weight in one.facts)


FOOTER = (
    "To leave this list, write to the keeper of the list of the club, who reads his mail once in a week or so\n"
)
PLAIN = [
    "we looked at the sails again and they are as they were before",
    "nobody has time this week but perhaps the next one is better",
    "it was a fine evening and the water was calm until it got dark",
    "thanks for all the help with the old shed behind the house",
    "the weather has been what it is and we wait for it to change",
]


def mail(sender: str, subject: str, *lines: str) -> str:
    own = [f"{line}, says {sender.split()[0].lower()}" for line in PLAIN]
    head = f"From: {sender} <{sender.split()[0].lower()}@river.example>\nDate: Mon, 3 Mar 2025 10:00:00 +0000\n"
    return (
        f"{head}Subject: {subject}\n\n" + "\n".join([*lines, *own]) + f"\n\n{FOOTER}\n----- next message -----\n\n"
    )


THREAD = "".join(
    [
        mail("Ann Reed", "The boats", "The pump was sold to Gustav Lindqvist for 310 crowns."),
        mail("Bo Holm", "Re: The boats", "Keys are at https://keys.example/river/7 since Tuesday."),
        mail("Cy Dale", "RE: The boats"),
        mail("Di Moor", "Re: the boats"),
    ]
)


def test_facts_of_a_thread_stand_before_what_its_list_adds_to_each_mail() -> None:
    text = shrink(THREAD, 0.3, kind="mail")
    assert "sold to Gustav Lindqvist for 310 crowns" in text
    assert "https://keys.example/river/7" in text
    assert "To leave this list" not in text


def test_what_a_list_adds_to_each_mail_is_worth_less_than_any_line_of_its_own() -> None:
    assert worth(THREAD, FOOTER[:40], kind="mail") < 0.15 * worth(THREAD, PLAIN[0], kind="mail")


@pytest.mark.parametrize("kind", ["mail", "markdown"])
def test_facts_of_mails_and_manuals_count_more_than_nearness_to_the_question(kind: str) -> None:
    text = (
        THREAD
        if kind == "mail"
        else f"# Boats\n{PLAIN[0]}\nThe pump was sold to Gustav Lindqvist for 310 crowns.\n"
    )
    assert worth(text, "310 crowns", kind=kind) > worth(text, PLAIN[0], kind=kind, near=0.5)


def test_a_subject_is_said_once_and_no_sender_without_what_he_wrote() -> None:
    text = shrink(THREAD, 0.3, kind="mail")
    assert len(re.findall("(?i)the boats", text)) == 1
    assert not re.search(r"^From: .*\n(?:From: |\[)", text, re.MULTILINE)


def test_a_sender_asked_for_by_address_is_kept() -> None:
    assert "cy@river.example" in shrink(THREAD, 0.3, kind="mail", query="Is cy@river.example on the list?")


def test_what_is_protected_in_a_header_is_kept() -> None:
    assert "Di Moor" in shrink(THREAD, 0.3, kind="mail", protect=(r"Di Moor",))


MANUAL = "# Pumps\n\n" + "\n".join(
    f"Open the valve of pump {name} slowly, wait until the hand of the dial rests, and close it. "
    f"The makers, {name} Marine Works, tell more at https://pumps.example/{name.lower()}/valves."
    for name in ("Aldra", "Borel", "Cassin", "Dorado", "Elvas", "Fermo", "Gorda", "Hestia")
)


GUESTS = [
    f"{first} {last}"
    for first in ("Rosa", "Igor", "Mina", "Olof")
    for last in ("Alvarez", "Petrov", "Lind", "Okoye")
]


@pytest.mark.parametrize("kind", ["markdown", "mail"])
def test_what_is_left_out_is_named(kind: str) -> None:
    guests = [
        f"it may well be that {guest} comes along, if there is enough room left in the boat" for guest in GUESTS
    ]
    text = MANUAL if kind == "markdown" else THREAD + mail("Ed Fox", "Guests", *guests)
    said = shrink(text, 0.3, kind=kind)
    index = re.search(r"\[named there: (.*)\]\n\[\d+ of \d+ lines left out\]$", said)
    assert "named there" not in shrink(text, 0.3, kind=kind, index=False)
    assert index
    named = index[1].split(", ")
    body = said[: index.start()]
    assert all(name in text and name not in body for name in named), "they are names of what is missing"
    assert len(named) == len(set(named)) > 1


def test_where_nothing_is_named_there_is_no_index_and_no_room_for_one() -> None:
    text = "# Boats\n\n" + "\n".join(PLAIN * 8)
    assert shrink(text, 0.3, kind="markdown") == shrink(text, 0.3, kind="markdown", index=False)


def test_changed_lines_of_a_diff_count_alike_whatever_is_in_them() -> None:
    rich, plain = "+    setUp(Big.Name, 'https://host.example/x', 2.5, MAX_1)", "+    return the one as it was"
    text = f"diff --git a/m.py b/m.py\n@@ -1,4 +1,6 @@\n{rich}\n{plain}\n     same\n"
    assert worth(text, rich, kind="diff") == worth(text, plain, kind="diff") > worth(text, "same", kind="diff")


def test_each_failure_that_a_command_prints_counts() -> None:
    """The tenth test that failed is another fact than the first, though the lines are alike."""
    lines = [f"tests/test_case_{n}.py::test_it FAILED" for n in range(10)] + [
        f"wrote {n} files" for n in range(10)
    ]
    text = "\n".join(lines)
    assert worth(text, lines[9], kind="shell") > 0.5 * worth(text, lines[0], kind="shell")
    assert worth(text, lines[19], kind="shell") < 0.5 * worth(text, lines[10], kind="shell")


# --- talk ---


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("A: Um , the the price is uh twelve . {vocalsound}\n", "A: the price is twelve.\n"),
        ("A: {disfmarker} Mm-hmm .\n", "A: Mm-hmm.\n"),
        ("A: {vocalsound} .\nB: No , no , no .\n", "B: No.\n"),
        ("A: [laughter] I I'd go . Hmm . Er , why ?\n", "A: I I'd go. why?\n"),
        ("A: The umbrella hummed at error 404 .\n", "A: The umbrella hummed at error 404.\n"),
        ("A: see {name} and [note 3]\n", "A: see and [note 3]\n"),
    ],
)
def test_talk_is_written_down_without_what_says_nothing(said: str, written: str) -> None:
    assert written_down(said) == written


SAID = st.lists(
    st.sampled_from(
        ["um", "uh", "mm", "hmm", "er", "not", "never", "12", "3.5", "price", "Price", "it's", "the", ","]
    ),
    min_size=1,
    max_size=30,
)


@given(SAID)
def test_no_word_of_a_talk_is_lost_or_made_up(said: list[str]) -> None:
    """But hesitations, and what is said twice in a row."""
    words = [word.casefold() for word in said if word not in ("um", "uh", "mm", "hmm", "er", ",")]
    once = [word for place, word in enumerate(words) if place == 0 or words[place - 1] != word]
    found = [word.casefold() for word in re.findall(r"[\w.']+", written_down(f"A: {' '.join(said)} .\n"))][1:]
    again = [word.strip(".") for word in found if word.strip(".")]
    left = [word for place, word in enumerate(again) if place == 0 or again[place - 1] != word]
    assert left == once


@pytest.mark.parametrize(
    "text",
    [" " * 300_000, "{a" * 150_000, "h" * 300_000, "A." * 150_000, "no, " * 80_000, "[" * 300_000, "m-" * 150_000],
)
def test_hostile_talk_takes_no_longer_than_its_length(text: str) -> None:
    begin = process_time()
    written_down(f"A: {text}\nB: {text}\n")
    assert process_time() - begin < 3


TALK = (
    [
        f"Ann: We had tea and talked about the garden of {name} for a while ."
        for name in ("Ed", "Flo", "Gus", "Hal", "Ida")
    ]
    + [
        "Bob: Now the battery of the remote .",
        "Ann: Yeah .",
        "Bob: It lasts two years with kinetic charging .",
        "Ann: Or .",
    ]
    + [
        f"Ann: Then we walked along the beach near {name} until evening ."
        for name in ("Ayr", "Bray", "Cork", "Deal", "Ely")
    ]
)


def test_what_is_said_around_a_subject_belongs_to_it_and_short_turns_say_little() -> None:
    kept = shrink("\n".join(TALK), 0.3, kind="transcript", query="What about the battery?")
    assert "battery of the remote" in kept
    assert "two years with kinetic charging" in kept
    assert "Or." not in kept
    assert not re.search(r"^\w+: *$", kept, re.MULTILINE), "no speaker without what he said"


def test_a_subject_is_talked_about_for_a_while() -> None:
    units = text_units("\n".join(TALK), "transcript").units
    near = nearness(units, "What about the battery?", story=True, spoken=True)
    place = next(place for place, unit in enumerate(units) if "battery" in unit.text)
    assert near[place] > near[place + 6] > near[place + 10]
    assert near[place - 6] > 10 * near[0]


def test_short_turns_say_little() -> None:
    talk = "\n".join(TALK)
    assert worth(talk, "Or .", kind="transcript", near=1) < 0.25 * worth(
        talk, "It lasts", kind="transcript", near=1
    )


def test_talk_that_is_protected_stands_as_it_was_said() -> None:
    talk = "\n".join([*TALK, "Bob: Uh , we we sign , um , today ."])
    assert "we we sign , um , today" in shrink(talk, 0.4, kind="transcript", protect=(r"we we sign , um , today",))

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant import RunResult
from intendant.plugin import (
    Hold,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepRequest,
    StepResult,
    estimate_tokens,
)
from intendant.testing import ProviderContract, run_steps
from intendant_provider_extractive import ExtractiveProvider
from intendant_provider_extractive._rank import Ranking, centrality, rarity
from intendant_provider_extractive._units import units

REPORT = """
The migration of the billing service began on Monday. The team moved 14 of 16 tables during the first night.
Some people had pizza. The weather was fine. Two tables could not be moved because the disk was full.
The billing service was not available for 40 minutes on Tuesday morning.
It was decided to add a second disk before Friday, and Ada Lovelace will order it.
Lunch was good. Somebody brought a cake. The billing service migration continues on Friday with the last two tables.
"""
RECORDS = [
    {"id": n, "state": "open" if n % 4 else "closed", "total": n * 1.5, "owner": {"name": f"user{n % 2}"}}
    for n in range(40)
]


class TestExtractiveProvider(ProviderContract):
    plugin = ExtractiveProvider
    entry_point = "extractive"

    request = ModelRequest(messages=(Message(content="."),), source=RECORDS, task="summarize")


async def ask(
    source: Any,
    prompt: str = "",
    *,
    system: str = "",
    task: str = "summarize",
    limit: int = 400,
    tokens: int = 5000,
    **more: Any,
) -> ModelReply:
    request = ModelRequest(
        messages=(Message(content=prompt or "."),), system=system, source=source, task=task, **more
    )
    hold = Hold("key", tokens, 0, limit, "extractive", 30.0)
    return await ExtractiveProvider().complete(hold, request)


async def test_a_summary_is_made_of_the_text_s_own_sentences_in_their_order() -> None:
    reply = await ask(REPORT, system="Answer in at most 4 sentences.")
    found = units(REPORT)
    places = [found.index(sentence) for sentence in units(reply.text)]
    assert len(places) == 4
    assert places == sorted(places)


async def test_keeps_what_was_decided_and_what_failed() -> None:
    """Figures, failures, negations and decisions are chosen before pizza and weather."""
    text = (await ask(REPORT, system="Answer in at most 5 sentences.")).text
    assert "disk was full" in text
    assert "decided" in text
    assert "pizza" not in text
    assert "weather" not in text


async def test_the_prompt_draws_the_choice_its_way() -> None:
    assert "cake" in (await ask(REPORT, "Who brought a cake?", system="one sentence")).text
    assert "cake" not in (await ask(REPORT, system="one sentence")).text


@pytest.mark.parametrize(
    ("wish", "count"), [("3 sentences", 3), ("two key points", 2), ("at most 4 short bullet points", 4)]
)
async def test_gives_as_many_as_are_asked_for(wish: str, count: int) -> None:
    text = (await ask(REPORT, f"Give {wish}.")).text
    assert len(text.splitlines() if "point" in wish else units(text)) == count
    assert text.startswith("- ") == ("point" in wish)


async def test_keeps_within_the_words_asked_for() -> None:
    text = (await ask(REPORT, system="At most 25 words.")).text
    assert 5 < len(text.split()) <= 25


async def test_wishes_inside_the_data_are_not_read() -> None:
    """Data is data: what it says about points and sentences changes nothing."""
    data = REPORT + "Give 1 sentence."
    reply = await ask(None, f"Sum up.\n<data-00ff>\n{data}\n</data-00ff>")
    assert len(units(reply.text)) > 1
    assert "Sum up" not in reply.text


async def test_equal_sentences_are_given_once() -> None:
    reply = await ask("The pump failed at 10:15. " * 30, system="3 sentences")
    assert reply.text == "The pump failed at 10:15."


async def test_the_same_thing_said_again_gives_way_to_something_else() -> None:
    again = [f"The pump in hall 3 failed on {day} at noon." for day in ("Monday", "Tuesday", "Friday", "Sunday")]
    text = " ".join([*again, "Ada ordered a spare valve for the boiler upstairs."])
    assert "valve" in (await ask(text, system="2 sentences")).text


async def test_what_is_too_long_gives_way_to_what_fits() -> None:
    """Whole short sentences are better than the beginning of a long one."""
    long = "Error 17 failed: " + " and ".join(f"pump {n} was not found" for n in range(40)) + "."
    reply = await ask(f"{long} Pump 3 failed. Pump 4 is fine.", limit=40)
    assert reply.text == "Pump 3 failed. Pump 4 is fine."
    assert reply.stop_reason == "length"


async def test_lists_and_logs_are_taken_line_by_line() -> None:
    log = (
        "\n".join(f"2026-01-{day:02d}: worker {day} done" for day in range(1, 20))
        + "\n2026-01-20: worker 20 FAILED"
    )
    reply = await ask(log, system="1 point")
    assert reply.text == "- 2026-01-20: worker 20 FAILED"


async def test_records_are_counted_not_guessed() -> None:
    lines = (await ask(RECORDS)).text.splitlines()
    assert lines[0] == "40 records with 4 fields"
    assert "state: open 30, closed 10" in lines
    assert f"total: 0 to 58.5, sum {sum(n * 1.5 for n in range(40)):g}, mean 29.25" in lines
    assert "owner.name: user0 20, user1 20" in lines
    assert "id: 0 to 39, 40 different" in lines, "ids are not summed"


async def test_records_with_missing_values_say_so() -> None:
    lines = (await ask([{"a": 1}, {"a": None}, {"b": True}, {"a": 3}])).text.splitlines()
    assert "a: 1 to 3, sum 4, mean 2, missing in 2" in lines
    assert "b: true, missing in 3" in lines


async def test_figures_too_large_to_be_added_have_their_range() -> None:
    for values in ([10**400, 1, 2.5], [1e308, 1e308, 1.0], [10**400, 1e308, 2]):
        (line,) = [
            line for line in (await ask([{"n": value} for value in values])).text.splitlines() if "n:" in line
        ]
        assert "sum" not in line
        assert " to " in line


async def test_records_as_json_text_are_read_as_records() -> None:
    assert (await ask(json.dumps({"rows": RECORDS, "next": None}))).text.startswith("40 records")


async def test_prose_in_records_is_summarised_by_its_sentences() -> None:
    mails = [{"from": "a@example.org", "body": REPORT}, {"from": "b@example.org", "body": REPORT}]
    text = (await ask(mails, system="3 sentences")).text
    assert text.startswith("2 records with 2 fields")
    assert text.count("decided") == 1


async def test_generate_writes_data_into_the_plain_template() -> None:
    text = (await ask([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}], "Write a list", task="generate")).text
    assert text == "2 records:\n- id: 1 · name: Ada\n- id: 2 · name: Bo"


async def test_generate_says_how_much_did_not_fit() -> None:
    reply = await ask(RECORDS, task="generate", limit=100)
    shown = reply.text.count("\n- ")
    assert reply.text.endswith(f"({40 - shown} more records do not fit)")
    assert (reply.stop_reason, 0 < shown < 40) == ("length", True)


@pytest.mark.parametrize(
    ("task", "source", "schema"),
    [
        ("generate", None, None),
        ("classify", REPORT, None),
        ("", REPORT, None),
        ("summarize", REPORT, {"type": "object"}),
    ],
)
async def test_refuses_what_needs_a_language_model(task: str, source: Any, schema: Any) -> None:
    """The refusal says what to do, and charges nothing."""
    with pytest.raises(ProviderError, match="language model") as caught:
        await ask(source, "Write a poem", task=task, json_schema=schema)
    assert "ANTHROPIC_API_KEY" in caught.value.hint
    assert (caught.value.billed, caught.value.retryable) == (False, False)


async def test_every_answer_is_labelled() -> None:
    reply = await ask(REPORT)
    assert (reply.produced_by, reply.provider, reply.model) == ("extractive", "extractive", "extractive")
    assert not ExtractiveProvider.charges
    assert ExtractiveProvider.rank == 100


async def test_an_answer_that_was_cut_says_so() -> None:
    reply = await ask(REPORT, system="10 sentences", limit=60)
    assert reply.stop_reason == "length"
    assert 0 < reply.usage.output_tokens <= 60
    assert (await ask(REPORT, system="2 sentences")).stop_reason == "end"


async def test_a_sentence_too_long_for_the_limit_is_cut_between_words() -> None:
    reply = await ask("All " + "work and no play makes Jack a dull boy and so on " * 20, limit=30)
    assert reply.text.endswith(" …")
    assert f" {reply.text.removesuffix(' …').split()[-1]} " in " work and no play makes Jack a dull boy and so on "


SOURCES = st.one_of(
    st.text(max_size=400),
    st.lists(st.text(max_size=60), max_size=8),
    st.lists(
        st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(), st.text(max_size=90)), max_size=4)
    ),
    st.dictionaries(st.text(max_size=8), st.one_of(st.floats(), st.text(max_size=60))),
)


@given(
    SOURCES,
    st.integers(1, 200),
    st.sampled_from(["summarize", "generate"]),
    st.sampled_from(["", "7 points", "9 words"]),
)
async def test_never_spends_more_than_was_set_aside(source: Any, limit: int, task: str, wish: str) -> None:
    """Whatever the data, the answer and the input are within the hold, and counted by the engine's own rule."""
    if task == "generate" and not source:
        return
    reply = await ask(source, f"Please do: {wish}", task=task, limit=limit, tokens=limit + 3)
    assert reply.usage.output_tokens == estimate_tokens(reply.text) <= limit
    assert 0 <= reply.usage.input_tokens <= 3


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "text",
    [
        "word " * 500_000,
        "x" * 1_000_000,
        "It is 5. No! " * 60_000,
        "[" * 100_000,
        "<data>" * 100_000,
        "a\ud800b. " * 1000,
    ],
    ids=["one line", "one word", "many sentences", "brackets", "marks", "lone surrogates"],
)
async def test_hostile_text_is_answered(text: str) -> None:
    reply = await ask(None, text, limit=50)
    assert reply.usage.output_tokens <= 50
    reply.text.encode()


async def test_says_how_much_of_a_very_long_text_was_not_read() -> None:
    text = "\n".join(f"- item number {n}" for n in range(20_500))
    reply = await ask(text, system="3 sentences")
    assert "500 were not read" in reply.text
    assert reply.notes == ("only the first 20000 sentences were read; 500 were not",)
    assert (await ask(text, task="generate")).notes == reply.notes
    assert (await ask("\n".join(text.splitlines()[:100]))).notes == ()


MAILS = [
    (
        "ada@x.example",
        "The pump in hall three failed on Monday. I want a refund of 64.90 EUR.\nBest wishes\nLoom & Sons, Malmö",
    ),
    (
        "bo@y.example",
        "still nothing has come since 2 November. If order 10377 is not here on Friday I call my bank.",
    ),
    ("cy@z.example", "the lid does not fit and tea is everywhere\nsent from my phone"),
]


def owners(text: str) -> dict[str, str]:
    """What an answer says of whom: the text after each address, up to the next."""
    pieces = re.split(r"(\S+@\S+?)(?: \([^)]*\))?: ", text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


@pytest.mark.parametrize(
    "source",
    [
        "\n".join(f"{sender} (Order {len(text)}): {text}" for sender, text in MAILS),
        "\n".join(f"{sender}: {text}" for sender, text in MAILS),
        "\n\n".join(f"{sender}:  {text}" for sender, text in MAILS),
        [f"{sender}: {text}" for sender, text in MAILS],
        [{"from": sender, "text": text} for sender, text in MAILS],
        [{"text": text, "from_address": sender, "n": len(text)} for sender, text in MAILS],
    ],
    ids=["titles", "lines", "paragraphs", "list", "records", "other records"],
)
@pytest.mark.parametrize("wish", ["12 points", "12 sentences", "4 points", "3 sentences"])
async def test_no_sentence_is_given_to_another_record(source: Any, wish: str) -> None:
    """Whatever is chosen of a mail stands behind its sender, and nothing of another one does."""
    said = owners((await ask(source, system=wish)).text)
    assert said
    for sender, text in MAILS:
        words = set(re.findall(r"\w+", text))
        assert set(re.findall(r"\w+", said.get(sender, ""))) <= words, sender


@pytest.mark.parametrize("wish", ["9 sentences", "9 points"])
async def test_texts_of_a_list_are_not_run_together(wish: str) -> None:
    texts = [
        "We ordered a pump on Monday.",
        "it never came and we are angry about that.",
        "Nobody called us on Friday.",
    ]
    lines = (await ask(texts, system=wish)).text.splitlines()
    assert [line.removeprefix("- ") for line in lines] == texts


async def test_a_name_owns_its_paragraph() -> None:
    text = "Ada Lovelace: The first engine failed. It was not repaired.\n\nNobody said anything about the 3 pumps."
    reply = await ask(text, "What was not repaired?", system="1 sentence")
    assert reply.text == "Ada Lovelace: It was not repaired."
    reply = await ask(text, "Who said anything about pumps?", system="1 sentence")
    assert reply.text == "Nobody said anything about the 3 pumps."


async def test_records_without_a_name_are_counted() -> None:
    texts = [
        f"The long report number {n} says that {n * 7} pumps were lost and {n} were not found again."
        for n in (1, 2)
    ]
    lines = (await ask([{"body": text} for text in texts], system="3 points")).text.splitlines()
    assert lines[1:] == [f"- record {n}: {text}" for n, text in enumerate(texts, 1)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("unit", ["a@b", "A: ", "A B C D E: ", "@", "a@b (", "A.", "x: \n", "A@b: c\n"])
async def test_owners_are_found_in_linear_time(unit: str) -> None:
    assert (await ask(unit * (300_000 // len(unit)), limit=50)).usage.output_tokens <= 50


def test_centrality_is_that_of_the_graph_of_cosines() -> None:
    """The sparse form agrees with PageRank on the full matrix of cosines."""
    rows = Ranking(["cats like warm milk", "dogs like warm bones", "milk is warm", "planes fly"])._rows
    terms = 1 + max(term for row in rows for term in row)
    cosine = [[sum(one.get(t, 0) * other.get(t, 0) for t in range(terms)) for other in rows] for one in rows]
    rank = [0.25] * 4
    for _ in range(25):
        rank = [0.15 / 4 + 0.85 * sum(cosine[j][i] / sum(cosine[j]) * rank[j] for j in range(4)) for i in range(4)]
    assert centrality(rows, terms) == pytest.approx(rank)
    assert sum(rank) == pytest.approx(1)


async def test_the_odd_lines_of_a_log_are_told_and_not_the_usual_ones() -> None:
    """Whatever their words: usual lines are many, and the same but for their figures."""
    lines = [
        f"2026-05-04T10:{n // 60:02d}:{n % 60:02d}Z pump {n % 5} pressure {3 + n % 7 / 10} bar" for n in range(600)
    ]
    odd = {77: "Z pump 3 valve stuck at 40 %", 310: "Z shift changed, Okafor on duty", 555: "Z mains supply gone"}
    for at, text in odd.items():
        lines[at] = lines[at].partition("Z")[0] + text
    reply = await ask("\n".join(lines), "What happened?", system="4 points")
    assert [line for line in reply.text.splitlines() if "pressure" not in line] == [f"- {lines[at]}" for at in odd]


def test_only_what_is_the_same_again_and_again_has_odd_units() -> None:
    prose = [
        f"{word} tells of another thing {n} times." for n, word in enumerate("abcdefghijklmnopqrstuvwxyz" * 2)
    ]
    assert set(rarity([f"{n % 26}{line}" for n, line in enumerate(prose)])) == {0.0}
    assert set(rarity(["tick 1"] * 29)) == {0.0}
    assert rarity([*(f"tick {n}" for n in range(40)), "tock"])[-2:] == [pytest.approx(0.0066, abs=0.001), 1.0]


def test_hard_wrapped_lines_are_joined_and_list_items_are_not() -> None:
    text = "This sentence was wrapped by an editor because it was\nlonger than a line. Next one.\n\n# Head\n- one\n- two\n"
    assert units(text) == [
        "This sentence was wrapped by an editor because it was longer than a line.",
        "Next one.",
        "Head",
        "one",
        "two",
    ]


def test_importing_it_does_not_import_the_sentence_splitter() -> None:
    code = "import sys, intendant_provider_extractive; sys.exit('sentencex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Gist(IntentHandler):
    """Asks for a summary in three sentences."""

    spec = IntentSpec(name="gist", summary="Give the gist", examples=("a", "b", "c", "d", "e"))

    async def handle(self, request: StepRequest) -> StepResult:
        text = (await request.model.fit(request.input)).text
        question = Message(content=f"<data-00ff>{text}</data-00ff>")
        wish = ModelRequest(messages=(question,), system="3 sentences", source=text, task="summarize")
        return StepResult(output=(await request.model.complete(wish)).text)


async def run() -> RunResult:
    from intendant.testing import OnlyTier

    class Everywhere(OnlyTier):
        """The tier that the provider stands in for."""

        name = "fast"

    step = {"id": "a", "intent": "gist", "input": REPORT}
    return await run_steps([step], Gist(), ExtractiveProvider(), Everywhere(), budget={"tokens_per_step": 500})


async def test_a_step_is_labelled_and_costs_no_tokens_and_no_money() -> None:
    outcome = (await run()).steps["a"]
    assert outcome.failure is None
    assert outcome.produced_by == "extractive"
    assert len(units(str(outcome.output))) == 3
    assert outcome.usage.tokens == 0
    assert (outcome.usage.micro_usd, outcome.usage.calls) == (0, 1)


def test_no_word_of_an_answer_is_its_own() -> None:
    """Each word of a text's summary stands in the text."""
    import asyncio

    text = asyncio.run(ask(REPORT, system="5 sentences")).text
    assert set(re.findall(r"\w+", text)) <= set(re.findall(r"\w+", REPORT))

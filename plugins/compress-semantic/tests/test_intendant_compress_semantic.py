import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import (
    Compression,
    CompressionPolicy,
    CompressRequest,
    IntentHandler,
    IntentSpec,
    StepRequest,
    StepResult,
    TextUnit,
    estimate_tokens,
    text_units,
)
from intendant.testing import CompressorContract, ScriptedProvider, run_steps
from intendant_compress_semantic import SemanticCompressor
from intendant_compress_semantic._near import nearness


class TestSemanticCompressor(CompressorContract):
    plugin = SemanticCompressor
    entry_point = "semantic"


def shrink(text: str, target: int, *, made: SemanticCompressor | None = None, **more: Any) -> Compression | None:
    request = CompressRequest(
        text=text, tokens=estimate_tokens(text), target_tokens=target, count=estimate_tokens, **more
    )
    answer = (made or SemanticCompressor()).compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


FILLER = [
    f"The garden was visited by people who liked its flowers on day {word}." for word in "abcdefghijklmnopqrst"
]
PROSE = " ".join(
    [
        *FILLER[:8],
        "The invoice was not paid.",
        *FILLER[8:15],
        "The old mill is owned by Ada Lovelace.",
        *FILLER[15:],
    ]
)
LOG = [f"2026-01-02 03:04:{n:02d} INFO worker-{n % 3} finished job {n}" for n in range(60)]
RECORDS = [{"id": n, "state": "open", "owner": f"user{n % 9}"} for n in range(50)]


def test_keeps_what_the_question_is_about() -> None:
    answer = shrink(PROSE, 60, query="Who owns the mill?", kind="prose")
    assert answer is not None
    assert "The old mill is owned by Ada Lovelace." in answer.text
    assert answer.text.endswith(" sentences left out]")
    assert answer.dropped[0].endswith(" of 22 sentences")


def test_without_a_question_it_keeps_what_carries_facts() -> None:
    answer = shrink(PROSE, 50, kind="prose")
    assert answer is not None
    assert "not paid" in answer.text


def test_errors_survive_in_logs() -> None:
    lines = [*LOG[:30], "2026-01-02 03:04:30 ERROR disk full", *LOG[31:]]
    answer = shrink("\n".join(lines), 120, kind="log")
    assert answer is not None
    kept = answer.text.split("\n")
    assert "2026-01-02 03:04:30 ERROR disk full" in kept
    assert [line for line in lines if line in kept] == kept[:-1], "in their order, as they stood"
    assert kept[-1] == f"[{60 - (len(kept) - 1)} of 60 lines left out]"


def test_lists_keep_whole_records_and_stay_json() -> None:
    answer = shrink(json.dumps(RECORDS), 100, kind="json", query="What does user4 have?")
    assert answer is not None
    kept = json.loads(answer.text)
    assert all(record in RECORDS for record in kept)
    assert {record["owner"] for record in kept[:3]} == {"user4"}
    assert answer.dropped == (f"{50 - len(kept)} of 50 values",)


def test_what_stands_around_a_list_is_kept() -> None:
    page = {"page": 1, "rows": RECORDS, "next": None}
    answer = shrink(json.dumps(page), 120, kind="json")
    assert answer is not None
    found = json.loads(answer.text)
    assert (list(found), found["page"], found["next"]) == (["page", "rows", "next"], 1, None)
    assert 0 < len(found["rows"]) < 50


def test_figures_that_a_float_cannot_hold_are_not_rewritten() -> None:
    records = [f'{{"id":{n},"x":0.10000000000000000{n:03d}}}' for n in range(100, 160)]
    answer = shrink(f"[{','.join(records)}]", 80, kind="json")
    assert answer is None or "0.1," not in answer.text


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ('60 rows\nall: {"a":1}\nid,name\n', "text"),
        ('{"next":null,"rows":[]} at rows\n60 rows\nid,name\n', "text"),
        ("(folded lines: as it says)\nA: job {} is done by {}\n\n", "text"),
        ("A = {login,id}\nB = {sha}\n60 rows\nid,name\n", "text"),
        ("(a tree, its lines left out: a blank more is one level deeper)\n", "text"),
        ("id,name\n", "table"),
    ],
)
def test_heads_that_explain_the_rest_are_always_kept(head: str, kind: str) -> None:
    text = head + "\n".join(f"{n},user{n % 9}" for n in range(60))
    answer = shrink(text, 90, kind=kind, query="user4")
    assert answer is not None
    assert answer.text.startswith(head)
    assert set(range(4, 60, 9)) <= {
        int(row.split(",")[0]) for row in answer.text.split("\n") if row.endswith(",user4")
    }
    assert answer.text.endswith("left out]")


def test_the_mark_can_be_left_away() -> None:
    answer = shrink("\n".join(LOG), 120, made=SemanticCompressor({"mark": False}), kind="log")
    assert answer is not None
    assert set(answer.text.split("\n")) <= {*LOG, ""}


def test_neighbours_of_an_answer_are_preferred() -> None:
    """The sentence after the one that has the question's words may be the answer."""
    text = " ".join([*FILLER[:5], "Who broke the vase is known.", "It was the cat of the house.", *FILLER[5:10]])
    answer = shrink(text, 40, query="Who broke the vase?", kind="prose")
    assert answer is not None
    assert "It was the cat of the house." in answer.text


def test_the_first_of_a_kind_is_worth_more_than_the_next() -> None:
    """A line whose like has not been seen before wins over the fortieth of its shape, though both have figures."""
    lines = [f"job {n} took {n} ms" for n in range(40)]
    lines.insert(35, "day 7 was wet and cold")
    answer = shrink("\n".join(lines), 60, kind="log")
    assert answer is not None
    assert "day 7 was wet and cold" in answer.text.split("\n")


def test_a_counter_by_which_parts_do_not_add_up_is_obeyed() -> None:
    """The whole is counted before it is used; where it is more than its parts, less is kept."""

    def count(text: str) -> int:
        return round(len(text) ** 1.3 / 10)

    text = "\n".join(LOG)
    request = CompressRequest(text=text, tokens=count(text), target_tokens=300, count=count, kind="log")
    answer = SemanticCompressor().compress(request)
    assert answer is None or count(answer.text) <= 300


def test_bm25_prefers_rare_words_and_short_units() -> None:
    """Robertson and Zaragoza's formula: rarity first, then density."""
    texts = ["the pump and the valve", "the valve", "the valve of a pipe", "a tank"]
    near = nearness([TextUnit(text) for text in texts], "pump valve", story=False)
    assert near[0] == 1.0
    assert near[0] > near[1] > near[2] > near[3] == 0.0


def test_declines_what_fits_and_what_it_can_keep_nothing_of() -> None:
    assert shrink(PROSE, 10_000) is None
    assert shrink("word " * 500, 5) is None


UNITS = st.lists(
    st.sampled_from(
        [*FILLER[:4], *LOG[:4], "", "- item", "Dr. No is here!", "数据。处理。", "x" * 700, "A: b", "12 rows"]
    ),
    max_size=25,
)


@given(
    UNITS, st.sampled_from(["\n", " "]), st.integers(0, 300), st.sampled_from(["prose", "log", "text", "table"])
)
def test_never_above_the_target_and_nothing_made_up(units: list[str], joint: str, target: int, kind: str) -> None:
    text = joint.join(units)
    answer = shrink(text, target, kind=kind, query="garden worker")
    if answer is not None:
        assert answer.tokens_after == estimate_tokens(answer.text) <= target
        body = answer.text.rpartition("[")[0]
        assert set(body.split()) <= {
            piece for unit in text_units(text, kind).units for piece in unit.text.split()
        } | set(text.split())
        assert 0 <= answer.quality <= 1


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=9), max_size=3), max_size=20),
    st.integers(0, 120),
)
def test_json_stays_json_with_records_in_their_order(records: list[dict[str, Any]], target: int) -> None:
    answer = shrink(json.dumps(records), target, kind="json")
    if answer is not None:
        rest = iter(records)
        assert answer.tokens_after <= target
        assert all(any(record == other for other in rest) for record in json.loads(answer.text))


@pytest.mark.parametrize(
    "text", ["A b. C d! E f? ", "Dr. No e.g. J. Bond.", "一。二。三", "a\n\n\nb\n", "x " * 2000, ""]
)
@pytest.mark.parametrize("kind", ["prose", "log", "table"])
def test_units_joined_are_the_text_again(text: str, kind: str) -> None:
    content = text_units(text, kind)
    assert content.written(range(len(content))) == text


def test_abbreviations_end_no_sentence() -> None:
    units = text_units("Dr. No met J. Bond, e.g. in Fig. 2. They left.", "prose").units
    assert [unit.text for unit in units] == ["Dr. No met J. Bond, e.g. in Fig. 2. ", "They left."]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 300_000,
        "word " * 60_000,
        "[" * 300_000,
        "ab\n" * 40_000,
        json.dumps([{"a": "\ud800"}] * 9000),
        ". " * 60_000,
        "a_" * 100_000,
    ],
    ids=["one word", "one line", "brackets", "short lines", "lone surrogates", "full stops", "identifiers"],
)
def test_hostile_content_is_survived(text: str) -> None:
    answer = shrink(text, 200, query="word")
    assert answer is None or answer.tokens_after <= 200


FIGURES = [
    f"The pump in hall {n} of the old works by the river was seen to run at {n * 13} bars." for n in range(1, 41)
]
SHORT = "; ".join(f"The hall {n}: {n * 13}" for n in range(1, 41))


class Digest(IntentHandler):
    """Gives its input, fitted."""

    spec = IntentSpec(
        name="digest",
        summary="Digest",
        examples=("Digest",),
        compression=CompressionPolicy(floor=0.9, abstractive=True),
    )

    async def handle(self, request: StepRequest) -> StepResult:
        fitted = await request.model.fit(request.input, share=0.12)
        return StepResult(output={"text": fitted.text, "spent": fitted.spent, "saved": fitted.saved})


@pytest.mark.parametrize(("said", "taken"), [(SHORT, True), ("There are pumps.", False)])
async def test_a_model_may_rewrite_what_selecting_would_lose(said: str, taken: bool) -> None:
    """Its words are checked as any other's are; what it took counts against what it saved."""
    provider = ScriptedProvider(said)
    result = await run_steps(
        [{"id": "a", "intent": "digest", "input": " ".join(FIGURES)}],
        Digest(),
        SemanticCompressor(),
        provider,
        budget={"tokens_per_workflow": 4000},
    )
    assert result.status == "completed", result.failures
    output = result.steps["a"].output
    assert len(provider.calls) == 1
    asked = provider.calls[0][1]
    assert asked.messages[0].content == " ".join(FIGURES)
    assert "letter by letter" in asked.system
    assert (output["text"] == SHORT) is taken
    assert (output["spent"] == result.metrics.tokens_used) is taken
    if taken:
        assert output["saved"] == result.metrics.tokens_saved < 0, "one reading of it does not pay"


async def test_without_leave_no_model_is_asked() -> None:
    provider = ScriptedProvider(SHORT)

    class Plain(Digest):
        """Allows no model."""

        spec = Digest.spec.model_copy(update={"compression": CompressionPolicy(floor=0.9)})

    step = {"id": "a", "intent": "digest", "input": " ".join(FIGURES)}
    await run_steps([step], Plain(), SemanticCompressor(), provider, budget={"tokens_per_workflow": 4000})
    assert not provider.calls

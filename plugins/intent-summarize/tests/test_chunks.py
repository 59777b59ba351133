"""Long input is read in chunks within the budget, and what is claimed of it is checked and cited."""

import asyncio
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant import RunResult, Workflow, WorkflowError
from intendant.plugin import Compression, Compressor, CompressRequest, Hold, ModelReply, ModelRequest
from intendant.testing import ScriptedProvider, engine, run_steps
from intendant_intent_summarize import SummarizeHandler
from intendant_intent_summarize._grounds import Grounds
from intendant_intent_summarize._source import source_of

CODES = re.compile(r"E-\d+")


def log_of(lines: int, every: int = 500) -> str:
    """A log in which every so many lines one reports an error of its own."""
    return "".join(
        f"2026-11-01 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} "
        + (f"ERROR job E-{n} failed on host-{n % 7}\n" if n % every == 0 else f"INFO job {n} done\n")
        for n in range(1, lines + 1)
    )


def data_of(request: ModelRequest) -> str:
    return re.search(r"<(data-\w+)>\n(.*)\n</\1>", request.messages[0].content, re.DOTALL)[2]


def reader(request: ModelRequest) -> str:
    """A model that reports the errors of a part, and joins points by copying them with their numbers."""
    data = data_of(request)
    if "This is part" not in request.messages[0].content:
        found = re.findall(r"^(\[\d+\]) \(.*?\) (.*)$", data, re.MULTILINE)
        return "\n".join(f"- {text} {mark}" for mark, text in found) or data
    points = [{"text": f"Job {code} failed.", "quote": f"job {code} failed"} for code in CODES.findall(data)]
    return json.dumps({"points": points[:8]})


async def run(
    value: Any,
    answer: Callable[[ModelRequest], str | ModelReply] = reader,
    *,
    tokens: int = 100_000,
    settings: dict[str, Any] | None = None,
    **step: Any,
) -> tuple[RunResult, ScriptedProvider]:
    provider = ScriptedProvider(answer)
    result = await run_steps(
        [{"id": "a", "intent": "summarize", "input": "{{ inputs.value }}", **step}],
        SummarizeHandler(),
        provider,
        inputs={"value": value},
        budget={"tokens_per_workflow": tokens},
        **(settings or {}),
    )
    return result, provider


def maps_of(provider: ScriptedProvider) -> list[ModelRequest]:
    """The first questions about chunks, in the order of the chunks."""
    found = {}
    for _, asked in provider.calls:
        if part := re.search(r"This is part (\d+) of", asked.messages[0].content):
            found.setdefault(int(part[1]), asked)
    return [found[number] for number in sorted(found)]


async def test_all_chunks_are_read_and_every_statement_names_its_line() -> None:
    result, provider = await run(log_of(2000), options={"citations": True, "chunk_tokens": 5000})
    outcome = result.steps["a"]
    assert outcome.output.splitlines() == [f"- Job E-{n} failed. [line {n}]" for n in (500, 1000, 1500, 2000)], (
        outcome
    )
    shown = "".join(data_of(asked) for asked in maps_of(provider))
    assert shown == log_of(2000)
    assert outcome.notes[0] == f"the input was read in {len(maps_of(provider))} chunks"
    assert len(maps_of(provider)) > 5


async def test_an_input_that_one_call_admits_is_asked_about_at_once() -> None:
    _, provider = await run(log_of(400), lambda _: "Nothing failed.")
    assert len(provider.calls) == 1


async def test_an_input_that_no_call_admits_is_read_in_chunks_without_being_told() -> None:
    result, provider = await run(log_of(5000), tokens=120_000)
    assert len(maps_of(provider)) > 5
    assert "E-5000" in result.steps["a"].output
    assert "[" not in result.steps["a"].output


async def test_records_are_cited_by_their_numbers() -> None:
    rows = [{"id": f"r{n}", "text": f"job E-{n} failed" if n % 50 == 0 else "fine"} for n in range(1, 201)]
    result, provider = await run(rows, options={"citations": True, "chunk_tokens": 600})
    assert result.steps["a"].output.splitlines()[0] == "- Job E-50 failed. [record 50]"
    shown = [row for asked in maps_of(provider) for row in json.loads(data_of(asked))]
    assert shown == rows


async def test_the_budget_holds_and_what_was_not_read_is_said() -> None:
    """Where money ends before the input does, the summary is of what was read, and the notes name the rest."""
    result, provider = await run(
        log_of(2000),
        tokens=100_000,
        options={"citations": True, "chunk_tokens": 5000},
        budget={"usd": 0.025},
    )
    outcome = result.steps["a"]
    assert outcome.status == "completed", outcome
    assert result.metrics.micro_usd <= 25_000
    read = len(maps_of(provider))
    assert outcome.notes[0].startswith(f"a part of the input's 2000 lines was read in {read} chunk")
    unread = re.search(r"not read, as the budget admits no call about them: lines ([\d-]+)", outcome.notes[1])
    assert unread, outcome.notes
    spans = [re.search(r"lines (\d+-\d+)\.", one.messages[0].content)[1] for one in maps_of(provider)]
    assert unread[1] not in spans
    numbers = [range(*map(int, span.split("-"))) for span in (*spans, *re.findall(r"\d+-\d+", outcome.notes[1]))]
    assert sum(len(one) + 1 for one in numbers) == 2000


async def test_every_chunk_is_compressed_where_the_budget_is_short() -> None:
    template = pytest.importorskip("intendant_compress_template", reason="compresses logs")
    truncate = pytest.importorskip("intendant_compress_truncate", reason="selects lines")
    provider = ScriptedProvider(reader)
    result = await run_steps(
        [{"id": "a", "intent": "summarize", "input": "{{ inputs.value }}"}],
        SummarizeHandler(),
        provider,
        template.TemplateCompressor(),
        truncate.TruncateCompressor(),
        inputs={"value": log_of(5000)},
        budget={"tokens_per_workflow": 40_000},
    )
    outcome = result.steps["a"]
    assert outcome.status == "completed", outcome
    assert outcome.usage.tokens <= 40_000
    spans = [re.search(r"lines (\d+)-(\d+)", one.messages[0].content) for one in maps_of(provider)]
    assert int(spans[0][1]) == 1
    assert int(spans[-1][2]) == 5000
    assert all(int(a[2]) + 1 == int(b[1]) for a, b in pairwise(spans))
    assert "compressed before" in outcome.notes[0]


async def test_the_plan_bounds_what_all_chunks_and_their_repairs_take() -> None:
    """Every first answer is wrong, so that each question is asked twice."""

    def wrong_at_first(request: ModelRequest) -> str:
        return (
            reader(request) if len(request.messages) > 1 else '{"points": [{"text": "It was 4711.", "quote": ""}]}'
        )

    flow = {
        "name": "bounded",
        "inputs": {"value": {"type": "any"}},
        "steps": [
            {"id": "a", "intent": "summarize", "input": "{{ inputs.value }}", "options": {"citations": True}}
        ],
        "budget": {"tokens": 60_000},
    }
    flow["steps"][0]["budget"] = {"tokens": 40_000}
    async with engine(SummarizeHandler(), ScriptedProvider(wrong_at_first)) as service:
        plan = await service.plan(Workflow.model_validate(flow), {"value": log_of(900)})
        result = await service.run(Workflow.model_validate(flow), {"value": log_of(900)})
    outcome = result.steps["a"]
    assert outcome.status == "completed", outcome
    assert 0 < outcome.usage.tokens <= plan.by_id["a"].max_tokens == 40_000
    assert 0 < outcome.usage.micro_usd <= plan.by_id["a"].max_micro_usd
    assert result.metrics.tokens_used <= 40_000


async def test_what_is_not_in_the_data_is_sent_back_then_left_out() -> None:
    def liar(request: ModelRequest) -> str:
        if "This is part" not in request.messages[0].content:
            return "Job E-500 failed. [1]"
        points = [
            {"text": "Job E-4711 failed at 77:15.", "quote": "x"},
            {"text": "Job E-500 failed.", "quote": "x"},
        ]
        return json.dumps({"points": points})

    result, provider = await run(log_of(600), liar, options={"citations": True})
    outcome = result.steps["a"]
    again = "".join(asked.messages[-1].content for _, asked in provider.calls if len(asked.messages) > 1)
    assert "not in the data: E-4711, 77:15" in again
    assert outcome.output == "Job E-500 failed. [line 500]"
    assert "statements with what is not in the data were left out: E-4711, E-500, 77:15" in outcome.notes


async def test_a_summary_that_makes_up_a_figure_or_cites_nothing_is_sent_back_once() -> None:
    said = iter(("There were 4711 errors.", "Job E-500 failed. [1]"))

    def model(request: ModelRequest) -> str:
        return reader(request) if "This is part" in request.messages[0].content else next(said)

    result, provider = await run(log_of(600), model, options={"citations": True})
    assert result.steps["a"].output == "Job E-500 failed. [line 500]"
    told = provider.calls[-1][1].messages[-1].content
    assert "not in the data: 4711" in told
    assert "no number of a point stands after: 'There were" in told


async def test_one_answer_about_a_chunk_that_is_no_use_does_not_lose_the_others() -> None:
    def model(request: ModelRequest) -> str:
        if re.search(r"part 2 of", request.messages[0].content):
            return "no JSON"
        return reader(request)

    result, _ = await run(log_of(2000), model, options={"citations": True, "chunk_tokens": 5000})
    outcome = result.steps["a"]
    assert "E-2000" in outcome.output
    assert any(note.startswith("no answer about lines ") for note in outcome.notes)


async def test_a_schema_shapes_the_joined_answer() -> None:
    schema = {"type": "object", "properties": {"codes": {"type": "array"}}, "required": ["codes"]}

    def model(request: ModelRequest) -> str:
        if "This is part" in request.messages[0].content:
            return reader(request)
        return json.dumps({"codes": CODES.findall(data_of(request))})

    result, _ = await run(log_of(1000), model, options={"chunk_tokens": 5000}, output=schema)
    assert result.steps["a"].output == {"codes": ["E-500", "E-1000"]}


async def test_citations_and_data_exclude_each_other() -> None:
    with pytest.raises(WorkflowError, match="written into a text"):
        await run("x", options={"citations": True}, output={"type": "object"})


@given(
    st.lists(st.text("ab .#\n\t", max_size=30), max_size=40).map("\n".join),
    st.integers(5, 60),
)
def test_chunks_are_the_whole_text_in_its_order(text: str, most: int) -> None:
    source = source_of(text, most)
    chunks = list(source.chunks(most))
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(len(chunk.text) <= most for chunk in chunks)
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]


def test_a_chunk_ends_before_a_heading_and_within_no_traceback() -> None:
    text = "one\n" * 20 + "# Two\n" + "two\n" * 6
    assert [chunk.text for chunk in source_of(text, 100).chunks(100)][1].startswith("# Two")
    trace = "line\n" * 30 + "Traceback:\n  File a\n  File b\n  File c\n" + "line\n" * 5
    assert [chunk.text for chunk in source_of(trace, 185).chunks(185)][1].startswith("Traceback")


@pytest.mark.parametrize(
    ("text", "claim", "missing"),
    [
        ("paid 1,234.50 EUR", "They paid 1234.50 EUR.", []),
        ("paid 1,234.50 EUR", "They paid 1243.50 EUR.", ["1243.50"]),
        ("in 2017", "It took 17 days.", ["17"]),
        ("Ada Lovelace wrote it", "The report was by Ada Lovelace, and Bob Miller.", ["Bob", "Miller"]),
        ("ask ops@example.org", "Write to ops@example.com.", ["ops@example.com"]),
        ("der ausfall begann", "Der Ausfall der Pumpe im Werk Nord begann am Montag.", []),
        ("disk full", "The disk was full.", []),
    ],
)
def test_figures_and_names_have_to_stand_in_the_data(text: str, claim: str, missing: list[str]) -> None:
    assert Grounds(text).missing(claim) == missing


class Beginning(Compressor):
    """Keeps the beginning, as far as it fits, and writes down what it was asked to keep."""

    name = "beginning"

    def __init__(self) -> None:
        super().__init__()
        self.queries: set[str] = set()

    def compress(self, request: CompressRequest) -> Compression:
        self.queries.add(request.query)
        text = request.text[: len(request.text) * request.target_tokens // request.tokens]
        while request.count(text) > request.target_tokens:
            text = text[: len(text) * 9 // 10]
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=request.count(text),
            strategy=self.name,
            lossless=False,
        )


class Late(ScriptedProvider):
    """Answers about the second chunk last, and wrongly at first; loses power at the n-th call."""

    def __init__(self, dies_at: int) -> None:
        super().__init__(reader)
        self.dies_at = dies_at

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        second = "part 2 of" in request.messages[0].content
        await asyncio.sleep(0.05 if second else 0.001)
        if len(self.calls) + 1 >= self.dies_at:
            raise RuntimeError("the machine lost power")
        reply = await super().complete(hold, request)
        return reply.model_copy(update={"text": "no"}) if second and len(request.messages) == 1 else reply


@pytest.mark.parametrize("tokens", [40_000, 200_000])
async def test_what_was_paid_for_is_not_asked_again_in_another_process(tmp_path, tokens) -> None:
    """Calls of a run that died in the middle are replayed, in whatever order they were made, also where chunks are
    compressed to what the budget admits: how they are cut does not follow from what is left.
    """
    step = {"id": "a", "intent": "summarize", "input": "{{ inputs.value }}", "options": {"chunk_tokens": 3000}}
    inputs = {"value": {"type": "any"}}
    flow = Workflow.model_validate(
        {"name": "long", "inputs": inputs, "budget": {"tokens": tokens}, "steps": [step]}
    )
    value = log_of(2500)
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    first, second = Late(dies_at=8), Late(dies_at=1000)
    async with engine(SummarizeHandler(), Beginning(), first, db=url) as service:
        broken = await service.run(flow, {"value": value})
    assert broken.status == "failed"
    async with engine(SummarizeHandler(), Beginning(), second, db=url) as service:
        done = await service.resume(broken.run_id)
    assert done.status == "completed", done
    paid, again = ({asked.model_dump_json() for _, asked in one.calls} for one in (first, second))
    assert len(paid) == 7
    assert not paid & again
    assert len(again) == len(second.calls)
    whole = Late(dies_at=1000)
    async with engine(SummarizeHandler(), Beginning(), whole) as service:
        assert (await service.run(flow, {"value": value})).steps["a"].output == done.steps["a"].output
    assert len(first.calls) + len(second.calls) == len(whole.calls)


async def test_chunks_are_compressed_by_what_is_asked_and_not_by_where_they_stand() -> None:
    """The numbers of a chunk's lines were looked for in it, and what had been asked for went."""
    beginning = Beginning()
    result = await run_steps(
        [{"id": "a", "intent": "summarize", "input": "{{ inputs.value }}", "prompt": "Which jobs failed?"}],
        SummarizeHandler(),
        ScriptedProvider(reader),
        beginning,
        inputs={"value": log_of(5000)},
        budget={"tokens_per_workflow": 40_000},
    )
    assert "compressed before" in result.steps["a"].notes[0]
    assert beginning.queries == {"Which jobs failed?"}

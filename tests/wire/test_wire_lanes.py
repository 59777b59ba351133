"""Calls that may wait, calls that are given up, and many at once."""

import asyncio
from typing import Any

import pytest

from intendant.plugin import CacheMark, Hold, Image, Message, ModelReply, ModelRequest, ProviderError
from intendant_provider_anthropic import AnthropicProvider
from intendant_provider_openai import OpenaiProvider

ANSWER = "One ring to rule them all, one ring to find them, one ring to bring them all"
CALLS = [
    (Hold(key, 1000, 500, 300, "m", 5.0), ModelRequest(messages=(Message(content=f"Say {key}"),)))
    for key in ("a", "b" * 64 + "~1", "c")
]
LANES = {"messages": AnthropicProvider, "chat": lambda: OpenaiProvider({"api": "chat"})}


@pytest.fixture
def soon(llmock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are done when they are asked for."""
    monkeypatch.setattr("llmock.routers.batch._BATCH_DELAY", 0.0)
    monkeypatch.setenv("NO_PROXY", "*")


UPLOADS = pytest.mark.filterwarnings("ignore:Unclosed file")
"""The emulator does not close what is uploaded."""


@UPLOADS
@pytest.mark.usefixtures("soon")
async def test_a_batch_is_answered_call_by_call() -> None:
    """The emulator sends the results of Anthropic's batches from an address of its own making, which is no address
    for a server behind a path; so that of OpenAI's is looked at here, and Anthropic's by the plugin's own tests.
    """
    provider = OpenaiProvider({"api": "chat"})
    batch = await provider.submit_batch(CALLS)
    answers = await provider.batch_answers(batch, CALLS)
    assert answers is not None
    assert answers.keys() == {hold.key for hold, _ in CALLS}
    for reply in answers.values():
        assert isinstance(reply, ModelReply)
        assert reply.lane == "batch"
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0
    await provider.close()


@UPLOADS
@pytest.mark.usefixtures("soon")
async def test_a_step_that_may_wait_costs_half(ask: Any) -> None:
    price = {"input": 200.0, "output": 700.0, "batch": 0.5}
    prices = {"models": {"openai/gpt-4.1": price}}
    told = await ask("chat, not thinking", step={"slack": 600}, prices=prices)
    (tried,) = told.tries
    usage = tried.usage
    assert tried.outcome == "answered"
    assert usage.micro_usd == 100 * usage.input_tokens + 350 * usage.output_tokens
    assert usage.tokens > 0


@UPLOADS
async def test_a_server_without_batches_is_asked_at_once(llmock: Any, ask: Any) -> None:
    """Whatever it says to the file; what is sent afterwards is an ordinary call."""
    llmock.fail(404).reply(ANSWER)
    told = await ask("chat, not thinking", step={"slack": 600})
    assert (told.text, told.outcomes) == (ANSWER, ["refused", "answered"])
    assert [request.path for request in llmock.requests] == ["/v1/files", "/v1/chat/completions"]


@UPLOADS
async def test_a_batch_that_is_worked_on_is_asked_for_again(llmock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    for make in LANES.values():
        provider: Any = make()
        batch = await provider.submit_batch(CALLS)
        assert await provider.batch_answers(batch, CALLS) is None
        await provider.cancel_batch(batch)
        await provider.close()


@UPLOADS
@pytest.mark.usefixtures("soon")
async def test_an_endpoint_without_batches_charges_nothing() -> None:
    """The emulator knows no batches of responses; each call comes back as an error."""
    provider = OpenaiProvider({"api": "responses"})
    answers = await provider.batch_answers(await provider.submit_batch(CALLS), CALLS)
    assert answers is not None
    assert all(isinstance(error, ProviderError) and not error.billed for error in answers.values())
    await provider.close()


@pytest.mark.parametrize("api", ["messages", "responses", "chat"])
async def test_a_run_that_is_cancelled_is_charged_what_came(llmock: Any, ask: Any, api: str) -> None:
    """The connection is closed: the emulator sees the client leave long before it would have gone on."""
    llmock.stall(after_chunks=8, seconds=20).reply(ANSWER)
    told = await ask(f"{api}, not thinking", streams=True, cancel=True)
    assert told.outcomes == ["cut_off"]
    assert 0 < told.tries[0].usage.tokens < told.held[0]
    (request,) = llmock.requests
    assert not request.completed


async def test_marked_prompts_and_pictures_are_taken(llmock: Any, ask: Any) -> None:
    """Blocks in place of plain texts are what servers know, too."""
    picture = Image(media_type="image/png", data="iVBORw0KGgo=")
    turn = Message(content="What is it?", images=(picture,))
    more = {
        "messages": (turn,),
        "system": "Be brief.",
        "cache_marks": (CacheMark(messages=0), CacheMark(messages=1)),
    }
    hold = Hold("k", 9000, 500, 300, "m", 5.0)
    for provider in (AnthropicProvider(), OpenaiProvider({"api": "responses"}), OpenaiProvider({"api": "chat"})):
        reply = await provider.complete(hold, ModelRequest(**more))  # type: ignore[arg-type]
        assert reply.text
        await provider.close()
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("api", ["messages", "responses", "chat"])
async def test_many_at_once_under_random_faults(llmock: Any, ask: Any, api: str) -> None:
    """Each ends in one way; the ledger has one settlement for each request that was made, and nothing is held.

    A stream that was cut after a part of it was shown is not asked for again, as that cannot be taken back; the
    emulator, which cannot know, calls that accepting it.
    """
    from llmock.scenarios import Fail, Match, StreamFault

    for number, kind in enumerate(("disconnect", "truncate", "stall", "malformed") * 2):
        llmock.add(StreamFault(kind, after_chunks=1 + number, stall_seconds=0.3, match=Match(stream=True)))
        llmock.add(Fail(529 if number % 2 else 503, retry_after=0.05))
    told = await asyncio.gather(
        *(ask(api, streams=True, step={"prompt": f"Say something of {number}"}) for number in range(12))
    )
    for run in told:
        for event in run.tries:
            assert (event.usage.tokens == 0) is (event.outcome == "refused")
    assert sum(len(run.tries) for run in told) == len(llmock.requests)
    assert {outcome for run in told for outcome in run.outcomes} >= {"refused", "answered"}
    assert not [finding for finding in llmock.verdict().errors if finding.code != "truncated_stream_accepted"]

"""How calls are sent: tried again, handed to another provider, streamed, shortened, answered from what is known."""

import asyncio
from time import monotonic

import pytest

from intendant import Workflow
from intendant.plugin import (
    BudgetStrategy,
    Compression,
    Compressor,
    Image,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepResult,
    Tier,
    TokenCounting,
    Usage,
)
from intendant.record.store import bookings, budgets, runs
from intendant.spending.retrying import Backoff
from intendant.testing import ScriptedProvider, engine

OVERLOADED = ProviderError("overloaded", retryable=True, billed=False)
PRICES = {f"{name}/scripted-1": {"input": 1.0, "output": 2.0} for name in ("scripted", "second")}
QUICK = {"prices": {"models": PRICES}, "calls": {"attempts": 2}}


class Second(ScriptedProvider):
    """Another vendor."""

    name = "second"
    rank = 80


class Ask(IntentHandler):
    """Asks the model once, and says what it answered."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        reply = await request.model.complete(
            ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=50)
        )
        return StepResult(output=reply.text)


def flow(*steps: dict, **more) -> Workflow:
    return Workflow.model_validate(
        {"name": "t", "steps": [{"id": "a", "intent": "ask", "prompt": "hi", **step} for step in steps], **more}
    )


def reply(text: str = "yes", given: int = 5, written: int = 5, **more) -> ModelReply:
    usage = Usage(input_tokens=given, output_tokens=written, **more)
    return ModelReply(text=text, usage=usage, model="scripted-1", provider="scripted")


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Waits between tries are recorded, and made by a clock of their own."""
    made: list[float] = []
    now = [monotonic()]

    async def sleep(seconds: float) -> None:
        made.append(seconds)
        now[0] += seconds

    for module in ("spending.gateway", "spending.traffic", "pilot.execution"):
        monkeypatch.setattr(f"intendant.{module}.sleep", sleep)
    for module in ("spending.retrying", "spending.traffic"):
        monkeypatch.setattr(f"intendant.{module}.monotonic", lambda: now[0])
    return made


async def done(workflow, *plugins, settings=QUICK, **options):
    """The result, the events and what the store says of the run."""
    seen = []
    async with engine(Ask(), *plugins, settings=settings) as service:
        result = await service.run(workflow, on_event=seen.append, **options)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
        state = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
    assert (state.spent_tokens, state.held_tokens) == (totals.tokens, 0)
    assert totals.open_holds == 0
    assert totals.tokens == result.metrics.tokens_used
    return result, seen, totals


def outcomes(seen) -> list[str]:
    return [event.outcome for event in seen if event.type == "tokens_settled"]


# --- again, and elsewhere ---


async def test_what_may_pass_is_tried_again_after_as_long_as_the_provider_asks(waits) -> None:
    asks = ProviderError("slow down", retryable=True, billed=False, retry_after=4.0)
    provider = ScriptedProvider(asks, reply())
    result, seen, _ = await done(flow({}), provider)
    assert result.outputs["a"] == "yes"
    assert waits[0] >= 4.0
    assert outcomes(seen) == ["refused", "answered"]
    keys = [hold.key for hold, _ in provider.calls]
    assert keys[1] == f"{keys[0]}~1", "each try has a hold of its own"


async def test_no_try_is_made_beyond_the_deadline(waits) -> None:
    asks = ProviderError("slow down", retryable=True, billed=False, retry_after=900.0)
    provider = ScriptedProvider(asks, reply())
    result, _, _ = await done(flow({}), provider)
    assert result.failures["a"].error == "ProviderError"
    assert len(provider.calls) == 1
    assert waits == []


async def test_a_model_that_does_not_answer_makes_way_for_another_providers() -> None:
    first, second = ScriptedProvider(OVERLOADED), Second(reply("from the second"))
    result, seen, totals = await done(flow({}), first, second)
    assert result.outputs["a"] == "from the second"
    assert len(first.calls) == 2, "it was tried as often as the settings say"
    (fell,) = [event for event in seen if event.type == "call_degraded"]
    assert (fell.how, fell.before, fell.after, fell.reason) == (
        "fallback",
        "scripted/scripted-1",
        "second/scripted-1",
        "overloaded",
    )
    assert totals.tokens == 10


async def test_a_request_that_is_wrong_in_itself_is_not_sent_elsewhere() -> None:
    first, second = ScriptedProvider(ProviderError("bad request", billed=False)), Second(reply())
    result, _, _ = await done(flow({}), first, second)
    assert result.failures["a"].message == "bad request"
    assert second.calls == []


async def test_what_the_second_finds_wrong_in_itself_is_not_sent_to_a_third() -> None:
    class Third(ScriptedProvider):
        """One more vendor."""

        name = "third"
        rank = 90

    first, third = ScriptedProvider(OVERLOADED), Third(reply())
    second = Second(ProviderError("bad request", billed=False))
    result, _, _ = await done(flow({}), first, second, third)
    assert result.failures["a"].message == "bad request"
    assert third.calls == []


async def test_falling_back_can_be_switched_off() -> None:
    first, second = ScriptedProvider(OVERLOADED), Second(reply())
    result, _, _ = await done(
        flow({}), first, second, settings={**QUICK, "calls": {"attempts": 1, "fallback": False}}
    )
    assert result.failures["a"].message == "overloaded"
    assert second.calls == []


async def test_text_put_together_without_a_model_never_stands_for_an_answer() -> None:
    class Plain(Second):
        """Asks no model."""

        charges = False

    first, plain = ScriptedProvider(OVERLOADED), Plain(reply())
    result, _, _ = await done(flow({}), first, plain)
    assert result.status == "failed"
    assert plain.calls == []


async def test_a_model_out_of_order_is_not_asked_any_more() -> None:
    first, second = ScriptedProvider(OVERLOADED), Second(reply())
    steps = [{"id": f"s{number}", **({"needs": [f"s{number - 1}"]} if number else {})} for number in range(6)]
    settings = {**QUICK, "calls": {"attempts": 1, "breaker_failures": 3, "breaker_seconds": 600}}
    result, seen, _ = await done(flow(*steps), first, second, settings=settings)
    assert result.status == "completed"
    assert len(first.calls) == 3
    assert len(second.calls) == 6
    reasons = [event.reason for event in seen if event.type == "call_degraded"]
    assert all("3 times in a row" in reason for reason in reasons[3:])


async def test_a_long_wait_is_not_waited_where_another_can_be_asked(waits) -> None:
    asks = ProviderError("slow down", retryable=True, billed=False, retry_after=60.0)
    first, second = ScriptedProvider(asks), Second(reply("at once"))
    result, _, _ = await done(flow({}), first, second)
    assert result.outputs["a"] == "at once"
    assert len(first.calls) == 1
    assert waits == []


async def test_an_answer_of_a_fallback_is_replayed_when_its_step_is_tried_again() -> None:
    class AskThenFail(Ask):
        """Fails after its first answer."""

        tries = 0

        async def handle(self, request):
            result = await super().handle(request)
            self.tries += 1
            if self.tries == 1:
                raise ProviderError("lost afterwards", retryable=True, billed=False)
            return result

    first, second = ScriptedProvider(OVERLOADED), Second(reply("paid once"))
    seen = []
    async with engine(AskThenFail(), first, second, settings=QUICK) as service:
        result = await service.run(flow({"retry": {"attempts": 2}}), on_event=seen.append)
    assert result.outputs["a"] == "paid once"
    assert len(second.calls) == 1
    assert outcomes(seen)[-1] == "replayed"


# --- streams ---


class Streaming(ScriptedProvider):
    """Writes its answer in pieces; breaks off where a piece is an error."""

    def __init__(self, *pieces, usage: Usage | None = None, hidden: bool = False) -> None:
        super().__init__()
        self.pieces, self.usage, self.hidden = pieces, usage, hidden

    async def stream(self, hold, request, meter):
        self.calls.append((hold, request))
        if self.hidden:
            meter.hide()
        if self.usage:
            meter.used(self.usage)
        text = ""
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
                continue
            meter.text(piece)
            text += piece
        return reply(text, 5, 3)


async def streamed(provider, **settings):
    pieces: list[tuple[str, str]] = []
    result, seen, totals = await done(
        flow({}),
        provider,
        settings={**QUICK, **settings},
        on_text=lambda step, piece: pieces.append((step, piece)),
    )
    return result, seen, totals, pieces


async def test_an_answer_is_shown_while_it_is_written() -> None:
    result, _, totals, pieces = await streamed(Streaming("one ", "two ", "three"))
    assert pieces == [("a", "one "), ("a", "two "), ("a", "three")]
    assert result.outputs["a"] == "one two three"
    assert totals.tokens == 8


async def test_a_provider_that_streams_nothing_shows_its_answer_in_one_piece() -> None:
    _, _, _, pieces = await streamed(ScriptedProvider(reply("all of it")))
    assert pieces == [("a", "all of it")]


async def test_a_stream_that_breaks_off_is_charged_by_what_came_of_it() -> None:
    broken = ProviderError("connection lost", retryable=True, billed=True)
    provider = Streaming("some words of an answer ", broken, usage=Usage(input_tokens=4, output_tokens=1))
    result, seen, totals, pieces = await streamed(provider)
    assert result.failures["a"].message == "connection lost"
    assert len(provider.calls) == 1, "what was shown cannot be taken back"
    assert outcomes(seen) == ["cut_off"]
    assert 4 + 5 <= totals.tokens <= 4 + 8
    assert pieces == [("a", "some words of an answer ")]


async def test_what_is_not_reported_of_a_broken_stream_is_charged_as_held() -> None:
    provider = Streaming("some words ", ProviderError("lost", billed=True))
    _, _, totals, _ = await streamed(provider)
    ((hold, _),) = provider.calls
    assert hold.tokens - hold.max_output_tokens < totals.tokens < hold.tokens


async def test_a_stream_that_writes_more_than_it_shows_is_charged_in_full() -> None:
    provider = Streaming("some words ", ProviderError("lost", billed=True), hidden=True)
    _, seen, totals, _ = await streamed(provider)
    ((hold, _),) = provider.calls
    assert outcomes(seen) == ["in_doubt"]
    assert totals.tokens == hold.tokens


async def test_a_stream_that_breaks_off_before_anything_was_shown_is_tried_again() -> None:
    class Twice(Streaming):
        """Breaks off once."""

        async def stream(self, hold, request, meter):
            if self.calls:
                return await super().stream(hold, request, meter)
            self.calls.append((hold, request))
            raise ProviderError("lost", retryable=True, billed=True)

    result, seen, _, _ = await streamed(Twice("at last"))
    assert result.outputs["a"] == "at last"
    assert outcomes(seen) == ["in_doubt", "answered"]


async def test_a_stream_that_does_not_end_is_cut_off_and_never_charged_beyond_what_was_held() -> None:
    provider = Streaming(*(["word after word after word "] * 200))
    result, seen, totals, _ = await streamed(provider)
    ((hold, _),) = provider.calls
    assert "more than the 50 tokens" in result.failures["a"].message
    assert outcomes(seen) == ["cut_off"]
    assert totals.tokens <= hold.tokens


async def test_single_letters_do_not_count_for_more_than_the_text_they_make() -> None:
    text = "Antidisestablishmentarianism is a word that people like to write down. " * 2
    result, _, _, _ = await streamed(Streaming(*text))
    assert result.outputs["a"] == text


async def test_a_cancelled_stream_is_charged_by_what_came_of_it() -> None:
    shown = asyncio.Event()
    provider = Streaming("some words ", 60.0, "never")
    async with engine(Ask(), provider, settings=QUICK) as service:
        run = asyncio.create_task(service.run(flow({}), on_text=lambda *_: shown.set()))
        await shown.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        (row,) = await service._engine.store.do(runs.list_runs())
        totals = await service._engine.store.do(bookings.totals_of_run(row.id))
    ((hold, _),) = provider.calls
    assert totals.open_holds == 0
    assert hold.tokens - hold.max_output_tokens < totals.tokens < hold.tokens


# --- answers that are known ---


async def test_the_same_request_of_another_run_is_answered_without_a_call_where_the_step_allows_it(
    tmp_path,
) -> None:
    provider = ScriptedProvider(reply("first", 7, 3), reply("second"))
    url = f"sqlite:///{tmp_path}/x.db"
    async with engine(Ask(), provider, settings=QUICK, db=url) as service:
        results = [await service.run(flow({"cache": 3600})) for _ in range(2)]
        other = await service.run(flow({"cache": 3600, "prompt": "something else"}))
        asked = await service.run(flow({}))
    assert [result.outputs["a"] for result in results] == ["first", "first"]
    again = results[1].metrics
    assert (again.calls, again.calls_cached, again.tokens_used, again.tokens_cached) == (0, 1, 0, 10)
    assert results[1].steps["a"].produced_by == "model:scripted/scripted-1"
    assert results[1].steps["a"].usage.tokens == 0
    assert (other.outputs["a"], asked.outputs["a"]) == ("second", "second")


async def test_an_answer_that_is_too_old_or_of_another_tenant_is_not_used(tmp_path, monkeypatch) -> None:
    provider = ScriptedProvider(reply("one"), reply("two"), reply("three"), reply("four"))
    url, now = f"sqlite:///{tmp_path}/x.db", [1_000_000.0]
    monkeypatch.setattr("intendant.spending.gateway.time", lambda: now[0])
    for tenant, at, cache, answer in (
        ("a", 0, 100, "one"),
        ("b", 50, 100, "two"),
        ("a", 99, 100, "one"),
        ("a", 99, 50, "three"),
        ("b", 151, 100, "four"),
    ):
        now[0] = 1_000_000.0 + at
        async with engine(Ask(), provider, settings={**QUICK, "budget": {"tenant": tenant}}, db=url) as service:
            result = await service.run(flow({"cache": cache}))
        assert result.outputs["a"] == answer, (tenant, at)


async def test_an_answer_that_was_cut_short_is_not_kept(tmp_path) -> None:
    provider = ScriptedProvider(reply("half an").model_copy(update={"stop_reason": "length"}), reply("whole"))
    async with engine(Ask(), provider, settings=QUICK, db=f"sqlite:///{tmp_path}/x.db") as service:
        results = [await service.run(flow({"cache": 3600})) for _ in range(2)]
    assert [result.outputs["a"] for result in results] == ["half an", "whole"]


async def test_an_answer_that_was_no_good_is_asked_for_anew(tmp_path) -> None:
    provider = ScriptedProvider(reply("bad"), reply("good"))
    step = {"cache": 3600, "output": {"enum": ["good"]}, "retry": {"attempts": 2, "on": "any"}}
    async with engine(Ask(), provider, settings=QUICK, db=f"sqlite:///{tmp_path}/x.db") as service:
        first = await service.run(flow(step))
        second = await service.run(flow(step))
    assert (first.outputs["a"], second.outputs["a"]) == ("good", "good")
    assert len(provider.calls) == 2


# --- before a refusal ---


class Tiered(ScriptedProvider):
    """Has a dear and a cheap model."""

    def models(self):
        return {"only": "dear", "small": "cheap", "smaller": "cheapest"}


TIERS = {
    "prices": {
        "models": {
            "scripted/dear": {"input": 100.0, "output": 500.0},
            "scripted/cheap": {"input": 1.0, "output": 5.0},
            "scripted/cheapest": {"input": 0.1, "output": 0.5},
        }
    }
}


async def test_where_money_runs_short_the_nearest_cheaper_model_is_asked() -> None:
    provider = Tiered(reply())
    workflow = flow({}, budget={"tokens": 1000, "usd": 0.001})
    result, seen, _ = await done(workflow, provider, settings=TIERS)
    assert result.outputs["a"] == "yes"
    ((hold, _),) = provider.calls
    assert hold.model == "cheap"
    (fell,) = [event for event in seen if event.type == "call_degraded"]
    assert (fell.how, fell.before, fell.after) == ("cheaper_tier", "dear", "cheap")


async def test_a_shorter_answer_comes_before_a_cheaper_model_and_is_on_record() -> None:
    provider = Tiered(reply())
    workflow = flow({}, budget={"tokens": 1000, "usd": 0.015})
    _, seen, _ = await done(workflow, provider, settings=TIERS)
    ((hold, _),) = provider.calls
    assert hold.model == "dear"
    assert 12 <= hold.max_output_tokens < 50
    (held,) = [event for event in seen if event.type == "tokens_reserved"]
    assert (held.output_tokens, held.wanted_tokens) == (hold.max_output_tokens, 50)


async def test_a_refusal_says_what_is_missing_when_nothing_helps() -> None:
    provider = Tiered(reply())
    result, _, _ = await done(flow({}, budget={"tokens": 1000, "usd": 0.000001}), provider, settings=TIERS)
    assert result.failures["a"].error == "BudgetExceeded"
    assert provider.calls == []


class Digest(IntentHandler):
    """Fits its input, and asks for a long answer."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        fitted = await request.model.fit(request.input, share=1.0)
        reply = await request.model.complete(
            ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=200)
        )
        return StepResult(output=reply.text)


async def test_an_input_is_compressed_further_before_a_call_is_refused() -> None:
    class Half(Compressor):
        """Keeps as many words as fit."""

        name = "half"
        lossless = False

        def compress(self, request):
            words = request.text.split()[: max(1, request.target_tokens - 2)]
            text = " ".join(words)
            return Compression(
                text=text,
                tokens_before=request.tokens,
                tokens_after=request.count(text),
                strategy=self.name,
                lossless=False,
            )

    text = " ".join(["plain"] * 600)
    provider = ScriptedProvider(reply())
    seen = []
    settings = {
        **QUICK,
        "compression": {"policies": {"ask": {"floor": 0.0}}},
        "budget": {"tokens_per_step": 400},
    }
    async with engine(Digest(), Half(), provider, settings=settings) as service:
        result = await service.run(flow({"input": text}, budget={"tokens": 400}), on_event=seen.append)
    assert result.outputs["a"] == "yes"
    (fell,) = [event for event in seen if event.type == "call_degraded"]
    assert fell.how == "compressed"
    assert int(fell.after) < int(fell.before)
    ((hold, sent),) = provider.calls
    assert hold.max_output_tokens >= 50, "a useful answer fits now"
    first, second = [event for event in seen if event.type == "token_compressed"]
    assert second.tokens_before == first.tokens_after, "what was saved before is not counted again"
    assert first.tokens_before > first.tokens_after > second.tokens_after
    assert result.metrics.tokens_saved == first.tokens_before - second.tokens_after
    assert len(sent.messages[0].content.split()) <= second.tokens_after


# --- counting ---


@pytest.mark.parametrize(("ttl", "rate"), [("", 1), ("5m", 4), ("1h", 8)])
async def test_the_worst_case_is_that_all_of_the_input_is_written_to_the_prompt_cache(ttl, rate) -> None:
    class Keeping(ScriptedProvider):
        """Keeps prompts without being asked."""

        def cache_ttl(self, model, request):
            return ttl

    provider = Keeping(reply())
    price = {"input": 1.0, "output": 2.0, "cache_write": 4.0, "cache_write_1h": 8.0}
    await done(flow({}), provider, settings={"prices": {"models": {"scripted/scripted-1": price}}})
    ((hold, _),) = provider.calls
    assert hold.micro_usd == (hold.tokens - 50) * rate + 50 * 2


async def test_a_provider_is_asked_to_count_only_where_the_count_from_above_is_too_much() -> None:
    class Counting(ScriptedProvider):
        """Counts for nothing; its models' encoding is not known."""

        asked = 0

        def token_counting(self, model):
            return TokenCounting(factor=3.0)

        async def count_tokens(self, model, request):
            self.asked += 1
            return 100

    words = "word " * 100
    for tokens, asked, status in ((2000, 0, "completed"), (200, 1, "completed"), (100, 1, "refused")):
        provider = Counting(reply())
        result, _, _ = await done(flow({"prompt": words}, budget={"tokens": tokens}), provider)
        assert (provider.asked >= 1, result.status) == (bool(asked), status), tokens


class Look(IntentHandler):
    """Shows a picture."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        picture = Image(media_type="image/png", data="aGk=")
        message = Message(content="what is it?", images=(picture,))
        return StepResult(output=(await request.model.complete(ModelRequest(messages=(message,)))).text)


class Seeing(ScriptedProvider):
    """Can be shown pictures."""

    images = True


async def test_one_that_cannot_see_does_not_stand_in_for_one_that_can() -> None:
    first, blind = Seeing(OVERLOADED), Second(reply())
    async with engine(Look(), first, blind, settings=QUICK) as service:
        result = await service.run(flow({}))
    assert result.failures["a"].message == "overloaded"
    assert blind.calls == []


async def test_what_cannot_be_shown_pictures_is_not_sent_any() -> None:
    provider = ScriptedProvider(reply())
    async with engine(Look(), provider, settings=QUICK) as service:
        result = await service.run(flow({}))
    assert "pictures" in result.failures["a"].message
    assert provider.calls == []


class Glancing(Seeing):
    """Its pictures take a thousand tokens at most, however many bytes they have."""

    def token_counting(self, model):
        return TokenCounting(len, exact=True, image=1000)


class LookAtMuch(Look):
    """Shows a picture of a megabyte."""

    async def handle(self, request):
        picture = Image(media_type="image/png", data="A" * 1_400_000)
        message = Message(content="what is it?", images=(picture,))
        return StepResult(output=(await request.model.complete(ModelRequest(messages=(message,)))).text)


async def test_a_picture_is_held_with_what_its_model_takes_for_one() -> None:
    provider = Glancing(reply())
    async with engine(LookAtMuch(), provider, settings=QUICK) as service:
        result = await service.run(flow({}))
    assert not result.failures
    hold, _ = provider.calls[0]
    assert 1000 <= hold.tokens - hold.max_output_tokens < 1200


def test_waits_grow_up_to_the_longest_and_never_beyond_the_deadline() -> None:
    backoff = Backoff(attempts=9, delay=1.0, max_delay=6.0)
    assert [backoff.next_delay() for _ in range(5)] == [1, 2, 4, 6, 6]
    assert backoff.next_delay(at_least=30) == 30, "the provider asks for more"
    assert Backoff(attempts=9, delay=20.0, deadline=monotonic() + 16).next_delay() is None
    assert Backoff(attempts=1, delay=1.0).next_delay() is None


# --- where orchestration itself fails ---


class BrokenTier(Tier):
    """Raises."""

    name = "broken"

    def route(self, request):
        raise RuntimeError("a fault of the tier")


class BrokenShares(BudgetStrategy):
    """Raises."""

    name = "proportional"

    def allocate(self, request):
        raise RuntimeError("a fault of the strategy")


class BrokenCompressor(Compressor):
    """Raises."""

    name = "broken"
    lossless = False

    def compress(self, request):
        raise RuntimeError("a fault of the compressor")


@pytest.mark.parametrize("broken", [BrokenTier(), BrokenShares(), BrokenCompressor()], ids=lambda it: it.kind)
async def test_a_step_is_done_directly_and_metered_where_orchestration_fails(broken) -> None:
    provider = ScriptedProvider(reply())
    workflow = flow({"input": "some text " * 10})
    async with engine(Digest(), broken, provider, settings=QUICK) as service:
        result = await service.run(workflow)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert result.outputs["a"] == "yes"
    assert totals == (10, 15, 0)

"""Holds are upper bounds, whatever the model's tokenizer; reported usage is checked before it is charged."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant import Workflow, events
from intendant.plugin import (
    Compression,
    CompressionPolicy,
    Compressor,
    CompressRequest,
    ContextOverflow,
    Hold,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    Route,
    StepRequest,
    StepResult,
    TokenCounting,
    Usage,
    answer_tokens,
)
from intendant.record.store import bookings
from intendant.spending.reply_check import checked_reply, is_same_model
from intendant.spending.sizing import ASK_ABOVE, Sizes
from intendant.spending.streaming import LiveMeter
from intendant.spending.tokens import TokenCounter, counter_for
from intendant.spending.usage_check import checked_usage
from intendant.testing import ScriptedProvider, engine

from .test_tokens import TEXTS  # type: ignore[import-not-found]

FRAME = 7
"""Tokens that this file's model adds to each message."""


def by_bytes(text: str) -> int:
    forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFKC"))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in (text, *forms))


class ByteModel(ScriptedProvider):
    """A model whose tokenizer takes a token for each byte, and which writes as long an answer as it may."""

    def __init__(self, answer: str = "ab", counts: bool = False) -> None:
        super().__init__()
        self.answer, self.counts, self.counted = answer, counts, 0

    def token_counting(self, model: str) -> TokenCounting:
        return TokenCounting()

    def counts_tokens(self, model: str) -> bool:
        return self.counts

    def _read(self, request: ModelRequest) -> int:
        return sum(
            by_bytes(text) + FRAME for text in (request.system, *(turn.content for turn in request.messages))
        )

    async def count_tokens(self, model: str, request: ModelRequest) -> int:
        self.counted += 1
        return self._read(request) // 4

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        self.calls.append((hold, request))
        written = (self.answer * hold.max_output_tokens)[: hold.max_output_tokens]
        read = self._read(request) // (4 if self.counts else 1)
        usage = Usage(input_tokens=read, output_tokens=hold.max_output_tokens)
        return ModelReply(text=written, usage=usage, model=hold.model, provider="scripted")


class Tell(IntentHandler):
    """Sends its input as it is, as often as there is a budget for."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("Tell",))

    async def handle(self, request: StepRequest) -> StepResult:
        asked = ModelRequest(
            messages=(Message(content=str(request.input)),), system="Be brief.", max_output_tokens=60
        )
        told = 0
        try:
            while told < 20:
                await request.model.complete(asked)
                told += 1
        except Exception:
            if not told:
                raise
        return StepResult(output=told)


async def spend(provider: ScriptedProvider, text: str, tokens: int, **calls: Any) -> tuple[Any, Any, list[Any]]:
    seen: list[Any] = []
    flow = Workflow.model_validate(
        {
            "name": "f",
            "inputs": {"text": {"type": "any"}},
            "budget": {"tokens": tokens},
            "steps": [{"id": "a", "intent": "tell", "input": "{{ inputs.text }}"}],
        }
    )
    settings = {"calls": calls, "budget": {"tokens_per_step": 10**6}}
    async with engine(Tell(), provider, settings=settings) as service:
        result = await service.run(flow, {"text": text}, on_event=seen.append)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    return result, totals, seen


@pytest.mark.parametrize("kind", [kind for kind in TEXTS if kind != "half a character"])
@pytest.mark.parametrize("counts", [False, True], ids=["bounded", "counted"])
async def test_never_more_is_charged_than_the_budget(kind: str, counts: bool) -> None:
    """With a tokenizer that nobody told us of, and texts of every kind."""
    provider = ByteModel(counts=counts)
    text = TEXTS[kind][:3000]
    limit = 3 * by_bytes(text) + 500
    result, totals, seen = await spend(provider, text, limit)
    assert 0 < totals.tokens <= limit
    assert totals.open_holds == 0
    assert result.outputs["a"] >= 2, "what fits is not refused"
    bounds = {event.bound for event in seen if isinstance(event, events.TokensReserved)}
    assert bounds <= ({"exact", "proven"} if counts else {"proven"})
    assert {hold.bound for hold, _ in provider.calls} == bounds
    for hold, _ in provider.calls:
        assert hold.tokens >= hold.max_output_tokens


async def test_an_estimate_says_that_it_is_one() -> None:
    provider = ByteModel()
    _, _, seen = await spend(provider, TEXTS["prose"][:400], 3000, token_bound="likely")
    assert {event.bound for event in seen if isinstance(event, events.TokensReserved)} == {"likely"}


async def test_the_model_s_own_count_is_exact() -> None:
    _, _, seen = await spend(ScriptedProvider("yes"), TEXTS["prose"][:400], 3000)
    assert {event.bound for event in seen if isinstance(event, events.TokensReserved)} == {"exact"}


# --- asking the provider to count ---

ROUTE = Route(tier="t", provider="scripted", model="m", max_output_tokens=60, reason="")


def asked(text: str) -> ModelRequest:
    return ModelRequest(messages=(Message(content=text),))


@pytest.mark.parametrize(
    ("size", "room", "asks"),
    [(400, None, 0), (1500, None, 0), (1500, 100_000, 0), (1500, 4000, 1), (3000, None, 1)],
)
async def test_a_provider_counts_where_the_bound_holds_much_more_than_is_needed(
    size: int, room: Any, asks: int
) -> None:
    provider = ByteModel(counts=True)
    sizes = Sizes({"scripted": provider}, "proven")
    found = await sizes.measure(ROUTE, asked("w" * size), room)
    assert provider.counted == asks
    assert found.bound == ("exact" if asks else "proven")
    assert found.tokens < size if asks else found.tokens >= size


async def test_a_count_is_asked_for_once() -> None:
    provider = ByteModel(counts=True)
    sizes = Sizes({"scripted": provider}, "proven")
    for _ in range(3):
        await sizes.measure(ROUTE, asked("w" * 2 * ASK_ABOVE), None)
    assert provider.counted == 1
    await sizes.measure(ROUTE, asked("v" * 2 * ASK_ABOVE), None)
    assert provider.counted == 2


@pytest.mark.parametrize("error", [ProviderError("no", billed=False), RuntimeError("a fault of the plugin")])
async def test_a_provider_that_does_not_count_leaves_the_bound_and_is_left_alone(error: Exception) -> None:
    class Silent(ByteModel):
        async def count_tokens(self, model: str, request: ModelRequest) -> int:
            self.counted += 1
            raise error

    provider = Silent(counts=True)
    sizes = Sizes({"scripted": provider}, "proven")
    for number in range(3):
        found = await sizes.measure(ROUTE, asked(f"{number}" * 2 * ASK_ABOVE), None)
        assert (found.bound, found.tokens > 2 * ASK_ABOVE) == ("proven", True)
    assert provider.counted == 1


async def test_a_text_is_fitted_by_an_estimate_only_where_the_provider_will_count_it() -> None:
    text = TEXTS["prose"]
    fitted = Sizes({"scripted": ByteModel(counts=True)}, "proven").counter(ROUTE)(text)
    bounded = Sizes({"scripted": ByteModel()}, "proven").counter(ROUTE)(text)
    assert fitted < 0.6 * bounded
    assert bounded == len(text)


async def test_a_model_that_exceeds_its_bound_is_held_for_more() -> None:
    """A template that nobody knows of. The bound is no longer proven then."""
    sizes = Sizes({"scripted": ByteModel()}, "proven")
    before = sizes.input_tokens(ROUTE, asked("w" * 1000))
    sizes.observe(ROUTE, before, 2 * before)
    assert sizes.input_tokens(ROUTE, asked("w" * 1000)) >= 1.9 * before
    assert sizes.upper(ROUTE).bound == "likely"
    sizes.observe(ROUTE, 2 * before, 10)
    assert sizes.input_tokens(ROUTE, asked("w" * 1000)) >= 1.9 * before, "what took little proves nothing"


async def test_what_providers_report_does_not_lower_a_proven_bound() -> None:
    sizes = Sizes({"scripted": ByteModel()}, "proven")
    before = sizes.input_tokens(ROUTE, asked("w" * 1000))
    for _ in range(20):
        sizes.observe(ROUTE, before, before // 4, asked("w" * 1000))
    assert sizes.input_tokens(ROUTE, asked("w" * 1000)) == before


# --- usage ---

WORDS = "the pump in the hall of the old works " * 50
"""450 words."""
SENT = ("the pump " * 30, "in the hall " * 6, "it ran")
"""80 words."""


def held_for(tokens: int) -> Hold:
    """A hold of so many tokens, seven tenths of them for the answer."""
    return Hold("k", tokens, 10**6, tokens * 7 // 10, "m", 10.0)


def reply(text: str = WORDS, **usage: Any) -> ModelReply:
    made = Usage.model_construct(**{"input_tokens": 100, "output_tokens": 600, **usage})
    return ModelReply.model_construct(
        **{**ModelReply(text=text, usage=Usage(), model="m", provider="p").__dict__, "usage": made}
    )


@pytest.mark.parametrize(
    ("usage", "expected", "corrected"),
    [
        ({}, (100, 600), ""),
        ({"output_tokens": 0}, (100, 700), "0 output tokens for at least 450"),
        ({"output_tokens": 3}, (100, 700), "3 output tokens"),
        ({"output_tokens": 120}, (100, 120), ""),
        ({"input_tokens": 0}, (300, 600), "0 input tokens for at least 80"),
        ({"input_tokens": 1, "output_tokens": 1}, (300, 700), "1 input tokens for at least 80 and 1 output"),
        ({"output_tokens": 5000}, (100, 5000), ""),
    ],
)
def test_too_little_is_charged_as_it_was_held(usage: Any, expected: tuple[int, int], corrected: str) -> None:
    """And too much, as long as it can be, by what is reported."""
    checked = checked_usage(reply(**usage), held_for(1000), SENT)
    assert (checked.usage.input_tokens, checked.usage.output_tokens) == expected
    assert corrected in checked.corrected
    assert bool(corrected) == bool(checked.corrected)


@pytest.mark.parametrize(
    ("words", "reported", "charged"),
    [
        (39, 1, 1),
        (40, 9, 700),
        (40, 10, 10),
        (41, 10, 700),
        (1, 0, 700),
        (0, 0, 0),
        (400, 99, 700),
        (400, 100, 100),
        (3000, 700, 3000),
    ],
)
def test_a_token_spans_four_words_at_most_in_texts_of_forty(words: int, reported: int, charged: int) -> None:
    """Less than that is charged as it was held, or with a token a word where that is more."""
    checked = checked_usage(reply("longword " * words, output_tokens=reported), held_for(1000), ())
    assert (checked.usage.output_tokens, bool(checked.corrected)) == (charged, reported != charged)


def test_no_call_takes_ten_times_what_was_held_and_fifty_thousand_tokens_more() -> None:
    most = reply(input_tokens=60_000 - 600)
    assert checked_usage(most, held_for(1000), ()).usage.tokens == 60_000
    with pytest.raises(ProviderError, match="60001 tokens were reported for a call that may take 1000"):
        checked_usage(reply(input_tokens=60_001 - 600), held_for(1000), ())


def test_what_no_model_made_is_charged_as_it_is_told() -> None:
    """Of parts, the dearest counts first."""
    made = reply(
        output_tokens=0, cached_tokens=50, cache_write_tokens=40, cache_write_1h_tokens=30, reasoning_tokens=9
    )
    usage = checked_usage(made.model_copy(update={"produced_by": "rules"}), held_for(1000), SENT).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (100, 0, 0)
    assert (usage.cache_write_1h_tokens, usage.cache_write_tokens, usage.cached_tokens) == (30, 40, 30)


@pytest.mark.parametrize("figure", [-1, -(10**12), 10**9, 2**63, 1.5, "12", None, True, float("nan"), [1]])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_figures_that_cannot_be_are_an_error_that_names_the_provider(name: str, figure: Any) -> None:
    with pytest.raises(ProviderError, match="p/m cannot be charged by what it reports") as caught:
        checked_usage(reply(**{name: figure}), held_for(1000), SENT)
    assert caught.value.billed


@pytest.mark.parametrize(
    "name", ["cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"]
)
def test_parts_are_checked_too(name: str) -> None:
    whole = checked_usage(reply(**{name: 10**4}), held_for(1000), SENT).usage
    assert getattr(whole, name) == (600 if name == "reasoning_tokens" else 100)
    with pytest.raises(ProviderError):
        checked_usage(reply(**{name: -1}), held_for(1000), SENT)


@given(st.builds(dict, **{name: st.integers(0, 10**5) for name in Usage.model_fields if name.endswith("tokens")}))
def test_parts_never_exceed_their_whole(usage: dict[str, int]) -> None:
    found = checked_usage(reply(**usage), held_for(10**5), ()).usage
    assert found.cached_tokens + found.cache_write_tokens + found.cache_write_1h_tokens <= found.input_tokens
    assert found.reasoning_tokens <= found.output_tokens


@pytest.mark.parametrize(
    ("usage", "outcome", "charged"),
    [
        ({"input_tokens": 5, "output_tokens": 0}, "answered", 705),
        ({"input_tokens": -5, "output_tokens": 5}, "in_doubt", None),
        ({"input_tokens": 5, "output_tokens": 10**9}, "in_doubt", None),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_the_ledger_is_charged_by_what_can_be(usage: Any, outcome: str, charged: Any, streams: bool) -> None:
    """A call whose figures cannot be is charged with all that was held, streamed or not."""
    lying = ModelReply(text=WORDS, usage=Usage(**usage), model="scripted-1", provider="scripted")

    class Ask(Tell):
        async def handle(self, request: StepRequest) -> StepResult:
            wish = ModelRequest(messages=(Message(content="go"),), max_output_tokens=700)
            done = await request.model.complete(wish, on_text=(lambda _: None) if streams else None)
            return StepResult(output=done.text)

    seen: list[Any] = []
    flow = Workflow.model_validate({"name": "f", "steps": [{"id": "a", "intent": "tell"}]})
    async with engine(Ask(), ScriptedProvider(lying), settings={"calls": {"attempts": 1}}) as service:
        result = await service.run(flow, on_event=seen.append)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    held = next(event for event in seen if isinstance(event, events.TokensReserved))
    ended = next(event for event in seen if isinstance(event, events.TokensSettled))
    assert totals.open_holds == 0
    if charged is not None:
        assert (ended.outcome, totals.tokens) == (outcome, charged)
        assert "0 output tokens" in ended.corrected
    else:
        assert totals.tokens >= min(held.tokens, 450)
        assert "scripted/scripted-1 cannot be charged" in result.failures["a"].message


# --- replies ---

HOLD = Hold("k", 1000, 500, 300, "m", 5.0)


def enters(made: Any, request: ModelRequest | None = None, **more: Any) -> Any:
    wish = request or asked("go")
    return checked_reply(made, ROUTE, wish, HOLD, max_bytes=more.pop("most", 10**6), **more)


def plain(text: str = "Yes.", **more: Any) -> ModelReply:
    usage = more.pop("usage", Usage(input_tokens=10, output_tokens=5))
    return ModelReply(text=text, usage=usage, model="m", provider="scripted", **more)


def test_every_string_of_a_reply_can_be_stored() -> None:
    broken = plain(
        "cut \ud83d", reasoning="\ud83d", request_id="\ude00", data={"\ud83d": ["\ude00"]}, raw={"a": "\ud83d"}
    )
    whole = enters(broken).reply
    whole.model_dump_json()
    assert (whole.text, whole.reasoning, whole.data) == ("cut \ufffd", "\ufffd", {"\ufffd": ["\ufffd"]})


def test_a_reply_that_is_as_long_as_it_may_be_was_cut() -> None:
    assert enters(plain(usage=Usage(input_tokens=10, output_tokens=300))).reply.stop_reason == "length"
    assert enters(plain(usage=Usage(input_tokens=10, output_tokens=299))).reply.stop_reason == "end"


def test_reasoning_is_taken_out_and_data_is_read_whatever_the_provider() -> None:
    wish = ModelRequest(messages=(Message(content="go"),), json_schema={"type": "object"})
    found = enters(plain('<think>{"a": 0}</think>```\n{"a": 1}\n```'), wish).reply
    assert (found.data, found.reasoning) == ({"a": 1}, '{"a": 0}')


def test_a_reply_that_is_too_large_names_the_setting() -> None:
    with pytest.raises(ProviderError) as caught:
        enters(plain("x" * 2000), most=1000)
    assert "calls.max_reply_bytes" in caught.value.hint
    assert caught.value.billed


@pytest.mark.parametrize("made", [None, "text", {"text": "x"}])
def test_what_is_no_reply_is_a_fault_of_the_provider(made: Any) -> None:
    with pytest.raises(ProviderError, match="'scripted' returned"):
        enters(made)


@pytest.mark.parametrize(
    ("asked_for", "answered", "same"),
    [
        ("gpt-6-luna", "gpt-6-luna-2026-09-01", True),
        ("m", "", True),
        ("acme/m-7b", "m-7b", True),
        ("m-7b", "/models/m-7b.gguf", True),
        ("m", "M:latest", True),
        ("m-large", "m-small", False),
        ("m", "m-mini", False),
        ("gpt-6", "gpt-6.1", False),
        ("big", "/models/SmolLM2.gguf", False),
    ],
)
def test_the_model_that_answered_is_compared_with_the_one_asked(asked_for: str, answered: str, same: bool) -> None:
    assert is_same_model(asked_for, answered) is same


def test_another_model_s_answer_is_on_record() -> None:
    assert enters(plain(answered_by="another")).answered_by == "another"
    assert enters(plain(answered_by="m-2026-01-01")).answered_by == ""


# --- streams ---


def follow(text: str, most: int, counter: TokenCounter) -> LiveMeter:
    meter = LiveMeter(Hold("k", most + 100, 500, most, "m", 5.0), counter)
    for at in range(0, len(text), 9):
        meter.text(text[at : at + 9])
    return meter


BOUNDED = counter_for(TokenCounting(), proven=True)
SPLITTING = TokenCounter(len, exact=True, bound="exact")


@pytest.mark.parametrize("kind", [kind for kind in TEXTS if kind != "half a character"])
@pytest.mark.parametrize("per_token", [4, 12, 60])
def test_an_honest_answer_is_not_cut_off(kind: str, per_token: int) -> None:
    """Of a model whose tokens are larger than any that are assumed here."""
    text = TEXTS[kind]
    meter = follow(
        text, max(16, len(text.split()) // 3, len(text.encode("utf-8", "replace")) // per_token), BOUNDED
    )
    assert meter.charge is not None


@pytest.mark.parametrize(("text", "most"), [("word " * 4000, 500), ("x" * 100_000, 500), ("\u6587" * 40_000, 500)])
def test_an_answer_that_cannot_be_within_its_limit_is_cut_off(text: str, most: int) -> None:
    with pytest.raises(ProviderError, match=f"more than the {most} tokens"):
        follow(text, most, BOUNDED)


def test_an_exact_count_cuts_sooner() -> None:
    follow("x" * 120, 100, SPLITTING)
    with pytest.raises(ProviderError, match="more than the 100 tokens"):
        follow("x" * 160, 100, SPLITTING)


def test_what_a_broken_stream_is_charged_is_an_upper_bound() -> None:
    meter = follow("word " * 20, 500, BOUNDED)
    assert meter.charge is not None
    assert meter.charge.output_tokens == 100
    meter.used(Usage(input_tokens=-5, output_tokens=2))
    assert meter.charge.input_tokens == 100, "what cannot be is not charged by"


# --- context windows ---


class Windowed(ScriptedProvider):
    """A model with a context window; refuses what is longer, as servers do."""

    window: int | None = 900

    def context_window(self, model: str) -> int | None:
        return self.window

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        if hold.tokens > 900:
            raise ContextOverflow("too long for the model", window=900)
        return await super().complete(hold, request)


class Digest(IntentHandler):
    """Sends its input, fitted."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("Tell",), compression=CompressionPolicy(floor=0.0))

    async def handle(self, request: StepRequest) -> StepResult:
        fitted = await request.model.fit(request.input)
        await request.model.complete(ModelRequest(messages=(Message(content=fitted.text),)))
        return StepResult(output=fitted.tokens_after)


class Half(Compressor):
    """Keeps the beginning."""

    name = "half"

    def compress(self, request: CompressRequest) -> Compression:
        words = request.text.split()
        kept = " ".join(words[: max(1, len(words) * request.target_tokens // (request.tokens + 1))])
        after = request.count(kept)
        return Compression(
            text=kept,
            tokens_before=request.tokens,
            tokens_after=after,
            strategy="half",
            lossless=False,
            quality=1.0,
        )


@pytest.mark.parametrize("window", [900, None])
async def test_inputs_are_fitted_into_the_window_and_answers_beside_them(window: int | None) -> None:
    provider = Windowed("yes")
    provider.window = window
    flow = Workflow.model_validate(
        {
            "name": "f",
            "inputs": {"text": {"type": "any"}},
            "budget": {"tokens": 50_000},
            "steps": [{"id": "a", "intent": "tell", "input": "{{ inputs.text }}"}],
        }
    )
    settings = {"budget": {"tokens_per_step": 50_000}}
    async with engine(Digest(), Half(), provider, settings=settings) as service:
        result = await service.run(flow, {"text": "the pump in the hall of the old works " * 200})
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert totals.open_holds == 0
    if window is None:
        assert result.failures["a"].message == "too long for the model"
        assert totals.tokens == 0, "a refusal is not charged"
    else:
        assert result.status == "completed", result.failures
        assert result.outputs["a"] < 0.8 * window
        ((hold, _),) = provider.calls
        assert hold.tokens <= window
        assert hold.max_output_tokens >= 16


# --- what errors name ---


async def test_a_time_out_is_named_where_the_budget_admits_no_other_try() -> None:
    """What the lost try may have cost is charged, so that the budget refuses the next one; that is not the cause."""

    class Slow(ScriptedProvider):
        async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
            raise ProviderError("the vendor did not answer in time", retryable=True, billed=True)

    flow = Workflow.model_validate(
        {"name": "f", "budget": {"tokens": 700}, "steps": [{"id": "a", "intent": "tell", "input": "some words"}]}
    )
    async with engine(Digest(), Slow(), settings={"calls": {"attempts": 3}}) as service:
        result = await service.run(flow)
    failure = result.failures["a"]
    assert failure.error == "ProviderError"
    assert "did not answer in time; another try is not admitted: the budget of" in failure.message
    assert result.status == "failed"


async def test_a_refusal_says_what_the_input_alone_takes() -> None:
    words = "the pump in the hall of the old works " * 40
    flow = Workflow.model_validate(
        {
            "name": "f",
            "inputs": {"text": {"type": "any"}},
            "budget": {"tokens": 120},
            "steps": [{"id": "a", "intent": "tell", "input": "{{ inputs.text }}"}],
        }
    )
    async with engine(Tell(), ScriptedProvider("yes"), settings={}) as service:
        result = await service.run(flow, {"text": words})
    assert "for the input alone): 120 tokens are left" in result.failures["a"].message


async def test_an_answer_s_length_is_held_and_what_the_model_is_given_to_think() -> None:
    class Thinking(ScriptedProvider):
        def thinking_tokens(self, model: str, request: ModelRequest) -> int:
            return 300

    held = []
    for provider in (ScriptedProvider("yes"), Thinking("yes")):
        await spend(provider, "some words", 5000)
        held.append(provider.calls[0][0].max_output_tokens)
    assert held == [60, 360]


@pytest.mark.parametrize(("words", "language", "tokens"), [(None, "", None), (60, "", 280), (60, "Hindi", 640)])
def test_a_number_of_words_bounds_an_answer(words: Any, language: str, tokens: Any) -> None:
    assert answer_tokens(words, language) == tokens


async def test_a_provider_that_cannot_be_prepared_is_named_and_nothing_is_held() -> None:
    class Broken(ScriptedProvider):
        async def warm(self) -> None:
            raise ImportError("no module named 'its_sdk'")

    provider = Broken("yes")
    result, totals, seen = await spend(provider, "some words", 5000)
    assert "the provider 'scripted' cannot be used: ImportError" in result.failures["a"].message
    assert (totals.tokens, totals.open_holds, provider.calls) == (0, 0, [])
    assert not [event for event in seen if isinstance(event, events.TokensReserved)]


async def test_a_provider_is_prepared_before_anything_is_held() -> None:
    """What takes seconds then, a process that is killed leaves nothing in doubt."""
    order: list[str] = []

    class Watched(ScriptedProvider):
        async def warm(self) -> None:
            order.append("warm")

        async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
            order.append("sent")
            return await super().complete(hold, request)

    flow = Workflow.model_validate({"name": "f", "steps": [{"id": "a", "intent": "tell", "input": "words"}]})
    async with engine(Digest(), Watched("yes"), settings={}) as service:
        await service.run(flow, on_event=lambda event: order.append(event.type))
    kept = [item for item in order if item in ("warm", "sent", "tokens_reserved")]
    assert kept == ["warm", "tokens_reserved", "sent"]

"""How much room a step's content gets: to the token, by budget, window, share, tools and what may be asked for."""

from typing import Any, ClassVar

import pytest

from intendant import Workflow, events
from intendant.planning import receipts
from intendant.plugin import (
    Compression,
    CompressionPolicy,
    Compressor,
    Connector,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    Options,
    StepResult,
    TokenCounting,
    operation,
)
from intendant.testing import ScriptedProvider, engine

TEXT = "x" * 5000


class Letters(ScriptedProvider):
    """Takes a token for each letter."""

    window: int | None = None

    def token_counting(self, model):
        return TokenCounting(len, exact=True, message=0)

    def context_window(self, model):
        return self.window


class NoTools(Letters):
    """Cannot be offered tools."""

    tools: ClassVar[bool] = False


class Free(Letters):
    """Asks no model."""

    charges = False


class Probe(Compressor):
    """Notes how small content should be; what it is asked first is the target itself."""

    name = "a_probe"
    lossless = True

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[int] = []

    def compress(self, request):
        if request.lossless_only and request.strategy == "auto":
            self.targets.append(request.target_tokens)


class Cut(Compressor):
    """Keeps the beginning."""

    name = "cut"

    def compress(self, request):
        text = request.text[: request.target_tokens]
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=len(text), strategy=self.name, lossless=False,
            dropped=("the end",),
        )  # fmt: skip


class Fits(IntentHandler):
    """Fits its input, and tells what it had."""

    def __init__(self, policy: CompressionPolicy | None = None, **how: Any) -> None:
        self.spec = IntentSpec(
            name="fits", summary="Fit", examples=("Fit",), compression=policy or CompressionPolicy(floor=0.0)
        )
        super().__init__()
        self.how, self.seen = how, {}

    async def handle(self, request):
        model = request.model
        self.seen = {
            "left": model.tokens_left,
            "total": model.tokens_total,
            "window": model.context_window,
            "room": model.room,
        }
        fitted = await model.fit(request.input, **self.how)
        self.seen |= {"text": fitted.text, "tokens": fitted.tokens_after}
        return StepResult(output=None)


class Reads(Connector):
    """Reads."""

    name = "reads"

    @operation(side_effects=False)
    async def one(self, parameters: Options) -> str:
        """Read."""
        return ""


async def fitted(
    *more: Any,
    provider: Any = None,
    policy: Any = None,
    tokens: int | None = 2000,
    step: Any = None,
    flags: Any = None,
    **how: Any,
) -> tuple[list[int], dict[str, Any]]:
    """The targets that the compressor was asked for, and what the handler saw."""
    fits, probe = Fits(policy, **how), Probe()
    flow = {"name": "t", "steps": [{"id": "a", "intent": "fits", "input": TEXT, **(step or {})}]}
    budget = {"tokens_per_workflow": tokens, "tokens_per_step": tokens}
    settings = {"budget": budget, "flags": flags or {}}
    if tokens is None:
        settings = {"flags": {"token_governance_enabled": False, **(flags or {})}}
    async with engine(fits, probe, Cut(), provider or Letters(), *more, settings=settings) as service:
        result = await service.run(Workflow.model_validate(flow))
    assert result.status == "completed", result.failures
    return probe.targets, fits.seen


async def test_three_quarters_of_what_is_left_are_for_content_unless_the_handler_says_otherwise() -> None:
    targets, seen = await fitted()
    assert (seen["left"], seen["total"], seen["room"], seen["window"]) == (2000, 2000, 2000, None)
    assert targets == [1500]
    assert (await fitted(share=0.5))[0] == [1000]
    assert (await fitted(share=0.5, overhead="seven..", tokens=1001))[0] == [493]
    assert (await fitted(room=321))[0] == [321]
    assert (await fitted(share=0.5, overhead="x" * 1500))[0] == [0], "there is none left"


async def test_the_window_of_the_model_bounds_what_is_left() -> None:
    narrow, wide = NoTools(), NoTools()
    narrow.window, wide.window = 800, 4000
    targets, seen = await fitted(provider=narrow, share=0.5)
    assert (targets, seen["window"], seen["room"]) == ([400], 800, 800)
    assert (await fitted(provider=wide, share=0.5))[1]["room"] == 2000
    targets, seen = await fitted(provider=narrow, share=0.5, tokens=None)
    assert (targets, seen["left"], seen["room"]) == ([400], 20_000, 800)


@pytest.mark.parametrize(
    ("aimed", "tokens", "targets"),
    [
        (1.0, None, []),
        (0.5, None, [2500]),
        (0.25, 2000, [1250]),
        (0.5, 2000, [1500]),
        (0.999, None, [4995]),
    ],
)
async def test_a_policy_may_aim_at_a_part_whatever_is_left(aimed, tokens, targets) -> None:
    policy = CompressionPolicy(floor=0.0, target=aimed)
    assert (await fitted(policy=policy, tokens=tokens))[0] == targets


async def test_room_is_kept_for_parts_that_may_be_asked_for() -> None:
    """For so many further calls, each with what was fitted, the tool, the mark and a part."""
    policy = CompressionPolicy(floor=0.0, expansions=2)
    (target,), _ = await fitted(policy=policy, tokens=9000, share=0.5)
    offered = 1500 - target - receipts.MARK_TOKENS - receipts.SLICE_TOKENS
    assert 100 < offered < 700, "what the tool takes"
    (less,), _ = await fitted(policy=policy, tokens=9000, share=0.5, overhead="x" * 10)
    assert less == target - 10
    (other,), _ = await fitted(policy=CompressionPolicy(floor=0.0, expansions=1), tokens=9000, share=0.5)
    assert other == target + 750
    assert (await fitted(provider=NoTools(), policy=policy, tokens=9000, share=0.5))[0] == [4500]


@pytest.mark.parametrize(("turns", "divided"), [(2, 2), (4, 4), (9, 4)])
async def test_with_tools_content_is_sent_with_each_of_up_to_four_turns(turns, divided) -> None:
    step = {"tools": ["reads.one"], "prompt": "x", "max_turns": turns}
    (target,), seen = await fitted(Reads(), step=step, tokens=4000, share=0.5)
    assert target == 2000 // divided
    assert seen["room"] == 4000


async def test_what_costs_nothing_has_no_limit_and_nothing_is_saved() -> None:
    targets, seen = await fitted(provider=Free())
    assert (targets, seen["left"], seen["total"], seen["text"]) == ([], None, None, TEXT)


@pytest.mark.parametrize("flags", [{"compression_enabled": False}])
async def test_without_compression_content_stays_as_it_is(flags) -> None:
    targets, seen = await fitted(flags=flags)
    assert (targets, seen["text"], seen["tokens"]) == ([], TEXT, 5000)


async def test_what_fits_is_not_compressed() -> None:
    assert (await fitted(room=5000))[0] == []
    assert (await fitted(room=4999))[0] == [4999]


# --- calls ---


class Sends(IntentHandler):
    """Fits its input and sends it as often as it is told to."""

    spec = IntentSpec(name="sends", summary="Send", examples=("Send",), compression=CompressionPolicy(floor=0.0))
    rooms: tuple[int, ...] = (1000,)
    most: int | None = 20

    async def handle(self, request):
        sent = []
        for room in self.rooms:
            fitted = await request.model.fit(request.input, room=room)
            asked = ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=self.most)
            await request.model.complete(asked)
            sent.append(fitted.tokens_after)
        return StepResult(output=sent)


async def sent(
    *rooms: int, tokens: int = 100_000, step: Any = None, most: int | None = 20
) -> tuple[Any, Any, list[Any]]:
    sends, provider, seen = Sends(), Letters(), []
    sends.rooms, sends.most = rooms, most
    flow = {"name": "t", "steps": [{"id": "a", "intent": "sends", "input": TEXT, **(step or {})}]}
    settings = {"budget": {"tokens_per_workflow": tokens, "tokens_per_step": tokens}}
    async with engine(sends, Cut(), provider, settings=settings) as service:
        result = await service.run(Workflow.model_validate(flow), on_event=seen.append)
    return result, provider, seen


async def test_content_that_was_compressed_is_sent_in_the_same_bytes_where_that_fits() -> None:
    """So that the provider's prompt cache reads it."""
    result, provider, seen = await sent(1000, 3000, 500)
    assert [len(request.messages[0].content) for _, request in provider.calls] == [995, 995, 497]
    compressed = [event for event in seen if isinstance(event, events.TokenCompressed)]
    assert [(event.tokens_before, event.tokens_after, event.saved) for event in compressed] == [
        (5000, 995, 4005),
        (5000, 995, 4005),
        (5000, 497, 4503),
    ]
    assert result.steps["a"].tokens_saved == 4005 * 2 + 4503
    assert {event.original for event in compressed} == {receipts.handle_of(TEXT)}
    assert [(event.strategy, event.refused, event.severity) for event in compressed] == [
        ("cut", False, "info")
    ] * 3


async def test_where_the_budget_refuses_content_is_compressed_further_by_what_is_too_much() -> None:
    result, provider, seen = await sent(3000, tokens=2000, most=100)
    assert result.status == "completed", result.failures
    (held, request) = provider.calls[0]
    assert held.tokens <= 2000
    assert 1000 <= len(request.messages[0].content) <= 2000 - held.max_output_tokens
    compressed = [event for event in seen if isinstance(event, events.TokenCompressed)]
    assert compressed[0].tokens_after == 2985
    assert compressed[1].tokens_before == 2985, "what was saved before is on record"
    assert compressed[1].tokens_after == len(request.messages[0].content)
    assert result.steps["a"].tokens_saved == 5000 - compressed[1].tokens_after


async def test_what_the_step_says_of_its_answers_goes_before_what_the_handler_asks() -> None:
    _, provider, _ = await sent(1000, step={"max_output_tokens": 7, "temperature": 0.25})
    (_, request) = provider.calls[0]
    assert (request.max_output_tokens, request.temperature) == (7, 0.25)
    _, provider, _ = await sent(1000)
    (_, request) = provider.calls[0]
    assert (request.max_output_tokens, request.temperature) == (20, None)


@pytest.mark.parametrize(
    ("step", "times"),
    [
        ({}, 1),
        ({"tools": ["reads.one"], "max_turns": 3}, 3),
        ({"for_each": "{{ inputs.rows }}"}, 4),
        ({"for_each": "{{ inputs.rows }}", "tools": ["reads.one"], "max_turns": 3}, 12),
    ],
)
async def test_a_step_gets_so_many_tokens_for_each_item_and_turn_at_most(step, times) -> None:
    """Of a budget that would admit more."""
    flow = {
        "name": "t",
        "inputs": {"rows": {"type": "array", "default": [1, 2, 3, 4]}},
        "budget": {"tokens": 100_000},
        "steps": [{"id": "a", "intent": "sends", "prompt": "x", **step}],
    }
    settings = {"budget": {"tokens_per_step": 1000}}
    async with engine(Sends(), Reads(), Cut(), Letters(), settings=settings) as service:
        plan = await service.plan(Workflow.model_validate(flow))
    assert plan.by_id["a"].tokens == 1000 * times

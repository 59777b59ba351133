"""Shadow mode decides and records, and changes nothing; limits hold, unless one is watched."""

from intendant import Workflow, events
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import ScriptedProvider, engine
from intendant_compress_structural import StructuralCompressor
from intendant_tier_balanced import BalancedTier
from intendant_tier_fast import FastTier


class Fits(IntentHandler):
    """Compresses its input to half, and asks."""

    spec = IntentSpec(name="fits", summary="Fit", examples=("Fit",))

    async def handle(self, request):
        fitted = await request.model.fit(request.input, room=50)
        ask = ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


TEXT = [{"order": n, "state": "paid", "customer": "the same one"} for n in range(60)]


async def shadow_run(*, shadow: bool, tokens: int = 20_000, **budget):
    step = {"id": "a", "intent": "fits", "input": TEXT, "prompt": "x"}
    flow = Workflow.model_validate({"name": "x", "budget": {"tokens": tokens}, "steps": [step]})
    provider, seen = ScriptedProvider("yes"), []
    settings = {"flags": {"shadow": shadow}, "budget": budget}
    made = (Fits(), provider, StructuralCompressor(), FastTier(), BalancedTier())
    async with engine(*made, settings=settings) as service:
        result = await service.run(flow, on_event=seen.append)
    return result, provider, seen


async def test_shadow_mode_changes_nothing_and_says_what_would_have_been_saved() -> None:
    plain, sent, seen = await shadow_run(shadow=False)
    shadowed, sent_in_shadow, shadow_seen = await shadow_run(shadow=True)
    assert "token_compressed" in {event.type for event in seen}
    kinds = {event.type for event in shadow_seen}
    assert "token_compressed" not in kinds
    decided_so = [event for event in shadow_seen if isinstance(event, events.ShadowDecided)]
    assert {event.what for event in decided_so} == {"routing", "compression"}
    saved = next(event.saved_tokens for event in decided_so if event.what == "compression")
    assert saved == plain.metrics.tokens_saved > 0
    assert shadowed.metrics.tokens_saved == 0
    assert len(sent_in_shadow.calls[0][1].messages[0].content) > len(sent.calls[0][1].messages[0].content)
    routing = next(event for event in decided_so if event.what == "routing")
    assert (routing.wanted, routing.instead) == ("fast: scripted/scripted-1", "balanced: scripted/scripted-1")


async def test_limits_hold_in_shadow_mode() -> None:
    result, provider, _ = await shadow_run(shadow=True, tokens=100)
    assert result.status == "refused"
    assert provider.calls == []


async def test_a_watched_limit_records_what_would_have_been_refused() -> None:
    result, _, seen = await shadow_run(shadow=True, tokens=100, run_limit="watch")
    assert result.status == "completed"
    watched = next(event for event in seen if isinstance(event, events.LimitWatched))
    assert (watched.unit, watched.limit) == ("tokens", 100)
    assert watched.spent == result.metrics.tokens_used > 100

"""The whole way of a call: engine, gateway, ledger, provider, SDK, and a server that fails on demand."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from intendant import RunResult, Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, Provider, StepRequest, StepResult
from intendant.record.store import bookings
from intendant.spending.batching import BatchLanes
from intendant.testing import OnlyTier, engine
from intendant_provider_anthropic import AnthropicProvider
from intendant_provider_openai import OpenaiProvider

THINKS, DOES_NOT = {"fast": "gpt-6-luna"}, {"fast": "gpt-4.1"}
"""Models have to be named at a server that is not the vendor's own."""
PROVIDERS: dict[str, Callable[[], Provider]] = {
    "messages": lambda: AnthropicProvider({"models": {"fast": "claude-haiku-5-5"}}),
    "messages, not thinking": lambda: AnthropicProvider({"models": {"fast": "claude-haiku-4-5"}, "effort": None}),
    "responses": lambda: OpenaiProvider({"api": "responses", "models": THINKS}),
    "responses, not thinking": lambda: OpenaiProvider(
        {"api": "responses", "models": DOES_NOT, "effort": "unsent"}
    ),
    "chat": lambda: OpenaiProvider({"models": THINKS}),
    "chat, not thinking": lambda: OpenaiProvider({"models": DOES_NOT}),
}


class Fast(OnlyTier):
    """The tier `fast`."""

    name = "fast"


class Tell(IntentHandler):
    """Answers with what the model says, and shows it while it is written."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("a", "b", "c", "d", "e"))

    def __init__(self, *, streams: bool, more: dict[str, Any]) -> None:
        super().__init__()
        self.streams, self.more = streams, more
        self.shown: list[str] = []
        self.began = asyncio.Event()

    def show(self, piece: str) -> None:
        self.shown.append(piece)
        self.began.set()

    async def handle(self, request: StepRequest) -> StepResult:
        asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=200, **self.more)
        on_text = self.show if self.streams else None
        reply = await request.model.complete(asked, on_text=on_text)
        return StepResult(output={"text": reply.text, "calls": [call.name for call in reply.calls]})


@dataclass
class Told:
    """What became of a run; there is no result if it was cancelled."""

    result: RunResult | None
    events: list[Any]
    shown: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer."""
        assert self.result is not None
        found: str = self.result.outputs["a"]["text"]
        return found

    @property
    def tries(self) -> list[Any]:
        """Each try's settlement."""
        return [event for event in self.events if event.type == "tokens_settled"]

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.tries]

    @property
    def held(self) -> list[int]:
        """What each try held, in tokens."""
        return [event.tokens for event in self.events if event.type == "tokens_reserved"]


Ask = Callable[..., Awaitable[Told]]


@pytest.fixture
def ask(llmock: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs one step that asks a model, and checks that the ledger saw each request that the server saw."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("intendant.spending.gateway.RETRY_SECONDS", 0.06)
    random.seed(7)

    async def asked(
        name: str,
        *,
        streams: bool = False,
        step: Any = None,
        more: Any = None,
        cancel: bool = False,
        **settings: Any,
    ) -> Told:
        tell = Tell(streams=streams, more=more or {})
        events: list[Any] = []
        steps = [{"id": "a", "intent": "tell", "prompt": "Say something", **(step or {})}]
        flow = Workflow.model_validate({"name": "wire", "steps": steps})
        async with engine(tell, PROVIDERS[name](), Fast(), settings=settings) as service:
            service._engine.gateway._batches = BatchLanes(0.0, (0.01, 0.02))
            running = asyncio.create_task(service.run(flow, on_event=events.append))
            if cancel:
                await tell.began.wait()
                running.cancel()
                await asyncio.wait([running])
            result = None if cancel else await running
            totals = await service._engine.store.do(bookings.totals_of_run(events[0].run_id))
        assert totals.open_holds == 0
        assert totals.tokens == sum(event.usage.tokens for event in events if event.type == "tokens_settled")
        assert result is None or totals.tokens == result.metrics.tokens_used
        told = Told(result, events, tell.shown)
        assert len(told.held) == len(told.tries)
        return told

    return asked

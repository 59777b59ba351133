"""A vendor that keeps its own books, and five rules that hold after every run against it.

Each test of this folder plays a situation in which another framework or gateway has overspent, lost count or refused
without need (`docs/incidents.md` lists them all), against a real server, through the real SDK.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from intendant import OrchestrationService, RunResult, Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, Plugin, StepRequest, StepResult
from intendant.record.store import bookings, budgets
from intendant.testing import OnlyTier, WireServer, engine
from intendant_provider_openai import OpenaiProvider

PRICES = {"models": {"openai/m": {"input": 1.0, "output": 2.0}}}
"""US$ per million tokens."""


@dataclass
class Play:
    """How the vendor answers one request, and what it charges for it."""

    text: str = "ok"
    given: int | None = None
    """Tokens that it counts for the prompt; by default one for each byte of the texts, and four for each message."""
    written: int | None = None
    """…and for the answer; by default one for each byte of the text, and no more than was asked for."""
    usage: Any = "true"
    """`true`; `each` for a total with each piece of a stream; None for none; or what it reports instead."""
    status: int = 200
    bill: int | None = None
    """Tokens that are charged; by default what was given and written, and nothing for an error."""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=lambda: {"message": "scripted"})
    wait: float = 0.0
    """Seconds before it answers."""
    cut: int | None = None
    """Pieces after which a stream is cut."""
    model: str = "m"
    finish: str = "stop"
    message: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


class Vendor:
    """A server that speaks Chat Completions, and writes down what it charges when a request arrives.

    Args:
        plays: One for each request; the last one for all that follow.
    """

    def __init__(self, *plays: Play) -> None:
        self.plays = plays or (Play(),)
        self.asked: list[dict[str, Any]] = []
        self.billed: list[tuple[int, int]] = []
        """Tokens given and written, of each request."""
        self.server = WireServer(self._answer)

    @property
    def bill(self) -> int:
        """Tokens that were charged."""
        return sum(given + written for given, written in self.billed)

    @property
    def usd(self) -> float:
        """The same at the list's prices."""
        return sum(given * 1.0 + written * 2.0 for given, written in self.billed) / 1_000_000

    @property
    def limits(self) -> list[int]:
        """The most tokens that each request admits for its answer."""
        return [body.get("max_tokens") or body.get("max_completion_tokens") or 0 for body in self.asked]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with self.server.running() as url:
            yield f"{url}/v1"

    async def _answer(self, sent: Any) -> Any:
        if sent.line.startswith("GET"):
            return (404, {"error": {"message": "no such path"}}, {})
        body: dict[str, Any] = sent.body
        play = self.plays[min(len(self.asked), len(self.plays) - 1)]
        self.asked.append(body)
        given, written = self._counts(body, play)
        bill = (given, written) if play.status == 200 else (0, 0)
        self.billed.append(bill if play.bill is None else (play.bill, 0))
        await asyncio.sleep(play.wait)
        if play.status != 200:
            return (play.status, {"error": dict(play.error)}, play.headers)
        usage = self._usage(given, written, play)
        if body.get("stream"):
            return (200, self._pieces(play, usage), play.headers)
        choice = {"index": 0, "finish_reason": play.finish}
        message = {"role": "assistant", "content": play.text, **play.message}
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": play.model, **play.more}
        return (200, {**answer, "choices": [{**choice, "message": message}], "usage": usage}, play.headers)

    def _counts(self, body: Mapping[str, Any], play: Play) -> tuple[int, int]:
        given = play.given
        if given is None:
            texts = (message["content"] for message in body["messages"])
            given = sum(len(str(text).encode()) + 4 for text in texts)
        written = len(play.text.encode()) if play.written is None else play.written
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 10**9
        return given, min(written, most)

    @staticmethod
    def _usage(given: int, written: int, play: Play) -> Any:
        if play.usage not in ("true", "each"):
            return play.usage
        return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}

    @staticmethod
    def _pieces(play: Play, usage: Any) -> list[Any]:
        def event(more: Mapping[str, Any]) -> bytes:
            head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": play.model}
            return f"data: {json.dumps({**head, **more})}\n\n".encode()

        words = play.text.split(" ")
        pieces: list[Any] = []
        for number, word in enumerate(words):
            if number == play.cut:
                return [*pieces, "reset"]
            choice = {"index": 0, "delta": {"content": f"{word} ", **play.message}, "finish_reason": None}
            more = {"usage": usage} if play.usage == "each" else {}
            pieces += [event({"choices": [choice], **more}), 0.002]
        pieces.append(event({"choices": [{"index": 0, "delta": {}, "finish_reason": play.finish}]}))
        if usage is not None and play.usage != "each":
            pieces.append(event({"choices": [], "usage": usage}))
        return [*pieces, b"data: [DONE]\n\n"]


class Fast(OnlyTier):
    """The tier `fast`."""

    name = "fast"


Program = Callable[[StepRequest], Awaitable[Any]]


class Does(IntentHandler):
    """Does what the test says."""

    spec = IntentSpec(name="does", summary="Does", examples=("a", "b", "c", "d", "e"))

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    async def handle(self, request: StepRequest) -> StepResult:
        return StepResult(output=await self.program(request))


async def ask_once(request: StepRequest, text: str = "", most: int = 20, **more: Any) -> str:
    """One call."""
    message = Message(content=text or request.prompt or "hi")
    reply = await request.model.complete(ModelRequest(messages=(message,), max_output_tokens=most), **more)
    return reply.text


@dataclass
class Told:
    """What became of a run."""

    result: RunResult | None
    events: list[Any]
    vendor: Vendor
    charged: int
    """Tokens by the ledger."""
    micro: int
    open_holds: int

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    @property
    def done(self) -> RunResult:
        assert self.result is not None
        return self.result

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.of("tokens_settled")]


async def look(service: OrchestrationService, result: RunResult | None, events: list[Any], vendor: Vendor) -> Told:
    """Read the ledger of a run, and hold it against the vendor's books by the rules.

    Raises:
        AssertionError: A rule is broken.
    """
    store = service._engine.store
    run_id = next(event.run_id for event in events)
    totals = await store.do(bookings.totals_of_run(run_id))
    rows = await store.do(budgets.budgets_of_run(run_id))
    told = Told(result, events, vendor, totals.tokens, totals.micro_usd, totals.open_holds)
    own = rows[f"run:{run_id}"]
    limits = {"tokens": own.limit_tokens, "micro": own.limit_micro}
    assert limits["tokens"] is None or vendor.bill <= limits["tokens"], "1: no overrun, in tokens"
    assert limits["micro"] is None or vendor.usd * 1e6 <= limits["micro"], "1: no overrun, in money"
    assert totals.tokens >= vendor.bill, "2: no undercount"
    assert totals.open_holds == 0, "3: no leak"
    assert all(row.held_tokens == row.held_micro == 0 for row in rows.values()), "3: no leak"
    held = told.of("tokens_reserved")
    assert len(vendor.asked) <= len(held) == len(told.of("tokens_settled")), "4: no hidden call"
    for body, hold, (given, _) in zip(vendor.asked, held, vendor.billed, strict=False):
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        assert 0 < most <= hold.tokens, "4: each request says how much it admits at most"
        assert len(held) > len(vendor.asked) or hold.tokens >= given + most, "4: all that is sent is held"
    return told


@dataclass
class World:
    """An engine against a vendor."""

    service: OrchestrationService
    vendor: Vendor

    async def run(self, flow: Workflow, **inputs: Any) -> Told:
        """Run a workflow, and hold it against the rules."""
        events: list[Any] = []
        before = len(self.vendor.asked), len(self.vendor.billed)
        result = await self.service.run(flow, inputs, on_event=events.append)
        mine = Vendor(*self.vendor.plays)
        mine.asked, mine.billed = self.vendor.asked[before[0] :], self.vendor.billed[before[1] :]
        return await look(self.service, result, events, mine)


def flow_of(*steps: Mapping[str, Any], **more: Any) -> Workflow:
    """A workflow of steps that do what the test says."""
    made = [{"id": f"s{number}", "intent": "does", "prompt": "hi", **step} for number, step in enumerate(steps)]
    return Workflow.model_validate({"name": "incident", "steps": made or [{"id": "s0", "intent": "does"}], **more})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens a `World`: `async with world(Play(…), …, program=…, settings={…}) as here`."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("intendant.spending.gateway.RETRY_SECONDS", 0.01)

    @asynccontextmanager
    async def opened(
        *plays: Play,
        program: Program = ask_once,
        settings: Mapping[str, Any] | None = None,
        provider: Mapping[str, Any] | None = None,
        plugins: Sequence[Plugin] = (),
        db: str = "none",
    ) -> AsyncIterator[World]:
        vendor = Vendor(*plays)
        async with vendor.running() as url:
            chosen = {"base_url": url, "models": {"fast": "m"}, "count": "none", **(provider or {})}
            made = (Does(program), OpenaiProvider(chosen), Fast(), *plugins)
            async with engine(*made, settings={"prices": PRICES, **(settings or {})}, db=db) as service:
                yield World(service, vendor)

    return opened


@pytest.fixture
def play() -> type[Play]:
    """How the vendor answers."""
    return Play


@pytest.fixture
def ask() -> Callable[..., Awaitable[str]]:
    """Asks once, from a program."""
    return ask_once


@pytest.fixture
def flow() -> Callable[..., Workflow]:
    """Makes a workflow."""
    return flow_of

"""A budget of ten calls, and a hundred that want to be made: what gets through elsewhere, and here.

    python -m nox -s peers

The same stub server answers all of them over HTTP, through the official OpenAI SDK, and keeps the books. Each
guard is driven as its documentation says: LiteLLM's `max_budget`, pydantic-ai's `UsageLimits` on one shared usage,
a limit of an agent here; one call after the other, and all at once. Needs `litellm` and `pydantic-ai-slim`.

LiteLLM adds to its cost only where a result is a `dict` with `content` (`Logging._success_handler_helper_fn`, seen
in 1.106), which no reply of `acompletion` is: its limit is then never reached, whatever the order of the calls.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from openai import AsyncOpenAI

from intendant import BudgetExceeded
from intendant.config.settings import PriceSetting
from intendant.hooks.providers import Hold, Provider, TokenCounting
from intendant.plugin import Message, ModelReply, ModelRequest, Route, Usage, estimate_tokens
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import Store, limits, runs
from intendant.spending.calls import CallScope
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.pricing import Prices
from intendant.spending.standing import StandingBudgets

MODEL = "gpt-4o-mini"
CALLS, FIT = 100, 10
INPUT, OUTPUT = 9, 30
"""Tokens of each call as the stub bills it."""
LIMIT = FIT * (INPUT + OUTPUT)
Made = Callable[[], Awaitable[object]]


class Stub:
    """An OpenAI-compatible server that answers after 20 ms and counts what it would bill."""

    def __init__(self) -> None:
        self.tokens = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                body = json.loads(await reader.readexactly(length))
                await asyncio.sleep(0.02)
                writer.write(self.answer(body))
                await writer.drain()
        writer.close()

    def answer(self, body: dict) -> bytes:
        asked = body.get("max_tokens") or body.get("max_completion_tokens") or OUTPUT
        output = min(OUTPUT, asked)
        self.tokens += INPUT + output
        usage = {"prompt_tokens": INPUT, "completion_tokens": output, "total_tokens": INPUT + output}
        message = {"role": "assistant", "content": "yes"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
        text = json.dumps({**reply, "usage": usage}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            len(text),
            text,
        )


class OpenAIHere(Provider):
    """The stub, through the official SDK, for our gateway."""

    name = "openai"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    def available(self) -> bool:
        return True

    def models(self) -> dict[str, str]:
        return {"t": MODEL}

    def token_counting(self, model: str) -> TokenCounting:
        return TokenCounting(estimate_tokens, exact=True)

    async def complete(self, held: Hold, request: ModelRequest) -> ModelReply:
        messages: Any = [{"role": item.role, "content": item.content} for item in request.messages]
        reply = await self.client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=held.max_output_tokens
        )
        assert reply.usage is not None
        usage = Usage(input_tokens=reply.usage.prompt_tokens, output_tokens=reply.usage.completion_tokens)
        return ModelReply(text="yes", usage=usage, model=MODEL, provider="openai")


def litellm_guard(url: str) -> Made:
    import litellm

    cost = litellm.cost_per_token(model=MODEL, prompt_tokens=INPUT, completion_tokens=OUTPUT)
    litellm.max_budget, litellm._current_cost = FIT * sum(cost), 0.0
    message = [{"role": "user", "content": "hello"}]
    return lambda: litellm.acompletion(
        model=f"openai/{MODEL}", messages=message, api_base=url, api_key="x", max_tokens=OUTPUT, num_retries=0
    )


def pydantic_ai_guard(url: str) -> Made:
    from pydantic_ai import Agent, UsageLimits
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.usage import RunUsage

    client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)
    agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)))
    shared, limits = RunUsage(), UsageLimits(total_tokens_limit=LIMIT, request_limit=None)
    return lambda: agent.run("hello", usage=shared, usage_limits=limits, model_settings={"max_tokens": OUTPUT})


async def intendant_guard(url: str) -> Made:
    store = Store("none")
    await store.do(limits.set_limit("agent:a", "day", LIMIT, None))
    row = RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)
    journal = Journal(store, await store.do(runs.open_run(row)))
    common = StandingBudgets(store, "t", "p", 30.0)
    made = RunLedger(journal, tokens=None, micro_usd=None, allocations={}, agent="a", standing=common)
    await made.open()
    prices = Prices({f"openai/{MODEL}": PriceSetting(input=0.15, output=0.6)})
    door, scope = Gateway({"openai": OpenAIHere(url)}, prices, 30.0), CallScope(journal, made, "s")
    route = Route(tier="t", provider="openai", model=MODEL, max_output_tokens=OUTPUT, reason="")
    request = ModelRequest(messages=(Message(content="hello"),))
    return lambda: door.complete(scope, route, request)


async def drive(made: Made, *, at_once: bool) -> int:
    """How many of the calls were answered."""

    async def one() -> bool:
        try:
            await made()
        except BudgetExceeded:
            return False
        except Exception as error:
            if type(error).__name__ not in ("BudgetExceededError", "UsageLimitExceeded"):
                raise
            return False
        return True

    if at_once:
        return sum(await asyncio.gather(*(one() for _ in range(CALLS))))
    return sum([await one() for _ in range(CALLS)])


async def main() -> int:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.disable(logging.ERROR)
    print(f"limit: {LIMIT} tokens = {FIT} calls; {CALLS} are wanted")
    print(f"{'guard':<34} {'how':<18} {'answered':>8} {'billed':>8} {'of the limit':>13}")
    overspent = 0
    for name, package, guard in (
        ("LiteLLM max_budget", "litellm", litellm_guard),
        ("pydantic-ai UsageLimits", "pydantic-ai-slim", pydantic_ai_guard),
        ("Intendant agent limit", "intendant", intendant_guard),
    ):
        for at_once in (False, True):
            stub = Stub()
            server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            made = guard(url)
            made = await made if asyncio.iscoroutine(made) else made
            answered = await drive(made, at_once=at_once)
            how = "all at once" if at_once else "one after another"
            shown = f"{name} {version(package)}"
            print(f"{shown:<34} {how:<18} {answered:>8} {stub.tokens:>8} {stub.tokens / LIMIT:>13.0%}")
            overspent += name.startswith("Intendant") and stub.tokens > LIMIT
            server.close()
    return int(overspent)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""What our gateway adds to a model call, in CPU time, and what litellm.Router adds, over the bare SDK.

    python -m nox -s peers            (installs litellm; without it only our part is measured)

A server in a process of its own answers at once, so that the time of this process is that of the client. All three
send the same request through the official OpenAI SDK, or what LiteLLM puts in its place. Ours counts, holds, sends,
settles and journals each call, in memory and in a SQLite file.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from time import process_time

from openai import AsyncOpenAI

from intendant.plugin import Message, ModelRequest, Route
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import Store, runs
from intendant.spending.calls import CallScope
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.pricing import Prices
from intendant.spending.standing import StandingBudgets
from intendant_provider_openai import OpenaiProvider

MODEL = "gpt-4o-mini"
ASKED_MICROS, ASKED_RATIO = 300, 10
TEXT = "Say what this is about: " + "a letter from a client who wants to know where the parcel is. " * 20
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A parcel."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 290, "completion_tokens": 3, "total_tokens": 293},
}
Made = Callable[[], Awaitable[object]]


def serve(pipe) -> None:
    """Answer every request with the same completion; tells its port first."""
    body = json.dumps(ANSWER).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = asked.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(head + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def bare(url: str, _folder: Path) -> Made:
    client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)
    messages = [{"role": "user", "content": TEXT}]
    return lambda: client.chat.completions.create(model=MODEL, messages=messages, max_tokens=50)


def ours(db: str) -> Callable[[str, Path], Awaitable[Made]]:
    async def make(url: str, folder: Path) -> Made:
        store = Store(db.format(folder=folder))
        row = RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)
        journal = Journal(store, await store.do(runs.open_run(row)))
        limits = StandingBudgets(store, "t", "p", 30.0)
        ledger = RunLedger(
            journal, tokens=10**9, micro_usd=10**9, allocations={"s": 10**9}, agent="a", standing=limits
        )
        await ledger.open()
        provider = OpenaiProvider({"base_url": url, "api": "chat"})
        door, scope = Gateway({"openai": provider}, Prices(), 30.0), CallScope(journal, ledger, "s")
        route = Route(tier="t", provider="openai", model=MODEL, max_output_tokens=50, reason="")
        request = ModelRequest(messages=(Message(content=TEXT),))
        return lambda: door.complete(scope, route, request)

    return make


async def router(url: str, _folder: Path) -> Made:
    import litellm

    litellm.suppress_debug_info = True
    parameters = {"model": f"openai/{MODEL}", "api_base": url, "api_key": "x"}
    made = litellm.Router(model_list=[{"model_name": "m", "litellm_params": parameters}], num_retries=0)
    messages = [{"role": "user", "content": TEXT}]
    return lambda: made.acompletion(model="m", messages=messages, max_tokens=50)


async def micros(made: Made, calls: int) -> float:
    """CPU µs of this process for each call."""
    for _ in range(20):
        await made()
    started = process_time()
    for _ in range(calls):
        await made()
    return (process_time() - started) / calls * 1e6


async def measure(url: str, calls: int, rounds: int) -> dict[str, float]:
    kinds: dict[str, Callable[[str, Path], Awaitable[Made]]] = {
        "bare SDK": bare,
        "Intendant, in memory": ours("none"),
        "Intendant, SQLite": ours("sqlite:///{folder}/x.db"),
    }
    if find_spec("litellm"):
        kinds["litellm.Router"] = router
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(rounds):
        for name, make in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                best[name] = min(best[name], await micros(await make(url, Path(folder)), calls))
    return best


def report(best: dict[str, float]) -> None:
    plain = best["bare SDK"]
    peer = best.get("litellm.Router", plain) - plain
    print(f"{'CPU of a call':<22} {'µs':>8} {'over the SDK':>13} {'of the Router':>14}")
    for name, each in best.items():
        over = each - plain
        share = f"1 / {peer / over:.1f}" if peer and over > 0 and name.startswith("Intendant") else ""
        asked = ""
        if name.startswith("Intendant"):
            met = over <= ASKED_MICROS and (not peer or peer >= ASKED_RATIO * over)
            asked = f"<= {ASKED_MICROS} and 1 / {ASKED_RATIO}: " + ("met" if met else "MISSED")
        print(f"{name:<22} {each:>8.0f} {over:>13.0f} {share:>14}  {asked}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "x"
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.disable(logging.ERROR)
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    report(asyncio.run(measure(f"http://127.0.0.1:{here.recv()}/v1", options.calls, options.rounds)))
    server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())

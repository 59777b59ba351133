"""What our gateway adds to a model call, in CPU time, and what litellm.Router adds, over the bare SDK.

    python -m nox -s peers            (installs litellm; without it only our part is measured)

A server in a process of its own answers at once, so that the time of this process is that of the client. All three
send the same request through the official OpenAI SDK, or what LiteLLM puts in its place. Ours counts, holds, sends,
settles and journals each call, in memory and in a SQLite file.
"""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

from answering import MODEL, answering
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

ASKED_MICROS, ASKED_RATIO = 300, 10
TEXT = "Say what this is about: " + "a letter from a client who wants to know where the parcel is. " * 20
Made = Callable[[], Awaitable[object]]


async def bare(url: str, _folder: Path) -> Made:
    client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)
    messages: Any = [{"role": "user", "content": TEXT}]
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
    with answering(prompt_tokens=290) as url:
        report(asyncio.run(measure(url, options.calls, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

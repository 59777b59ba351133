"""How near a map of model calls comes to the ideal, and what an item of a deterministic map costs.

    python tests/benchmarks/maps.py [--items 1000] [--parallel 50] [--rounds 3]

A server in a process of its own answers each call after 50 ms. The ideal is the time of that alone: items over calls at
once times 50 ms. The peer in the same run is the bare SDK with as many calls at once: what it misses, no map through it can
reach. The deterministic map's cost is that of an item beyond the first thousand, so that opening and planning are not in it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from statistics import median
from time import perf_counter, process_time
from typing import Any

from answering import MODEL, answering
from openai import AsyncOpenAI

from intendant import OrchestrationService, Workflow

WAIT = 0.05
ASKED_SHARE, ASKED_MICROS = 0.85, 150


async def bare(url: str, items: int, parallel: int) -> tuple[float, float]:
    """Wall and CPU seconds of as many calls through the SDK alone."""
    client, gate = AsyncOpenAI(base_url=url, api_key="x", max_retries=0), asyncio.Semaphore(parallel)

    async def call(number: int) -> None:
        async with gate:
            messages: Any = [{"role": "user", "content": f"What is item {number} about?"}]
            await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=50)

    await asyncio.gather(*map(call, range(parallel)))
    wall, cpu = perf_counter(), process_time()
    await asyncio.gather(*map(call, range(items)))
    return perf_counter() - wall, process_time() - cpu


def mapped(step: dict[str, Any], parallel: int) -> Workflow:
    """A map of one step over the input `items`."""
    each = {"id": "each", "for_each": "{{ inputs.items }}", "as": "item", "concurrency": parallel, "steps": [step]}
    return Workflow.model_validate(
        {"name": "map", "inputs": {"items": {"type": "array"}}, "budget": {"tokens": 10_000_000}, "steps": [each]}
    )


async def timed(settings: dict[str, Any], flow: Workflow, first: int, items: int) -> tuple[float, float]:
    """Wall and CPU seconds of a run over `items`, after one over `first`, in a database on disk."""
    with tempfile.TemporaryDirectory() as folder:
        async with OrchestrationService(settings, db=f"sqlite:///{folder}/x.db") as service:
            await service.run(flow, {"items": [f"warm {n}" for n in range(first)]})
            wall, cpu = perf_counter(), process_time()
            done = await service.run(flow, {"items": [f"item {n}" for n in range(items)]})
            wall, cpu = perf_counter() - wall, process_time() - cpu
            assert done.status == "completed", done.failures
    return wall, cpu


async def with_model(url: str, items: int, parallel: int) -> tuple[float, float]:
    """The same calls as steps of a map: held, sent, settled and journalled."""
    settings = {
        "plugins": {
            "settings": {
                "provider:openai": {"base_url": url, "api": "chat", "api_key": "x", "models": {"balanced": MODEL}}
            }
        },
        "classification": {"use_model": False},
    }
    ask = {
        "id": "ask",
        "intent": "generate",
        "tier": "balanced",
        "prompt": "What is {{ item }} about?",
        "max_output_tokens": 50,
    }
    return await timed(settings, mapped(ask, parallel), parallel, items)


async def deterministic(items: int) -> float:
    """CPU µs of an item of a map without a model, beyond the first thousand."""
    flow = mapped({"id": "copy", "intent": "transform", "input": "{{ item }}", "options": {"op": "to_json"}}, 50)
    settings = {"run": {"max_items": items}}
    short, long = [await timed(settings, flow, 10, number) for number in (1000, items)]
    return (long[1] - short[1]) / (items - 1000) * 1e6


async def measure(url: str, items: int, parallel: int, rounds: int) -> None:
    kinds = {"bare SDK": bare, "map of Intendant": with_model}
    seen: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, run in kinds.items():
            seen.setdefault(name, []).append(await run(url, items, parallel))
    ideal = items / parallel * WAIT
    print(f"{items} calls of {WAIT * 1000:.0f} ms, {parallel} at once: ideal {ideal:.2f} s")
    print(f"{'':<18} {'seconds':>8} {'of the ideal':>13} {'CPU µs a call':>14}")
    for name, rows in seen.items():
        wall, cpu = (median(row[at] for row in rows) for at in (0, 1))
        share = ideal / wall
        asked = (
            f"  >= {ASKED_SHARE:.0%}: {'met' if share >= ASKED_SHARE else 'MISSED'}" if name != "bare SDK" else ""
        )
        print(f"{name:<18} {wall:>8.2f} {share:>13.0%} {cpu / items * 1e6:>14.0f}{asked}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", type=int, default=10_000, help="Items of the deterministic map.")
    options = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "x"
    with answering(prompt_tokens=20, wait=WAIT) as url:
        asyncio.run(measure(url, options.items, options.parallel, options.rounds))
    micros = asyncio.run(deterministic(options.plain))
    print(
        f"deterministic map of {options.plain:,} items: {micros:.0f} µs of CPU an item  <= {ASKED_MICROS}: ",
        end="",
    )
    print("met" if micros <= ASKED_MICROS else "MISSED")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What one deterministic step costs, with everything on: plan, journal on SQLite, hash chain, events, metrics.

    python tests/benchmarks/overhead.py [--sizes 1000,2000,5000,10000] [--rounds 3]

Prints a table and writes `bench-output/overhead.svg`. The peer in the same run is a bare asyncio task per step.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, StepRequest, StepResult
from intendant.testing import sync_engine

OUT = Path("bench-output")


class Copy(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy it",))

    def needs_model(self, step: object) -> bool:
        return False

    async def handle(self, request: StepRequest) -> StepResult:
        return StepResult(output=request.input)


def workflow(count: int) -> Workflow:
    """Chains of ten steps side by side, each step with a reference to the one before."""
    row = {"id": 17, "name": "Ada Lovelace", "total": 1250.5, "state": "open", "tags": ["a", "b"]}
    steps = []
    for number in range(count):
        source = row if number % 10 == 0 else f"{{{{ steps.s{number - 1}.output }}}}"
        steps.append({"id": f"s{number}", "intent": "copy", "input": source})
    return Workflow.model_validate({"name": "bench", "steps": steps})


def run_once(count: int, folder: Path) -> tuple[float, float]:
    """Wall and CPU milliseconds per step, planning and the last commit included."""
    flow = workflow(count)
    with sync_engine(Copy(), db=f"sqlite:///{folder}/{count}.db") as service:
        service.run(workflow(10))  # imports and the opening of the database are not the step's
        wall, cpu = perf_counter(), process_time()
        result = service.run(flow)
        wall, cpu = perf_counter() - wall, process_time() - cpu
    assert result.metrics.steps_completed == count
    return wall / count * 1000, cpu / count * 1000


def peer(count: int) -> float:
    """Milliseconds per step for asyncio tasks that do nothing and remember nothing."""

    async def main() -> None:
        async def step(value: dict[str, int]) -> dict[str, int]:
            return value

        for number in range(count):
            json.dumps(await asyncio.create_task(step({"n": number})))

    started = perf_counter()
    asyncio.run(main())
    return (perf_counter() - started) / count * 1000


def plot(sizes: list[int], walls: list[float]) -> str:
    """Total time over steps, as SVG: a straight line if the growth is linear."""
    width, height, left, bottom = 640, 360, 70, 50
    top_x, top_y = max(sizes), max(size * wall / 1000 for size, wall in zip(sizes, walls, strict=True))
    points = [
        (
            left + size / top_x * (width - left - 20),
            height - bottom - size * wall / 1000 / top_y * (height - bottom - 20),
        )
        for size, wall in zip(sizes, walls, strict=True)
    ]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1f6feb"/>' for x, y in points)
    labels = "".join(
        f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{size}</text>'
        f'<text x="{x - 8:.1f}" y="{y - 8:.1f}" text-anchor="end">{size * wall / 1000:.2f} s</text>'
        for (x, y), size, wall in zip(points, sizes, walls, strict=True)
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(left, height - bottom), *points])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<polyline points="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>{dots}{labels}'
        f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">deterministic steps in one run (SQLite journal)</text>'
        f'<text x="16" y="{height / 2}" text-anchor="middle" transform="rotate(-90 16 {height / 2})">seconds</text></svg>'
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="1000,2000,5000,10000")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    walls = []
    print(f"{'steps':>7} {'ms/step':>9} {'CPU ms/step':>12} {'bare task':>10} {'ratio':>7}")
    for size in sizes:
        rounds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append((*run_once(size, Path(folder)), peer(size)))
        wall, cpu, bare = (min(values) for values in zip(*rounds, strict=True))
        walls.append(wall)
        print(f"{size:>7} {wall:>9.3f} {cpu:>12.3f} {bare:>10.4f} {wall / bare:>6.0f}x")
    print(
        f"growth: {walls[-1] / walls[0]:.2f}x the cost per step at {sizes[-1] / sizes[0]:.0f}x the steps (1.00 is linear)"
    )
    OUT.mkdir(exist_ok=True)
    (OUT / "overhead.svg").write_text(plot(sizes, walls))
    print(
        f"plot: {OUT / 'overhead.svg'}; asked: at most 1 ms at 1,000 steps: {'met' if walls[0] <= 1 else 'MISSED'}"
    )


if __name__ == "__main__":
    main()

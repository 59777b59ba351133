"""Bytes that a durable model step takes: our database beside LangGraph's SQLite checkpoints, for the same chain.

    python tests/benchmarks/storage.py

Each step reads the answers of all steps before it. Answers are pieces of this repository's documentation, each another.
Counted is by how much a
vacuumed file grows with a second run of the chain, so that empty tables are not. It needs `langgraph` and `langgraph-checkpoint-sqlite`, which `nox -s peers` installs.
"""

import asyncio
import operator
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from intendant import OrchestrationService, Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepRequest, StepResult
from intendant.testing import ScriptedProvider

DOCS = Path(__file__).parents[2] / "docs"
CASES = ((10, 200), (10, 2_000), (30, 200), (30, 2_000), (30, 4_000), (100, 500))
"""Steps, and characters of an answer."""
RUNS = 2


class Ask(IntentHandler):
    """Sends what came before to a model."""

    spec = IntentSpec(name="ask", summary="Ask a model", examples=("Ask it",))

    async def handle(self, request: StepRequest) -> StepResult:
        said = Message(content=str(request.input))
        reply = await request.model.complete(ModelRequest(messages=(said,), max_output_tokens=20_000))
        return StepResult(output=reply.text)


def answers(count: int, length: int) -> list[str]:
    """Pieces of documentation."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))
    return [text[(number * length) % (len(text) - length) :][:length] for number in range(count)]


async def ours(folder: Path, texts: list[str]) -> int:
    """Bytes of our database."""
    steps = [
        {"id": f"s{n}", "intent": "ask", "input": [f"{{{{ steps.s{m}.output }}}}" for m in range(n)]}
        for n in range(len(texts))
    ]
    flow = Workflow.model_validate({"name": "chain", "steps": steps})
    prices = {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}
    settings: dict[str, Any] = {"prices": {"models": prices}, "classification": {"use_model": False}}
    settings |= {"compression_enabled": False, "budget": {"tokens_per_workflow": 100_000_000}}
    plugins = [Ask(), ScriptedProvider(*texts * RUNS)]
    file, sizes = folder / "ours.db", list[int]()
    async with OrchestrationService(settings, plugins=plugins, db=f"sqlite:///{file}", discover=True) as service:
        for _ in range(RUNS):
            done = await service.run(flow)
            if len(done.outputs) != len(texts) or done.failures:
                raise SystemExit(f"the chain was not executed as a whole: {done.failures}")
            sizes.append(vacuumed(file))
    return sizes[-1] - sizes[-2]


class State(TypedDict):
    """What each step reads, and adds to."""

    said: Annotated[list[str], operator.add]


def theirs(folder: Path, texts: list[str]) -> int:
    """Bytes of LangGraph's checkpoints."""
    graph: Any = StateGraph(State)
    for number, text in enumerate(texts):
        graph.add_node(f"s{number}", lambda _state, text=text: {"said": [text]})
        graph.add_edge(START if number == 0 else f"s{number - 1}", f"s{number}")
    graph.add_edge(f"s{len(texts) - 1}", END)
    file = folder / "theirs.db"
    sizes: list[int] = []
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for run in range(RUNS):
            config: Any = {"configurable": {"thread_id": str(run)}, "recursion_limit": len(texts) + 5}
            done = graph.compile(checkpointer=saver).invoke({"said": []}, config, durability="sync")
            if done["said"] != texts:
                raise SystemExit("LangGraph did not execute the chain as a whole")
            sizes.append(vacuumed(file))
    return sizes[-1] - sizes[-2]


def vacuumed(file: Path) -> int:
    """Bytes of a copy of a database without pages that are free."""
    copy = file.with_name(f"{file.name}.copy")
    copy.unlink(missing_ok=True)
    connection = sqlite3.connect(file)
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    return copy.stat().st_size


def rows() -> Iterator[tuple[int, int, float, float]]:
    """For each case: steps, characters, and bytes a step of ours and theirs."""
    for steps, length in CASES:
        texts = answers(steps, length)
        with tempfile.TemporaryDirectory() as folder:
            own = asyncio.run(ours(Path(folder), texts))
            other = theirs(Path(folder), texts)
        yield steps, length, own / steps, other / steps


def main() -> None:
    """Print the table."""
    print(f"{'steps':>6} {'characters':>11} {'ours':>9} {'LangGraph':>10}  ratio (bytes a step)")
    for steps, length, own, other in rows():
        print(f"{steps:>6} {length:>11} {own:>9,.0f} {other:>10,.0f}  {own / other:.2f}")


if __name__ == "__main__":
    main()

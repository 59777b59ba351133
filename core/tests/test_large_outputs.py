"""Large outputs are stored compressed, read as they were, and printed as references."""

import json
import sqlite3
from pathlib import Path

from intendant import Workflow
from intendant.cli.run import LARGE, as_document
from intendant.plugin import IntentHandler, IntentSpec, StepRequest, StepResult
from intendant.testing import engine


class Copy(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy it",))

    def needs_model(self, step: object) -> bool:
        return False

    async def handle(self, request: StepRequest) -> StepResult:
        return StepResult(output=request.input)


ROWS = [{"id": n, "name": "Ada Lovelace", "note": "äöü 数据"} for n in range(20_000)]


def workflow() -> Workflow:
    steps = [{"id": "a", "intent": "copy", "input": "{{ inputs.rows }}"}]
    steps += [{"id": f"s{n}", "intent": "copy", "input": "{{ steps.a.output }}"} for n in range(3)]
    steps += [{"id": "small", "intent": "copy", "input": 1}, {"id": "go", "wait": {"event": "go"}}]
    steps += [{"id": "last", "intent": "copy", "needs": ["go"], "input": "{{ steps.s0.output[19999].note }}"}]
    return Workflow.model_validate({"name": "large", "inputs": {"rows": {"type": "any"}}, "steps": steps})


async def test_an_output_that_is_long_is_stored_compressed_and_read_again(tmp_path: Path) -> None:
    """Another process goes on with it; the record verifies; the database is a fraction of the outputs."""
    db = f"sqlite:///{tmp_path}/runs.db"
    async with engine(Copy(), db=db) as service:
        result = await service.run(workflow(), {"rows": ROWS})
        await service.signal(result.run_id, "go")
    async with engine(Copy(), db=db) as service:
        result = await service.resume(result.run_id)
        assert result.status == "completed"
        assert result.outputs["last"] == "äöü 数据"
        assert result.outputs["s2"] == ROWS
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        stored = connection.execute("select sum(length(output)) from step").fetchone()[0]
    connection.close()
    assert stored * 10 < 4 * len(json.dumps(ROWS)), "four outputs in a tenth of their size"


async def test_what_is_large_is_printed_as_a_reference() -> None:
    """The document says how to see all of it; `full` prints it, and what is small is printed in any case."""
    async with engine(Copy()) as service:
        result = await service.run(workflow(), {"rows": ROWS})
    short, full = as_document(result, full=False), as_document(result)
    assert short["outputs"]["a"] == short["steps"]["a"]["output"]
    assert short["outputs"]["a"]["$output"] == f"intendant show {result.run_id} a --full"
    assert short["outputs"]["a"]["characters"] > LARGE
    assert short["outputs"]["small"] == 1
    assert full["outputs"]["a"] == ROWS

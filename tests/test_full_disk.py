"""A disk that is full in the middle of a run: nothing committed is lost or repeated, and the run goes on later."""

import json
import subprocess
import sys
from collections import Counter
from secrets import token_hex

import pytest
from sqlalchemy import Engine, event

from intendant import OrchestrationService, Workflow
from intendant.model.errors import StoreError
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import ScriptedProvider

STEPS = 40
PAGE = 2048
PRICES = {"prices": {"models": {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}}}
ANSWER = token_hex(4000)
"""Longer than what else a step writes, and not to be compressed: the disk is full while steps are executed."""


class Ask(IntentHandler):
    """Asks the model what its prompt says."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


def asked(flow_steps: int = STEPS) -> Workflow:
    steps = [
        {"id": f"s{n}", "intent": "ask", "prompt": f"number {n}", **({"needs": [f"s{n - 1}"]} if n else {})}
        for n in range(flow_steps)
    ]
    return Workflow.model_validate({"name": "asked", "steps": steps, "budget": {"tokens": 100_000}})


@pytest.fixture
def disk():
    """The largest size of databases that are opened from now on, in pages; None for no limit."""
    limit = {"pages": None}

    def on_connect(connection, _record) -> None:
        if limit["pages"] is not None:
            connection.execute(f"PRAGMA max_page_count = {limit['pages']}")

    event.listen(Engine, "connect", on_connect)
    yield limit
    event.remove(Engine, "connect", on_connect)


@pytest.mark.parametrize("room", [0.5, 0.9])
async def test_a_run_goes_on_where_the_disk_was_full(tmp_path, disk, room) -> None:
    def service(name: str, provider: ScriptedProvider) -> OrchestrationService:
        return OrchestrationService(PRICES, plugins=[Ask(), provider], db=f"sqlite:///{tmp_path}/{name}.db")

    async with service("whole", ScriptedProvider(ANSWER)) as whole:
        assert (await whole.run(asked())).status == "completed"
    disk["pages"] = int(room * (tmp_path / "whole.db").stat().st_size / PAGE)

    provider = ScriptedProvider(ANSWER)
    async with service("x", provider) as stopped:
        with pytest.raises(StoreError, match="full"):
            await stopped.run(asked())
    sent = Counter(request.messages[0].content for _, request in provider.calls)
    assert 0 < len(sent) < STEPS, "it was full in the middle"

    disk["pages"] = None
    async with service("x", again := ScriptedProvider(ANSWER)) as later:
        (listed,) = await later.runs()
        kept = {said.step_id for said in await later.events(listed.id) if said.type == "step_executed"}
        done = await later.resume(listed.id, take_over=True)
        told = await later.events(listed.id)
    assert done.status == "completed", done.failures
    repeated = Counter(request.messages[0].content for _, request in again.calls)
    assert not kept & {f"s{prompt.split()[1]}" for prompt in repeated}, "what was committed is not asked again"
    assert set(sent) | set(repeated) == {f"number {n}" for n in range(STEPS)}
    charged = [said.usage.tokens for said in told if said.type == "tokens_settled" and said.usage.calls]
    assert len(charged) == len(provider.calls) + len(again.calls), "each call that was sent is charged"


def test_a_command_says_that_the_disk_is_full_and_how_to_go_on(tmp_path, finished) -> None:
    (tmp_path / "items.json").write_text(json.dumps([f"{n}: {'x' * 2000}" for n in range(800)]))
    copy = {"id": "copy", "intent": "transform", "input": "{{ item }}", "options": {"op": "to_json"}}
    read = {"id": "read", "uses": "file.read", "with": {"path": "items.json"}}
    each = {"id": "each", "for_each": "{{ steps.read.output }}", "as": "item", "steps": [copy]}
    (tmp_path / "flow.yaml").write_text(json.dumps({"name": "fill", "steps": [read, each]}))

    def command(*arguments: str, most: str = "unlimited") -> "subprocess.Popen[bytes]":
        limited = ["sh", "-c", f'ulimit -f {most}; exec "$@"', "sh", sys.executable, "-m", "intendant", *arguments]
        return subprocess.Popen(
            [*limited, "--db", "sqlite:///x.db"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    stopped = command("run", "flow.yaml", most="2400")
    _, said = stopped.communicate(timeout=100)
    assert stopped.returncode == 2
    assert b"Traceback" not in said, said.decode()
    lines = said.decode().splitlines()
    assert len(lines) == 2, said.decode()
    assert "was broken off: the database cannot be used" in lines[0]
    run_id = lines[1].rpartition(" ")[2]
    assert lines[1].endswith(f"intendant resume {run_id}")
    done = finished(command("resume", run_id, "--json", "--full"))
    assert done["status"] == "completed"
    assert len(done["steps"]["each"]["output"]) == 800
    assert finished(command("verify", "--all", "--json"))["whole"] is True

"""Random graphs, faults, decisions, signals, cancels and kills, against an oracle in memory.

`INTENDANT_MACHINES=2000 pytest core/tests/test_graph_machine.py` for the full count.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from intendant import RunResult, Workflow
from intendant.plugin import IntentHandler, IntentSpec, StepError, StepResult
from intendant.record.store import approvals, integrity
from intendant.record.store.spend_report import apart
from intendant.testing import engine

from .graph_oracle import Oracle, all_steps, branch_of  # type: ignore[import-not-found]
from .random_graphs import STEP, Maker  # type: ignore[import-not-found]

MACHINES = int(os.environ.get("INTENDANT_MACHINES", "12"))
ENOUGH = 40
"""Signals that are sent at once: more than there are steps that wait for one event."""


class Act(IntentHandler):
    """Fails where it shall; else its output is its id, or the branch that it takes."""

    spec = IntentSpec(name="act", summary="Act", examples=("Act",))

    def __init__(self, fails: set[str], steps: dict[str, STEP]) -> None:
        super().__init__()
        self.fails, self.steps = fails, steps
        self.done: list[tuple[str, str]] = []

    def needs_model(self, step):
        return False

    async def handle(self, request):
        step_id = request.step.id
        await asyncio.sleep(0)
        if step_id in self.fails:
            raise StepError("it fails")
        self.done.append((step_id, request.idempotency_key))
        output = {"branch": branch_of(self.steps[step_id])} if request.step.branches else step_id
        return StepResult(output=output)


class Events(Maker):
    """Makes workflows in which each step waits for an event of its own, and it is certain which items are executed
    where one of them fails.
    """

    def _items(self, step: STEP) -> None:
        super()._items(step)
        if step.get("on_item_error") not in ("skip", "keep"):
            step["concurrency"] = 1

    def _wait(self, step: STEP, _depth: int) -> None:
        step["wait"] = {"event": f"event {step['id']}"}


def plain(output: Any) -> Any:
    """An output as the oracle has it."""
    match output:
        case {"branch": taken, **more}:
            return [taken, plain(more.get("result"))]
        case {"approved": True}:
            return "approval"
        case {"error": _, "key": _}:
            return "error"
        case list():
            return [plain(item) for item in output]
    return output


class Machine(RuleBasedStateMachine):
    """One run, and all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.number = 0
        self.status = ""
        """As the run ended last; empty after a kill."""
        self.once: set[str] = set()
        """What was done for good when the run was at rest, by its idempotency key."""

    @initialize(seed=st.integers(0, 2**32), faults=st.integers(0, 3))
    def begin(self, seed: int, faults: int) -> None:
        chance = random.Random(seed)
        self.flow = Events(chance, model="act", plain="act", left=14).workflow()
        self.steps = {step["id"]: step for step in all_steps(self.flow)}
        self.repeats = {step["id"] for step in self.flow.get("finally", [])}
        for step in self.steps.values():
            self.repeats |= {inner["id"] for inner in step.get("flow", {}).get("workflow", {}).get("finally", [])}
            self.repeats |= {step["id"]} if "branches" in step else set()  # written when its branch has ended
        works = [name for name, step in self.steps.items() if step.get("intent") == "act"]
        self.oracle = Oracle(self.flow, set(chance.sample(works, min(len(works), faults))))
        self.end(self.go(first=True))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/{self.number}.db"

    # --- what happens ---

    def go(self, *, first: bool = False, kill_at: int = 0) -> RunResult | None:
        """Begin the run, or go on with it; None where it is killed, at the event of that number: what is in the
        database then is all that is left.
        """
        act, seen = Act(self.oracle.fails, self.steps), 0

        def on_event(_event: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == kill_at:
                source = sqlite3.connect(f"{self.folder}/{self.number}.db")
                Path(f"{self.folder}/{self.number + 1}.db").unlink(missing_ok=True)
                target = sqlite3.connect(f"{self.folder}/{self.number + 1}.db")
                source.backup(target)
                source.close(), target.close()

        async def work() -> RunResult:
            async with engine(act, db=self.url) as service:
                if first:
                    return await service.run(Workflow.model_validate(self.flow), on_event=on_event)
                return await service.resume("last", take_over=True, on_event=on_event)

        result = asyncio.run(work())
        if kill_at and seen >= kill_at and self.is_running(self.number + 1):
            self.number += 1
            self.status = ""
            return None
        again = [step for step, key in act.done if key in self.once and step not in self.repeats]
        assert not again, f"what was done is done again: {again}"
        self.once |= {key for _, key in act.done}
        return result

    def is_running(self, number: int) -> bool:
        """True if the process was killed before the run had ended."""
        connection = sqlite3.connect(f"{self.folder}/{number}.db")
        found = connection.execute("SELECT status FROM run").fetchone()
        connection.close()
        return found == ("running",)

    def end(self, result: RunResult | None) -> None:
        """The run is at rest: compare it with the oracle."""
        if result is None:
            return
        status, found = self.oracle.run()
        self.status = result.status.value
        assert self.status == status, self.flow
        ended = {
            name: (outcome.status.value, outcome.handled, plain(outcome.output) if outcome.is_done else None)
            for name, outcome in result.steps.items()
            if name in found
        }
        wanted = {name: (end.status, end.handled, end.output if end.done else None) for name, end in found.items()}
        assert ended == wanted, self.flow
        if status == "failed" and "" in self.oracle.undone:
            assert set(result.rolled_back) == self.oracle.rolled_back(), self.flow

    # --- rules ---

    @precondition(lambda self: self.can_go_on)
    @rule()
    def resume(self) -> None:
        self.end(self.go())

    @precondition(lambda self: self.can_go_on)
    @rule(at=st.integers(1, 60))
    def kill(self, at: int) -> None:
        self.end(self.go(kill_at=at))

    @precondition(lambda self: self.can_go_on)
    @rule()
    def cancel(self) -> None:
        async def work() -> None:
            async with engine(Act(self.oracle.fails, self.steps), db=self.url) as service:
                assert (await service.cancel("last")).status == "cancelled"

        asyncio.run(work())

    @precondition(lambda self: self.status == "waiting")
    @rule(verdict=st.sampled_from(["approved", "approved", "denied"]), which=st.integers(0, 5))
    def decide(self, verdict: str, which: int) -> None:
        async def work() -> None:
            async with engine(Act(set(), self.steps), db=self.url) as service:
                store = service._engine.store
                rows = await store.do(approvals.open_approvals())
                if rows:
                    row = rows[which % len(rows)]
                    await store.do(approvals.decide(row.run_id, row.step_key, "ann", verdict))
                    self.oracle.decided[row.step_key] = verdict

        asyncio.run(work())

    @precondition(lambda self: self.status == "waiting")
    @rule(which=st.integers(0, 5))
    def signal(self, which: int) -> None:
        waits = sorted(
            {step["wait"]["event"] for step in self.steps.values() if "wait" in step} - self.oracle.sent
        )
        if not waits:
            return
        event = waits[which % len(waits)]

        async def work() -> None:
            async with engine(Act(set(), self.steps), db=self.url) as service:
                for _ in range(ENOUGH):
                    await service.signal("last", event, "signal")

        asyncio.run(work())
        self.oracle.sent.add(event)

    @precondition(lambda self: self.status in ("failed", "waiting") and self.can_go_on)
    @rule(which=st.integers(0, 5))
    def mend(self, which: int) -> None:
        """A step does not fail any more."""
        if self.oracle.fails:
            self.oracle.fails.discard(sorted(self.oracle.fails)[which % len(self.oracle.fails)])

    @rule()
    def look(self) -> None:
        """Nothing happens."""

    @property
    def can_go_on(self) -> bool:
        """True if the run is neither completed nor rolled back."""
        return self.status in ("", "waiting") or (self.status == "failed" and "" not in self.oracle.undone)

    @invariant()
    def the_record_is_whole(self) -> None:
        if self.number or self.status:
            assert apart(self.url, integrity.verify()).broken == []

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=MACHINES,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a run that goes wrong takes minutes to shrink
)

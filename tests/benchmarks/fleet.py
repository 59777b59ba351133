"""Starts workers that stand for machines, submits runs to them, and looks at what came of it."""

import asyncio
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from select import select
from typing import Any

from fleet_parts import Ask, Books, flow_of
from fleet_worker import Machine

from intendant import OrchestrationService, Workflow
from intendant.record.rows import RunRow
from intendant.record.store import runs
from intendant.testing import engine

COMPLETED = ("completed",)
__all__ = ["Fleet", "Machine", "fleet_on", "flow_of"]


class Fleet:
    """Workers on one database.

    Args:
        common: What all of them have in common.
        service: Submits runs, and looks at them; it executes none.
        log: A file for what they print.
    """

    def __init__(self, common: Machine, service: OrchestrationService, log: Path) -> None:
        self.common, self.service = common, service
        self._log = log
        self._workers: list[subprocess.Popen[bytes]] = []
        self._ready: list[subprocess.Popen[bytes]] = []

    def start(self, **own: Any) -> "subprocess.Popen[bytes]":
        """Start a worker; `own` is what it does not have in common."""
        machine = replace(self.common, **{"host": f"host-{len(self._workers)}", **own})
        with self._log.open("ab") as log:
            worker = subprocess.Popen(machine.command(), stdout=subprocess.PIPE, stderr=log)
        self._workers.append(worker)
        return worker

    def started(self, count: int, **own: Any) -> list["subprocess.Popen[bytes]"]:
        """Start workers, and wait until all of them are ready."""
        made = [self.start(**own) for _ in range(count)]
        for worker in made:
            self.ready(worker)
        self._ready += made
        return made

    def ready(self, worker: "subprocess.Popen[bytes]") -> None:
        """Wait until a worker is ready."""
        if worker.stdout is None or worker.stdout.readline() != b"ready\n":
            raise AssertionError(f"a worker did not start:\n{self.said()}")

    def is_ready(self, worker: "subprocess.Popen[bytes]") -> bool:
        """True if a worker is ready; does not wait for it."""
        if worker not in self._ready and worker.stdout is not None and select([worker.stdout], [], [], 0)[0]:
            self.ready(worker)
            self._ready.append(worker)
        return worker in self._ready

    def said(self) -> str:
        """The last of what the workers have said."""
        return self._log.read_text()[-3000:] if self._log.exists() else ""

    def stop(self, *, hard: bool = False) -> list[int]:
        """End all workers that still live; returns their exit codes."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        codes = [worker.wait(60) for worker in self._workers]
        for worker in self._workers:
            if worker.stdout is not None:
                worker.stdout.close()
        self._workers.clear()
        return codes

    def books(self, kind: str) -> list[tuple[float, str, int]]:
        """The lines of one kind in the model's books: when, the call, and its tokens or its process."""
        path = Path(self.common.books)
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(float(at), key, int(number)) for said, at, key, number in lines if said == kind]

    def billed(self) -> Counter[str]:
        """How often each call was billed."""
        return Counter(key for _, key, _ in self.books("billed"))

    async def submit(self, count: int, steps: int, agent: str = "fleet") -> list[str]:
        """Submit runs of so many steps; returns their ids."""
        flow = Workflow.model_validate(flow_of(steps, agent))
        return [await self.service.submit(flow) for _ in range(count)]

    async def rows(self, ids: Iterable[str]) -> list[RunRow]:
        """Runs, as they are in the database."""
        return [await self.service._engine.store.do(runs.find_run(run_id)) for run_id in ids]

    async def until(self, ids: list[str], *statuses: str, seconds: float = 120) -> list[RunRow]:
        """Wait until all runs have one of these statuses, or are completed; returns them.

        Raises:
            AssertionError: Not all have it after so many seconds.
        """
        last = time.monotonic() + seconds
        while True:
            rows = await self.rows(ids)
            if all(row.status in (statuses or COMPLETED) for row in rows):
                return rows
            assert time.monotonic() < last, f"{Counter(row.status for row in rows)}\n{self.said()}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def fleet_on(db: str, **common: Any) -> AsyncIterator[Fleet]:
    """A fleet on a database while the block is executed; what is left of it is killed."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(db=db, books=f"{folder}/books", **common)
        async with engine(Ask(), Books(machine), db=db) as service:
            fleet = Fleet(machine, service, Path(folder) / "log")
            try:
                yield fleet
            finally:
                fleet.stop(hard=True)

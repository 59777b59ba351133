"""A worker of a machine of its own, for tests and benchmarks: its steps ask a model that takes its time and keeps
books.

    python tests/benchmarks/fleet_worker.py '{"db": "postgresql+psycopg://…", "books": "books", "host": "one"}'

Processes of one machine stand for several: each has the name of a host, and a clock, of its own. The books are a
file to which the model appends a line when a call arrives and one when it is answered, so that what is found there
is what a provider would bill, whatever becomes of the worker.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Machine:
    """How a worker is set up."""

    db: str
    books: str
    """The file of the model's books."""
    host: str = "one"
    skew: float = 0.0
    """Seconds by which its clock is wrong."""
    dispatcher: str = "embedded"
    schema: str = "dbos"
    """Of DBOS's tables."""
    seconds: float = 0.2
    """What a call takes."""
    concurrency: int = 8
    lease: float = 20.0
    """TTL of the lease on a run, in seconds."""
    beat: float = 2.0
    """Seconds between two heartbeats."""
    holds: float | None = None
    """Seconds after which the calls of a dead process are charged; None for the default."""

    def command(self) -> list[str]:
        """Starts it."""
        return [sys.executable, str(Path(__file__)), json.dumps(asdict(self))]


def move_to(machine: Machine) -> None:
    """Be on that machine from now on; call it before anything of Intendant is imported."""
    real = time.time
    time.time = lambda: real() + machine.skew
    socket.gethostname = lambda: machine.host


async def until_stopped(machine: Machine) -> None:
    """Work; SIGTERM lets the steps end that are being executed."""
    from fleet_parts import work

    task = asyncio.ensure_future(work(machine))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


if __name__ == "__main__":
    mine = Machine(**json.loads(sys.argv[1]))
    move_to(mine)
    asyncio.run(until_stopped(mine))

"""A PostgreSQL server of one's own, on a free port of this machine, that is gone afterwards.

    python tests/benchmarks/own_server.py pytest core/tests/test_store.py

executes a command with its URL in `INTENDANT_TEST_POSTGRESQL`. It needs PostgreSQL's programs (Debian: `apt-get
install postgresql`). The server commits as safely as PostgreSQL does by default.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL = "INTENDANT_TEST_POSTGRESQL"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where there are none."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found += [Path(path).parent for path in (shutil.which("initdb"),) if path]
    return next((folder for folder in found if (folder / "initdb").is_file()), None)


class OwnServer:
    """A server; `own_server` starts one.

    Args:
        folder: Where its data goes; the user `postgres` must be able to write there.
        options: Settings of the server, such as `max_connections=300`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        found = programs()
        if found is None:
            raise SystemExit("PostgreSQL's programs are not on this machine (Debian: apt-get install postgresql)")
        self._programs, self._folder = found, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        given = " ".join(f"-c {option}" for option in ("listen_addresses=127.0.0.1", *options))
        self._options = f"-p {self.port} -k {folder} {given}"
        self._run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres")

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("-o", self._options, "-l", f"{self._folder}/log", "-w", "start")

    def stop(self) -> None:
        """End it at once, as a machine that is switched off: what was not committed is lost."""
        self._control("-m", "immediate", "-w", "stop")

    def create(self, database: str, *, absurd: bool = False) -> str:
        """Make an empty database, or one with absurd in it; returns its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", database)
        if absurd:
            call = [sys.executable, "-c", "import absurdctl; absurdctl.main()", "init", "-d"]
            subprocess.run([*call, self.url(database).replace("+psycopg", "")], check=True, capture_output=True)
        return self.url(database)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root.
        runner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*runner, str(self._programs / program), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{program} {' '.join(arguments)} ended with {done.returncode}")


@contextmanager
def own_server(*options: str) -> Iterator[OwnServer]:
    """A server while the block is executed; SIGTERM ends the block, so that the server does not outlive it."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="intendant-pg-", ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            shutil.chown(name, "postgres")
        server = OwnServer(Path(name), *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def main() -> int:
    """Execute the command that the arguments are."""
    with own_server() as server:
        return subprocess.run(sys.argv[1:], env={**os.environ, URL: server.url()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

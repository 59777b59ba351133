"""Runs computations that may take for ever in a process of its own, which is killed at a bound of time or memory.

Code in C cannot be interrupted, and a thread cannot be stopped. What is small or known to be linear is computed in
this process; the rest comes here. A worker process is kept for the next computation; where none can be started,
the computation is refused rather than run without bounds.
"""

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock, Timer
from typing import Any

from intendant.model.errors import StepError
from intendant.model.workflow import Json

START_SECONDS = 60.0
"""What a worker may take to start and to import what it needs; none of that counts as computing."""
IDLE = 2
"""Workers that are kept for later."""
SLOTS = max(2, os.cpu_count() or 1)
"""Workers at once."""
_BOOT = "import sys, json; sys.path[:] = json.loads(sys.stdin.buffer.readline()); from {} import main; main()"
_GROWN = 100 << 20
"""Bytes by which a worker may grow before it is replaced."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one computation may take."""

    seconds: float = 10.0
    megabytes: int = 2048
    """Memory, on systems that can limit it."""


_bounds: ContextVar[Bounds] = ContextVar("bounds", default=Bounds())  # noqa: B039  # it is frozen


@contextmanager
def bounded(bounds: Bounds) -> Iterator[None]:
    """Holds for all computations that are started within, in tasks and threads that are started there too."""
    token = _bounds.set(bounds)
    try:
        yield
    finally:
        _bounds.reset(token)


def run(function: str, *arguments: Json) -> Json:
    """The value of *function*, computed elsewhere.

    Args:
        function: `module:name`; it takes and returns JSON values.
        arguments: JSON values.

    Raises:
        StepError: It took too long or too much memory, or no process can be started. What the function itself
            raises is not meant for users, and is a `RuntimeError`.
    """
    return _Computation(function, arguments, _bounds.get()).run()


async def run_async(function: str, *arguments: Json) -> Json:
    """`run` for code with an event loop; when this is cancelled, the computation is killed."""
    computation = _Computation(function, arguments, _bounds.get())
    try:
        return await asyncio.to_thread(computation.run)
    except asyncio.CancelledError:
        computation.stop()
        raise


class _Computation:
    """One computation, and the worker it runs in."""

    def __init__(self, function: str, arguments: tuple[Json, ...], bounds: Bounds) -> None:
        self._function, self._arguments, self._bounds = function, arguments, bounds
        self._worker: _Worker | None = None
        self._stopped = False

    def run(self) -> Json:
        with _slots:
            if self._stopped:
                raise StepError("the computation was stopped")
            self._worker = _take()
            try:
                return self._worker.do(self._function, self._arguments, self._bounds)
            finally:
                _give_back(self._worker)

    def stop(self) -> None:
        self._stopped = True
        if self._worker is not None:
            self._worker.kill()


class _Worker:
    """A process that computes one thing after the other."""

    def __init__(self) -> None:
        boot = _BOOT.format(__name__)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # this Python, with arguments of ours
                [sys.executable, "-I", "-c", boot],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StepError(f"a process to compute in cannot be started: {error.strerror}") from None
        self.usable = True
        self._killed = False
        self._loaded: set[str] = set()
        path = [
            entry for entry in sys.path if Path(entry).is_absolute()
        ]  # relative ones mean another folder there
        self._send(path)
        self._receive(START_SECONDS, self._unstartable)

    def do(self, function: str, arguments: tuple[Json, ...], bounds: Bounds) -> Json:
        if function not in self._loaded:
            self._send({"load": function})
            self._receive(START_SECONDS, self._unstartable)
            self._loaded.add(function)
        limits = {"megabytes": bounds.megabytes, "seconds": bounds.seconds}
        self._send({"function": function, "arguments": arguments, **limits})
        answer = self._receive(bounds.seconds, lambda: self._broken_off(bounds))
        self.usable = self.usable and not answer.get("grown")
        if answer.get("full"):
            raise _too_large(bounds)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer["value"]

    def _send(self, message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        with suppress(BrokenPipeError):  # told by the answer, which does not come
            self._pipe("stdin").write(data)
            self._pipe("stdin").flush()

    def _receive(self, seconds: float, why: Callable[[], StepError]) -> dict[str, Any]:
        """The worker's next answer; it is killed if that does not come in time."""
        late = Timer(seconds, self.kill)
        late.daemon = True
        late.start()
        try:
            line = self._pipe("stdout").readline()
        finally:
            late.cancel()
        if not line.endswith(b"\n"):
            self.usable = False
            raise why()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _unstartable(self) -> StepError:
        why = "it did not start in time" if self._killed else "this Python cannot start another one"
        return StepError(f"a process to compute in cannot be had: {why}")

    def _broken_off(self, bounds: Bounds) -> StepError:
        """Why there is no answer."""
        if self._killed:
            return StepError(
                f"it took longer than {bounds.seconds:g} s to compute and was stopped",
                hint="compute less at once; the limit is the setting run.compute_seconds",
            )
        if self._process.wait() in _OUT_OF_MEMORY:
            return _too_large(bounds)
        return StepError("the computation broke off: it is nested too deep, or a library has a fault")

    def _pipe(self, name: str) -> Any:
        return getattr(self._process, name)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._killed = True
        self.usable = False
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        for name in ("stdin", "stdout"):
            with suppress(OSError):
                self._pipe(name).close()
        self._process.wait()


_OUT_OF_MEMORY = tuple(-getattr(signal, name, 0) for name in ("SIGABRT", "SIGKILL"))
"""How a process ends that has no memory left: C++ gives up, or the system ends it."""


def _too_large(bounds: Bounds) -> StepError:
    return StepError(
        f"it took more than {bounds.megabytes} MB to compute and was stopped",
        hint="compute less at once; the limit is the setting run.compute_megabytes",
    )


# --- the workers of this process -----------------------------------------------------------------------------

_slots = BoundedSemaphore(SLOTS)
_lock = Lock()
_idle: list[_Worker] = []


def _take() -> _Worker:
    with _lock:
        if _idle:
            return _idle.pop()
    return _Worker()


def _give_back(worker: _Worker) -> None:
    with _lock:
        if worker.usable and len(_idle) < IDLE:
            _idle.append(worker)
            return
    worker.close()


@atexit.register
def _close_all() -> None:
    with _lock:
        workers, _idle[:] = list(_idle), []
    for worker in workers:
        worker.close()


def _forget() -> None:
    """In a forked process: the workers are its parent's, and nobody there holds the locks any more."""
    global _slots, _lock
    _slots, _lock = BoundedSemaphore(SLOTS), Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# --- in the worker -------------------------------------------------------------------------------------------


def main() -> None:
    """Compute what standard input asks for, one line each, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is no answer
    functions: dict[str, Callable[..., Json]] = {}
    at_first = _memory()
    _answer(answers, {"ready": True})
    for line in sys.stdin.buffer:
        job = json.loads(line)
        if "load" in job:
            functions[job["load"]] = _load(job["load"])
            at_first = _memory()
            _answer(answers, {"ready": True})
            continue
        _limit(job["megabytes"], job["seconds"])
        answer = _computed(functions[job["function"]], job["arguments"])
        answer["grown"] = _memory() > at_first + _GROWN
        _answer(answers, answer)


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _computed(function: Callable[..., Json], arguments: list[Json]) -> dict[str, Any]:
    try:
        return {"value": function(*arguments)}
    except MemoryError:
        return {"full": True}
    except Exception as error:  # noqa: BLE001  # it is told where it was asked for
        return {"failed": f"{type(error).__name__}: {error}"}


def _load(function: str) -> Callable[..., Json]:
    from importlib import import_module

    module, _, name = function.partition(":")
    found: Callable[..., Json] = getattr(import_module(module), name)
    return found


def _limit(megabytes: int, seconds: float) -> None:
    """Bound the next computation's memory, and its time too: whoever would kill this process may be gone."""
    try:
        import resource
    except ImportError:
        return  # no such limits here; time is limited from outside
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = (
        (resource.RLIMIT_AS, _memory() + (megabytes << 20)),
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 2),
    )
    for what, limit in limits:
        with suppress(ValueError, OSError):  # this system does not let it be limited
            resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))


def _memory() -> int:
    """Bytes of address space in use, where the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # a number of Linux
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0

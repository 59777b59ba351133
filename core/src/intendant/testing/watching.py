"""The watch-dogs of contracts: a test runs in a thread of its own, and the thread that waits for it looks whether
it holds the event loop, prints, or does not end.
"""

import asyncio
import functools
import inspect
import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import redirect_stdout
from typing import Any

SECONDS = 60.0
"""How long a test may take."""
IDLE_SECONDS = 1.0
"""How long a plugin may wait for something while it holds the event loop."""
BUSY_SECONDS = 5.0
"""How long it may compute while it holds the event loop; many times what a slow machine needs."""
_LOOK_EVERY = 0.05
_MOSTLY_WAITING = 0.2


class _Loop:
    """The event loop of a test, as the watching thread sees it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._asked: float | None = None
        self._cpu = 0.0

    def _answer(self) -> None:
        self._asked = None

    def held(self, thread: threading.Thread) -> str:
        """Why the loop counts as held; empty if it does not."""
        loop, now, cpu = self.loop, time.monotonic(), _cpu_seconds(thread)
        if loop is None:
            return ""
        if self._asked is None:
            self._asked, self._cpu = now, cpu
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # it was closed
                self.loop = None
            return ""
        passed = now - self._asked
        if passed > BUSY_SECONDS:
            return f"computes for more than {BUSY_SECONDS:g} s"
        if passed > IDLE_SECONDS and 0 <= cpu - self._cpu < _MOSTLY_WAITING * passed:
            return f"waits for more than {IDLE_SECONDS:g} s"
        return ""


def _cpu_seconds(thread: threading.Thread) -> float:
    """Seconds that a thread has computed; below 0 where the system does not tell."""
    clock = getattr(time, "pthread_getcpuclockid", None)
    if clock is None or thread.ident is None or not thread.is_alive():
        return -1.0
    return time.clock_gettime(clock(thread.ident))


def watched(test: Callable[..., Any]) -> Callable[..., None]:
    """Runs a test under the watch-dogs; an `async def` needs no pytest plugin."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        watch(lambda: test(*args, **kwargs))

    return run


def watch(test: Callable[[], Any]) -> None:
    """Run *test*, in a thread and, where it is a coroutine function, in an event loop of its own.

    Raises:
        AssertionError: The test failed; or it held the event loop, printed, or took longer than `SECONDS`.
    """
    watched_loop, raised = _Loop(), list[BaseException]()
    printed = io.StringIO()

    async def in_a_loop(coroutine: Coroutine[Any, Any, Any]) -> None:
        watched_loop.loop = asyncio.get_running_loop()
        try:
            await coroutine
        finally:
            watched_loop.loop = None

    def body() -> None:
        try:
            made = test()
            if inspect.iscoroutine(made):
                asyncio.run(in_a_loop(made))
        except BaseException as error:  # noqa: BLE001  # raised again where pytest sees it, a skip included
            raised.append(error)

    thread = threading.Thread(target=body, name="contract", daemon=True)
    with redirect_stdout(printed):
        thread.start()
        fault = _attend(thread, watched_loop)
    if fault:
        raise AssertionError(fault)
    if raised:
        raise raised[0]
    assert not printed.getvalue(), (
        f"it printed {printed.getvalue()[:80]!r}; standard output is the host's: log, or add a note"
    )


def _attend(thread: threading.Thread, loop: _Loop) -> str:
    """Wait for a thread; returns what is wrong with how it behaves."""
    until, fault = time.monotonic() + SECONDS, ""
    while thread.is_alive():
        thread.join(_LOOK_EVERY)
        if not fault and (held := loop.held(thread)):
            where = _where(thread)
            fault = f"it {held} and holds the event loop meanwhile, at\n{where}use `await`, or asyncio.to_thread"
        if time.monotonic() > until:
            return fault or f"it did not end within {SECONDS:g} s; it stands at\n{_where(thread)}"
    return fault


def _where(thread: threading.Thread) -> str:
    """Where a thread stands, its last calls."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  # the documented way
    return "".join(traceback.format_stack(frame)[-4:]) if frame is not None else "(its end)\n"


async def cancelled_within(task: "asyncio.Task[Any]", seconds: float = 5.0) -> bool:
    """Cancel a task; True if it ends cancelled within *seconds*."""
    task.cancel()
    await asyncio.wait([task], timeout=seconds)
    return task.done() and task.cancelled()

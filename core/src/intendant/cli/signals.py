"""SIGINT and SIGTERM: a first one cancels cleanly, a second one interrupts computations that do not give way."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    # The command line imports this module before all others, and only then handles signals: it imports little.
    import asyncio
    from collections.abc import Coroutine
    from types import FrameType

ResultT = TypeVar("ResultT")
CANCELLING = b"cancelling\xe2\x80\xa6 (once more to interrupt a computation)\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.01


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Raises KeyboardInterrupt, whatever signal it was."""
    raise KeyboardInterrupt


def install() -> None:
    """Let both signals interrupt, also in background jobs of a shell, which inherit them as ignored."""
    for number in SIGNALS:
        signal.signal(number, interrupt)
    sys.unraisablehook = _raise_elsewhere


def _raise_elsewhere(lost: sys.UnraisableHookArgs) -> None:
    """Send the signal again where an interrupt fell into code that cannot raise it: a finalizer, or a callback of
    an extension. Python would print a traceback, and go on as if nothing had happened.
    """
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    from threading import Timer

    again = Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()


def run_until_done(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine; a signal cancels it.

    The handler runs between two instructions of the main thread, so that it says something at once even while a
    computation keeps the loop. A second signal raises KeyboardInterrupt in that computation; the coroutine is
    cancelled all the same, and finishes.

    Raises:
        KeyboardInterrupt: It was cancelled by a signal, and has ended.
    """
    from asyncio import CancelledError

    task = loop.create_task(work)
    signals = 0

    def cancel(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            os.write(2, CANCELLING)
        loop.call_soon_threadsafe(task.cancel)
        if signals > 1:
            interrupt(number, frame)

    earlier = {number: signal.signal(number, cancel) for number in SIGNALS}
    try:
        while True:
            try:
                return loop.run_until_complete(task)
            except KeyboardInterrupt:
                if task.done():
                    raise
            except CancelledError:
                if signals:
                    raise KeyboardInterrupt from None
                raise
    finally:
        for number, handler in earlier.items():
            # What is left after a cancellation is to write and to end: no further signal may break that off.
            signal.signal(number, signal.SIG_IGN if signals else handler)

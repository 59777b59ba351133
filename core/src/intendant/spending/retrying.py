"""Trying again: exponential waits with jitter.

A library of its own kind would do, but stamina writes to the host's standard output through structlog's default
printer, and its hooks are global to the process, which belongs to the host.
"""

import random
from asyncio import sleep
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

ResultT = TypeVar("ResultT")


def _nothing(_error: Exception) -> float:
    return 0.0


async def retrying(
    attempt: Callable[[], Awaitable[ResultT]],
    *,
    again: Callable[[Exception], bool],
    attempts: int,
    delay: float,
    backoff: float = 2.0,
    jitter: float = 0.0,
    longest: float = 3600.0,
    at_least: Callable[[Exception], float] = _nothing,
    until: float | None = None,
) -> ResultT:
    """The result of the first attempt that succeeds.

    Args:
        attempt: Makes an attempt.
        again: True if another attempt may help after this error; asked before each wait.
        attempts: Tries in all.
        delay: Seconds before the second try; each further wait is *backoff* times as long, at most *longest*.
        backoff: See *delay*.
        jitter: Up to this many random seconds are added to each wait (so that many do not try at once).
        longest: See *delay*.
        at_least: Seconds that an error itself asks to wait; not less is waited.
        until: A time of `time.monotonic`: if a wait would end later, there is no other try.

    Raises:
        Exception: What the last attempt raised.
    """
    for number in range(1, attempts):
        try:
            return await attempt()
        except Exception as error:
            if not again(error):
                raise
            wait = max(at_least(error), min(longest, delay * backoff ** (number - 1)))
            wait += random.uniform(0, jitter)  # noqa: S311
            if until is not None and monotonic() + wait > until:
                raise
        await sleep(wait)
    return await attempt()

"""Retries: exponential backoff with jitter.

A library of its own kind would do, but stamina writes to the host's standard output through structlog's default
printer, and its hooks are global to the process, which belongs to the host.
"""

import random
from dataclasses import dataclass
from time import monotonic


@dataclass(slots=True)
class Backoff:
    """How long to wait before each retry, and how often to retry."""

    attempts: int
    """In all, the first included."""
    delay: float
    """Seconds before the first retry."""
    factor: float = 2.0
    """Each further wait is this many times as long."""
    jitter: float = 0.0
    """Up to this many random seconds are added, so that many callers do not retry together."""
    max_delay: float = 3600.0
    """No wait is longer, in seconds, but for jitter and what an error asks."""
    deadline: float | None = None
    """A time of `time.monotonic` at which a wait must have ended."""
    made: int = 1
    """Attempts so far, the one that is being made included."""

    def next_delay(self, at_least: float = 0.0) -> float | None:
        """Seconds to wait before the next attempt; None if there is no other.

        Args:
            at_least: Seconds that the error itself asks to wait.
        """
        if self.made >= self.attempts:
            return None
        wait = max(at_least, min(self.max_delay, self.delay * self.factor ** (self.made - 1)))
        wait += random.uniform(0, self.jitter)  # noqa: S311
        if self.deadline is not None and monotonic() + wait > self.deadline:
            return None
        self.made += 1
        return wait

"""Retries: exponential backoff with jitter.

Libraries exist for this, but stamina writes to the host's standard output through structlog's default printer, and
its hooks are global to the process, which belongs to the host.
"""

import random
from dataclasses import dataclass
from time import monotonic


@dataclass(slots=True)
class Backoff:
    """How long to wait before each retry, and how often to retry."""

    attempts: int
    """Number of attempts, including the first."""
    delay: float
    """Seconds before the first retry."""
    factor: float = 2.0
    """Factor by which each wait is longer than the one before."""
    jitter: float = 0.0
    """Random seconds, up to this many, added to each wait, so that callers do not retry in step."""
    max_delay: float = 3600.0
    """Longest wait in seconds, without jitter, unless the error asks for more."""
    deadline: float | None = None
    """The time, by `time.monotonic`, at which a wait must have ended."""
    made: int = 1
    """Attempts so far, including the current one."""

    def next_delay(self, at_least: float = 0.0) -> float | None:
        """Seconds to wait before the next attempt; None for no further attempt.

        Args:
            at_least: The shortest wait that the error asks for, in seconds.
        """
        if self.made >= self.attempts:
            return None
        wait = max(at_least, min(self.max_delay, self.delay * self.factor ** (self.made - 1)))
        wait += random.uniform(0, self.jitter)  # noqa: S311
        if self.deadline is not None and monotonic() + wait > self.deadline:
            return None
        self.made += 1
        return wait

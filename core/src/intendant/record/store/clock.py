"""The clock by which processes of several machines agree: that of their database.

A process with a wrong clock must not take runs over whose owners live, nor let its own be taken. So leases, times
that are waited for, and when a run is due go by the clock of the server. It is read once a minute; in between the
time counts that has passed here, which a clock that is set does not change. SQLite has only that of its machine.
"""

from time import monotonic, time

READ_SECONDS = 60.0
"""Between two looks at the server's clock."""


class Clock:
    """The time, as the database has it."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._read_again = 0.0

    def now(self) -> float:
        """Seconds since 1970; by this machine's clock until that of the server was read."""
        return time() if self._ahead is None else monotonic() + self._ahead

    @property
    def is_stale(self) -> bool:
        """True if the server's clock is to be read."""
        return monotonic() >= self._read_again

    def read(self, moment: float, before: float) -> None:
        """Note what the server's clock said.

        Args:
            moment: Seconds since 1970.
            before: `monotonic()` before it was asked.
        """
        after = monotonic()
        self._ahead = moment - (before + after) / 2
        self._read_again = after + READ_SECONDS

"""Stops a reading that nobody waits for any more, or that takes too long."""

from threading import Event
from time import monotonic

from intendant.model.errors import ConnectorError


class Watch:
    """Looked at between parts of a long reading, which runs in a thread and cannot be stopped from outside.

    Args:
        seconds: How long the reading may take; None for no limit.
        setting: How users call the setting that this comes from.
    """

    def __init__(
        self, seconds: float | None = None, setting: str = "the setting read_seconds of connector:file"
    ) -> None:
        self._setting = setting
        self._seconds = seconds
        self._ends = None if seconds is None else monotonic() + seconds
        self._stopped = Event()

    def stop(self) -> None:
        """End the reading at its next look."""
        self._stopped.set()

    def look(self) -> None:
        """Go on.

        Raises:
            ConnectorError: The reading was stopped, or its time is up.
        """
        if self._stopped.is_set():
            raise ConnectorError("the reading was stopped")
        if self._ends is not None and monotonic() > self._ends:
            raise ConnectorError(
                f"reading took longer than {self._seconds:g} s and was stopped",
                hint=f"read less at once, or raise {self._setting}",
            )


UNWATCHED = Watch()
"""For readings that end soon."""

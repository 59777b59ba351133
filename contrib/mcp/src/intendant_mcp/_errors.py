"""What a started server writes to its standard error, of which the last line is kept."""

import os
from threading import Thread
from typing import Self

KEPT = 4000
"""Bytes at the end that are kept, whatever a server writes."""
SHOWN = 300
"""Characters of the last line that are told."""
_WAIT = 1.0
"""Seconds to wait for the end of what was written: a child of the server may hold it open."""


class LastLine:
    """A file for a process to write to, which is emptied as it is filled."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        self.file = os.fdopen(writing, "w", encoding="utf-8")
        self._kept = b""
        self._thread = Thread(target=self._drain, name="intendant-mcp-errors", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self) -> str:
        """The last line that has text in it; empty if there is none. Nothing can be written afterwards."""
        self.file.close()
        self._thread.join(_WAIT)
        lines = [line.strip() for line in self._kept.decode("utf-8", "replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        return last if len(last) <= SHOWN else f"{last[:SHOWN]}…"

    def _drain(self) -> None:
        with os.fdopen(self._reading, "rb", buffering=0) as source:
            while data := source.read(KEPT):
                self._kept = (self._kept + data)[-KEPT:]

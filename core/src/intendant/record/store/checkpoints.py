"""Copies SQLite's write-ahead log into the database file, beside the writer.

SQLite does that within a commit, each time the log has some thousand pages: all callers that wait for this commit
wait tens of milliseconds longer. A passive checkpoint on another connection blocks no writer. It leaves little for
the one within a commit, which is needed now and then so that the log begins anew.
"""

import queue
import threading

from sqlalchemy import Engine  # noqa: TID253

from intendant.config.logs import get_logger

ROWS = 1000
"""Rows after which the log is copied."""

log = get_logger("intendant.store")


class Checkpointer:
    """Copies the log of one database; its thread is started when it is first needed.

    Args:
        engine: The database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._in_a_file = engine.dialect.name == "sqlite" and bool(engine.url.database)
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._rows = 0

    def note(self, rows: int) -> None:
        """Count rows that were committed; for the writer's thread only."""
        self._rows += rows
        if self._rows < ROWS or not self._in_a_file:
            return
        self._rows = 0
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="intendant-checkpoints", daemon=True)
            self._thread.start()
        if self._signals.empty():
            self._signals.put(True)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._signals.put(False)
            self._thread.join()

    def _work(self) -> None:
        connection = self._engine.raw_connection()
        try:
            while self._signals.get():
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except self._engine.dialect.loaded_dbapi.Error as error:
            # The writer sees for itself what is wrong with the database, and goes on without this thread's help.
            log.warning("checkpoint_failed", error=str(error))
        finally:
            connection.close()

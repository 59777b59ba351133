"""What agents remember, for code without an event loop."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from intendant.model.requests import MemoryEntry, MemoryKind
from intendant.pilot.remembering import AgentMemory

if TYPE_CHECKING:
    from intendant.pilot.sync import LoopThread


class SyncAgentMemory:
    """`AgentMemory` for code without an event loop. `SyncOrchestrationService.memory` makes it."""

    def __init__(self, memory: AgentMemory, thread: "LoopThread") -> None:
        self._memory = memory
        self._thread = thread
        self.agent = memory.agent
        """The agent's name."""

    def entries(self, kinds: Iterable[str] = (), limit: int | None = None) -> list[MemoryEntry]:
        """See `AgentMemory.entries`."""
        return self._thread.call(self._memory.entries(kinds, limit))

    def find(self, memory_id: int) -> MemoryEntry:
        """See `AgentMemory.find`."""
        return self._thread.call(self._memory.find(memory_id))

    def add(
        self, text: str, *, kind: MemoryKind = "note", importance: int = 5, source: str = "host"
    ) -> MemoryEntry:
        """See `AgentMemory.add`."""
        return self._thread.call(self._memory.add(text, kind=kind, importance=importance, source=source))

    def edit(
        self,
        memory_id: int,
        *,
        text: str | None = None,
        kind: MemoryKind | None = None,
        importance: int | None = None,
    ) -> MemoryEntry:
        """See `AgentMemory.edit`."""
        return self._thread.call(self._memory.edit(memory_id, text=text, kind=kind, importance=importance))

    def forget(self, *ids: int) -> list[MemoryEntry]:
        """See `AgentMemory.forget`."""
        return self._thread.call(self._memory.forget(*ids))

    def forget_all(self) -> int:
        """See `AgentMemory.forget_all`."""
        return self._thread.call(self._memory.forget_all())

    def remains_of(self, text: str) -> list[str]:
        """See `AgentMemory.remains_of`."""
        return self._thread.call(self._memory.remains_of(text))

    def recall(self, question: str, limit: int = 5, kinds: Iterable[str] = ()) -> list[MemoryEntry]:
        """See `AgentMemory.recall`."""
        return self._thread.call(self._memory.recall(question, limit, kinds))

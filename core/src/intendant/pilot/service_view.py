"""What a service tells about itself and its runs, without executing anything."""

from typing import TYPE_CHECKING

from intendant.config.flags import Subject, is_on
from intendant.config.settings import Settings
from intendant.model.errors import SettingsError
from intendant.pilot.engine import Engine
from intendant.pilot.operations import Operations
from intendant.pilot.remembering import AgentMemory
from intendant.pilot.steering import Steering
from intendant.pilot.vocabulary import Vocabulary, vocabulary_of
from intendant.record.journal import read_events

if TYPE_CHECKING:
    from intendant.events import Event
    from intendant.record.rows import RunRow
    from intendant.record.store.runs import Listed


class ServiceView:
    """The part of `OrchestrationService` that reads."""

    _engine: Engine

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._engine.settings

    @property
    def steering(self) -> Steering:
        """Changes settings while the service runs."""
        return self._engine.steering

    @property
    def operations(self) -> Operations:
        """What operators look at: figures, reports, alerts, settings, flags, the audit trail."""
        return Operations(self._engine)

    @property
    def vocabulary(self) -> Vocabulary:
        """The intents and operations that workflows may use here."""
        return vocabulary_of(self._engine)

    def flag_is_on(self, name: str, *, agent: str, user: str | None = None) -> bool:
        """True if a flag is on for runs of an agent, and of a user where one is named; by the settings as they are
        known now (`steering.refresh` reads them again).

        Raises:
            SettingsError: There is no such flag.
        """
        flag = getattr(self.settings.flags, name, None)
        if name not in type(self.settings.flags).__pydantic_fields__ or flag is None:
            raise SettingsError(f"there is no flag {name}", hint="`intendant flags list` shows all")
        return is_on(flag, Subject(agent, user, self._engine.tenant))

    def memory(self, agent: str) -> AgentMemory:
        """What an agent remembers, to be read and changed.

        Raises:
            IntendantError: The agent is `default`, which remembers nothing.
        """
        return AgentMemory(self._engine, agent)

    # --- runs ---

    async def runs(
        self, limit: int = 20, *, status: str | None = None, agent: str | None = None, workflow: str | None = None
    ) -> "list[Listed]":
        """The newest runs of the tenant first, with what they took; `operations.runs` has more filters.

        Args:
            limit: How many at most.
            status: Those that stand so, such as `failed`.
            agent: Those of an agent.
            workflow: Those of a workflow, by its name.
        """
        return await self.operations.runs(limit, status=status, agent=agent, workflow=workflow)

    async def get(self, run: str) -> "RunRow":
        """A run's own row: its workflow, inputs and status, and which process is at it.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.

        Raises:
            RunNotFound: There is none, or more than one.
        """
        return await self.operations.run(run)

    async def events(self, run: str) -> "list[Event]":
        """What has happened in a run so far, in order; `stream` follows one while it is executed.

        Raises:
            RunNotFound: There is none, or more than one.
        """
        row = await self.get(run)
        return await read_events(self._engine.store, row.id)

"""What a step does through its connector. A change to the outside is two commits, begin and finish, so that it
is never made twice: not by a retry, not by another process, not after a crash.
"""

from collections.abc import Mapping
from hashlib import sha256

from intendant import events
from intendant.hooks.connectors import Connector, ConnectorCall
from intendant.model.errors import ConnectorError, IntendantError
from intendant.model.workflow import Json
from intendant.record.journal import Journal
from intendant.record.store import outbox


def delivery_key(run_id: str, step_id: str) -> str:
    """The same for each attempt at a step of a run."""
    return sha256(f"{run_id}\x1f{step_id}\x1fdelivery".encode()).hexdigest()


class ConnectorUse:
    """One step's operation, bound to its parameters.

    Args:
        connector: The connector that `uses` names.
        operation: Its operation.
        parameters: The step's `with`, references resolved.
        journal: The run's journal.
        step_id: The step.
    """

    def __init__(
        self,
        connector: Connector,
        operation: str,
        parameters: Mapping[str, Json],
        journal: Journal,
        step_id: str,
    ) -> None:
        self._connector = connector
        self._operation = connector.operations[operation]
        self._parameters = parameters
        self._journal = journal
        self._log = journal.step(step_id)
        self._step_id = step_id
        self.key = delivery_key(journal.run_id, step_id)

    async def __call__(self, value: Json = None) -> Json:
        """Do the operation on *value*.

        Raises:
            ConnectorError: It failed, or an earlier attempt may already have done it.
        """
        call = ConnectorCall(value, self.key, self._journal.run_id, self._step_id)
        if not self._operation.side_effects:
            return await self._do(call)
        earlier = await self._journal.store.do(outbox.find(self.key), self._journal.fence)
        if earlier is not None and earlier.done:
            self._journal.append(self._event(events.DeliveryFinished, replayed=True))
            receipt: Json = earlier.receipt
            return receipt
        if earlier is None:
            begin = outbox.begin(self._journal.fence, self.key, self._step_id, self._name)
            await self._journal.commit(begin, self._event(events.DeliveryBegun))
        elif not self._operation.idempotent:
            raise ConnectorError(
                f"an earlier attempt at {self._name} may have been delivered, and delivering twice is not safe",
                hint="look at the target; then run the workflow again without this step, or from the start",
            )
        receipt = await self._do(call)
        await self._journal.commit(outbox.finish(self.key, receipt), self._event(events.DeliveryFinished))
        return receipt

    @property
    def _name(self) -> str:
        return f"{self._connector.name}.{self._operation.name}"

    async def _do(self, call: ConnectorCall) -> Json:
        try:
            return await self._connector.do(self._operation.name, self._parameters, call)
        except IntendantError:
            raise
        except OSError as error:
            raise ConnectorError(f"{self._name}: {error}", retryable=isinstance(error, ConnectionError)) from error

    def _event(self, kind: type[events.Event], **more: bool) -> events.Event:
        return self._log.event(kind, operation=self._name, key=self.key, **more)

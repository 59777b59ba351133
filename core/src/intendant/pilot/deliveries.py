"""What a step does through its connector. A change to the outside is two commits, begin and finish, so that it
is never made twice: not by a retry, not by another process, not after a crash.
"""

from collections.abc import Mapping

from intendant import events
from intendant.config.logs import get_logger
from intendant.hooks.connectors import Connector, ConnectorCall
from intendant.model.errors import ConnectorError, IntendantError
from intendant.model.workflow import Json
from intendant.record.journal import Journal
from intendant.record.store import outbox

log = get_logger("intendant.steps")


class ConnectorUse:
    """One step's operation, bound to its parameters.

    Args:
        connector: The connector that `uses` names.
        operation: Its operation.
        parameters: The step's `with`, references resolved.
        journal: The run's journal.
        step_id: The step.
        key: The idempotency key of what it delivers.
    """

    def __init__(
        self,
        connector: Connector,
        operation: str,
        parameters: Mapping[str, Json],
        journal: Journal,
        step_id: str,
        key: str,
    ) -> None:
        self._connector = connector
        self._operation = connector.operations[operation]
        self._parameters = parameters
        self._journal = journal
        self._log = journal.step(step_id)
        self._step_id = step_id
        self._key = key
        self._uses = 0

    async def __call__(self, value: Json = None) -> Json:
        """Do the operation on *value*; the n-th use in each attempt is the same delivery.

        Raises:
            ConnectorError: It failed, or an earlier attempt may already have done it.
        """
        key = f"{self._key}~{self._uses}" if self._uses else self._key
        self._uses += 1
        call = ConnectorCall(value, key, self._journal.run_id, self._step_id)
        if not self._operation.side_effects:
            return await self._do(call)
        earlier = await self._journal.store.do(outbox.find(key), self._journal.fence)
        if earlier is not None and earlier.done:
            self._journal.append(self._event(events.DeliveryFinished, key, replayed=True))
            receipt: Json = earlier.receipt
            return receipt
        if earlier is None:
            begin = outbox.begin(self._journal.fence, key, self._step_id, self._name)
            await self._journal.commit(begin, self._event(events.DeliveryBegun, key))
        elif not self._operation.idempotent:
            raise ConnectorError(
                f"an earlier attempt at {self._name} may have been delivered, and delivering twice is not safe",
                hint="look at the target; then run the workflow again without this step, or from the start",
            )
        receipt = await self._do(call)
        await self._journal.commit(outbox.finish(key, receipt), self._event(events.DeliveryFinished, key))
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
        except Exception as error:
            log.warning("plugin_raised", plugin=self._connector.key, operation=self._name, exc_info=error)
            raise ConnectorError(
                f"the connector {self._name} raised {type(error).__name__}: {error}",
                hint="this is a fault of the plugin; report it there",
            ) from error

    def _event(self, kind: type[events.Event], key: str, **more: bool) -> events.Event:
        return self._log.event(kind, operation=self._name, key=key, **more)

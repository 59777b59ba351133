"""What a step does through its connector. A change to the outside is two commits, begin and finish, so that it
is never made twice: not by a retry, not by another process, not after a crash.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from pydantic import BaseModel

from intendant import events
from intendant.config.logs import get_logger
from intendant.config.secrets import Secrets, UsedSecrets
from intendant.hooks.connectors import Connector, ConnectorCall, Effect
from intendant.hooks.redaction import redacted
from intendant.model.errors import ConnectorError, IntendantError, PossiblySent, StepError
from intendant.model.record_access import RecordSource, is_reference
from intendant.model.workflow import InDoubt, Json
from intendant.pilot.record_space import RunRecords
from intendant.record.journal import Journal
from intendant.record.store import outbox
from intendant.spending.paid_uses import PaidUses

log = get_logger("intendant.steps")
MAYBE = "it may have been delivered, and delivering twice is not safe"
LOOK = (
    "look at the target; `in_doubt: retry` in the step delivers again, `in_doubt: idempotent` says that the "
    "target knows the delivery by its key"
)
REPEATED: tuple[InDoubt, ...] = ("retry", "idempotent")
"""Policies under which a delivery in doubt is made again: the author says so, or that the target knows keys."""

Fill = Callable[[UsedSecrets], Mapping[str, Json]]
"""Gives a step's `with`, its references resolved; secrets are taken from what it is given."""
Permit = Callable[[Effect], Awaitable[None]]
"""Raises where what a use would change outside is not permitted."""


def reading_only(intent: str, uses: str) -> Permit:
    """Permits what changes nothing outside, for steps of intents that only read."""

    async def permit(effect: Effect) -> None:
        if effect.side_effects:
            message = (
                f"a step of intent '{intent}' only reads, and `{uses}` with these parameters changes something"
            )
            raise StepError(message, hint="name an operation that reads, or use it in a send step")

    return permit


class ConnectorUse:
    """One step's operation, bound to its parameters.

    Args:
        connector: The connector that `uses` names.
        operation: Its operation.
        fill: Gives the parameters. The values of secrets are in them while the connector works, and nowhere else.
        journal: The run's journal.
        step_id: The step.
        key: The idempotency key of what it delivers.
        secrets: Where secrets are found.
        records: What the run keeps of records that are too many to be held.
        in_doubt: What the step says about deliveries that may have been made.
        dry: Changes to the outside are not made, only told.
        folder: The folder of the workflow's file.
        permit: Asked before something is changed outside.
        paid: Holds and charges what uses cost.

    Attributes:
        notes: What the step's reader should know of what the connector did.
        delivering: True once something may have been changed outside.
    """

    def __init__(
        self,
        connector: Connector,
        operation: str,
        fill: Fill,
        journal: Journal,
        step_id: str,
        key: str,
        *,
        secrets: Secrets,
        records: RunRecords,
        in_doubt: InDoubt | None = None,
        dry: bool = False,
        folder: str = "",
        permit: Permit | None = None,
        paid: PaidUses,
    ) -> None:
        self._paid = paid
        self.notes: list[str] = []
        self.delivering = False
        self._permit = permit
        self._folder = folder
        self._connector = connector
        self._operation = connector.operations[operation]
        self._fill = fill
        self._journal = journal
        self._log = journal.step(step_id)
        self._step_id = step_id
        self._key = key
        self._secrets = secrets
        self._records = records
        self._in_doubt = in_doubt
        self._dry = dry
        self._uses = 0

    async def __call__(self, value: Json = None, parameters: Mapping[str, Json] | None = None) -> Json:
        """Do the operation on *value*; the n-th use in each attempt is the same delivery.

        Args:
            value: What it works on.
            parameters: What takes the place of parameters of the step, by dotted paths.

        Raises:
            ConnectorError: It failed, or an earlier attempt may already have done it.
            StepError: A secret is not set.
        """
        key = f"{self._key}~{self._uses}" if self._uses else self._key
        self._uses += 1
        call = ConnectorCall(value, key, self._journal.run_id, self._step_id, self._folder, self.notes)
        used = UsedSecrets(self._secrets)
        more = parameters or {}
        values = _placed(self._fill(used), more)
        effect = await self._effect(self._checked(values, used), used)
        if not effect.side_effects:
            return await self._do(values, call, used)
        if self._dry:
            if self._permit is not None:
                await self._permit(effect)
            return self._withheld(call, more)
        return await self._deliver(values, call, used, effect)

    async def _deliver(
        self, values: Mapping[str, Json], call: ConnectorCall, used: UsedSecrets, effect: Effect
    ) -> Json:
        """Make a change to the outside, unless it was made already."""
        key, journal = call.idempotency_key, self._journal
        earlier = await journal.store.do(outbox.find(key), journal.fence)
        if earlier is not None and earlier.done:
            journal.append(self._event(events.DeliveryFinished, key, replayed=True))
            receipt: Json = earlier.receipt
            return receipt
        if earlier is None:
            if self._permit is not None:
                await self._permit(effect)
            begin = outbox.begin(journal.fence, key, self._step_id, self._name)
            await journal.commit(begin, self._event(events.DeliveryBegun, key))
        elif not effect.idempotent and self._in_doubt not in REPEATED:
            raise PossiblySent(f"an earlier attempt at {self._name} broke off: {MAYBE}", hint=LOOK)
        else:
            journal.append(self._event(events.DeliveryBegun, key, repeated=True))
        self.delivering = True
        try:
            receipt = await self._do(values, call, used)
        except ConnectorError as error:
            if error.delivered is False and earlier is None:
                await journal.commit(outbox.withdraw(key), self._event(events.DeliveryRefused, key))
            elif error.delivered is not False and not effect.idempotent and self._in_doubt not in REPEATED:
                hint = f"{error.hint}; {LOOK}" if error.hint else LOOK
                raise PossiblySent(f"{error.message}; {MAYBE}", hint=hint) from error
            raise
        await journal.commit(outbox.finish(key, receipt), self._event(events.DeliveryFinished, key))
        return receipt

    def _withheld(self, call: ConnectorCall, more: Mapping[str, Json]) -> Json:
        """What would be delivered, as the receipt of a dry run; secrets are masked."""
        self._journal.append(self._event(events.DeliveryWithheld, call.idempotency_key))
        values = dict(_placed(self._fill(UsedSecrets(None)), more))
        return {"dry": True, "operation": self._name, "with": values, "input": call.input}

    @property
    def _name(self) -> str:
        return f"{self._connector.name}.{self._operation.name}"

    # --- asking the plugin ---

    def _checked(self, values: Mapping[str, Json], used: UsedSecrets) -> BaseModel:
        try:
            return self._connector.checked(self._operation.name, values)
        except Exception as error:  # noqa: BLE001  # a plugin's own code
            raise self._explained(error, used) from None

    async def _effect(self, parameters: BaseModel, used: UsedSecrets) -> Effect:
        try:
            return await self._connector.effect_of(self._operation.name, parameters)
        except Exception as error:  # noqa: BLE001  # a plugin's own code
            raise self._explained(error, used) from None

    async def _do(self, values: Mapping[str, Json], call: ConnectorCall, used: UsedSecrets) -> Json:
        try:
            name, operation = self._connector.name, self._operation.name
            said = await self._connector.cost_of(operation, self._connector.checked(operation, values))
            most = self._paid.most(name, operation, said)
            do = partial(self._connector.do, operation, values, await self._given(call))
            done = await self._paid.pay(name, operation, most, do, call.charged)
            if isinstance(done, RecordSource):
                return await self._records.keep_source(name, done)
            return used.scrubbed(done)
        except Exception as error:  # a plugin's own code
            if not len(used) and isinstance(error, IntendantError):
                raise
            raise self._explained(error, used) from None

    async def _given(self, call: ConnectorCall) -> ConnectorCall:
        """The call, with records that its input refers to."""
        if is_reference(call.input) and self._connector.flows(self._operation.name):
            return replace(call, input=self._records.stream(call.input))
        held = await self._records.held(call.input)
        return call if held is call.input else replace(call, input=held)

    def _explained(self, error: Exception, used: UsedSecrets) -> IntendantError:
        """An error of the connector, without secrets."""
        if isinstance(error, IntendantError):
            error.message, error.hint = used.masked(error.message), used.masked(error.hint)
            error.args = (error.message,)
            return error
        told = str(error)
        if isinstance(error, OSError) and error.strerror:
            told = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        text = used.masked(redacted(told))
        if isinstance(error, OSError):
            return ConnectorError(f"{self._name}: {text}", retryable=isinstance(error, ConnectionError))
        # A traceback shows the texts of errors, where a secret may stand.
        shown = None if len(used) else error
        log.warning("plugin_raised", plugin=self._connector.key, operation=self._name, exc_info=shown)
        return ConnectorError(
            f"the connector {self._name} raised {type(error).__name__}: {text}",
            hint="this is a fault of the plugin; report it there",
        )

    def _event(self, kind: type[events.Event], key: str, **more: bool) -> events.Event:
        return self._log.event(kind, operation=self._name, key=key, **more)


def _placed(values: Mapping[str, Json], more: Mapping[str, Json]) -> Mapping[str, Json]:
    """Parameters with others put in by their paths; the given ones are not changed."""
    made = dict(values)
    for path, value in more.items():
        *outer, last = path.split(".")
        inner = made
        for name in outer:
            found = inner.get(name)
            inner[name] = dict(found) if isinstance(found, dict) else {}
            inner = inner[name]
        inner[last] = value
    return made

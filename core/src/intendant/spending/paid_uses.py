"""What connectors pay for (searches, ranking, embeddings): a use is held and charged like a call of a model."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from uuid import uuid4

from intendant import events
from intendant.model.errors import ConnectorError
from intendant.model.results import Usage
from intendant.record.rows import HoldRow, Spent
from intendant.spending.calls import CallScope
from intendant.spending.pricing import PICO

ResultT = TypeVar("ResultT")


class PaidUses:
    """Holds and charges what the connectors of one attempt at a step pay for.

    Args:
        scope: The attempt that is charged.
        prices: What a use costs by the settings, in US$, by `connector.operation`; wins over what connectors say.
    """

    def __init__(self, scope: CallScope, prices: Mapping[str, float]) -> None:
        self._scope = scope
        self._prices = prices

    def most(self, connector: str, operation: str, said: int) -> int:
        """What a use costs at most, in micro-US$, where the connector has *said* so much."""
        price = self._prices.get(f"{connector}.{operation}")
        return said if price is None else round(price * PICO)

    async def pay(
        self,
        connector: str,
        operation: str,
        most: int,
        use: Callable[[], Awaitable[ResultT]],
        charged: Sequence[int] = (),
    ) -> ResultT:
        """Do a use that costs *most* micro-US$ at most, and charge it.

        Args:
            connector: The connector.
            operation: Its operation.
            most: What is held; nothing is, where that is 0.
            use: Does it.
            charged: What the connector has noted of its cost when it is done, in micro-US$; if nothing, *most* is
                charged.

        Raises:
            BudgetExceeded: A limit does not admit it; nothing was done.
            ConnectorError: It failed. Unless the other side took nothing, *most* is charged.
        """
        if not most:
            return await use()
        ledger, row = self._scope.ledger, self._row(connector, operation, most)
        await ledger.reserve(row, self._reserved(row))
        try:
            done = await use()
        except BaseException as error:
            if isinstance(error, ConnectorError) and error.delivered is False:
                ledger.release(row, self._settled(row, 0, "refused"))
            else:
                ledger.charge(row, self._settled(row, most, "in_doubt"))
                self._scope.usage += Usage(micro_usd=most)
            raise
        spent = sum(charged) if charged else most
        ledger.settle(row, Spent(0, 0, spent), None, self._settled(row, spent, "answered"))
        self._scope.usage += Usage(micro_usd=spent)
        return done

    def _row(self, connector: str, operation: str, most: int) -> HoldRow:
        scope = self._scope
        return HoldRow(
            key=f"use:{uuid4().hex}",
            run_id=scope.journal.run_id,
            step_key=scope.step_id,
            epoch=scope.journal.fence.epoch,
            scope=scope.ledger.chain(scope.step_id)[-1],
            provider=connector,
            model=operation,
            tokens=0,
            micro=most,
            price_version="settings" if f"{connector}.{operation}" in self._prices else "connector",
            expires_at=scope.ledger.expiry(),
            agent=scope.ledger.agent,
            tenant=scope.ledger.standing.tenant,
        )

    def _reserved(self, row: HoldRow) -> events.TokensReserved:
        return self._scope.log.event(
            events.TokensReserved,
            call=row.key,
            provider=row.provider,
            model=row.model,
            tokens=0,
            micro_usd=row.micro,
            bound="exact",
        )

    def _settled(self, row: HoldRow, micro: int, outcome: str) -> events.TokensSettled:
        return self._scope.log.event(
            events.TokensSettled,
            call=row.key,
            provider=row.provider,
            model=row.model,
            usage=Usage(micro_usd=micro),
            outcome=outcome,
            produced_by=events.CONNECTOR,
            price_version=row.price_version,
        )

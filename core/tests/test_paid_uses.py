"""What connectors pay for is held before, charged after, and never beyond a limit."""

import asyncio
from time import time

import pytest

from intendant import Workflow, events
from intendant.plugin import (
    Connector,
    ConnectorCall,
    ConnectorError,
    IntentHandler,
    IntentSpec,
    Json,
    Options,
    StepResult,
    operation,
)
from intendant.record.store import bookings, holds, integrity
from intendant.testing import engine


class Query(Options):
    words: str = "ships"
    pages: int = 1


class Search(Connector):
    """A search engine that wants 2,000 micro-US$ for a page."""

    name = "search"

    def __init__(self, *faults, says: int | None = None) -> None:
        super().__init__()
        self.faults, self.says, self.asked = list(faults), says, 0

    async def cost_of(self, name, parameters):
        return 2000 * parameters.pages if name == "find" else 0

    @operation(side_effects=False)
    async def find(self, parameters: Query, call: ConnectorCall) -> Json:
        """Find pages."""
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        if self.says is not None:
            call.charged.append(self.says)
        return [parameters.words]

    @operation(side_effects=False)
    async def free(self, parameters: Query, call: ConnectorCall) -> Json:
        """Find nothing, for nothing."""
        return []


class Use(IntentHandler):
    """Uses the connector."""

    spec = IntentSpec(name="use", summary="Use", examples=("Use it",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=await request.use_connector(request.input))


def flow(*steps, **more):
    many = [{"id": f"s{n}", "intent": "use", "uses": "search.find", **step} for n, step in enumerate(steps)]
    return Workflow.model_validate({"name": "w", "steps": many, **more})


async def done(search, workflow, **settings):
    async with engine(Use(), search, settings=settings) as service:
        result = await service.run(workflow)
        store = service._engine.store
        booked = await store.do(bookings.totals_of_run(result.run_id))
        verified = await store.do(integrity.verify())
        assert not verified.broken, verified.broken
        return result, booked


async def test_a_use_is_charged_with_what_the_connector_says_it_costs() -> None:
    result, booked = await done(Search(), flow({"with": {"pages": 3}}))
    assert result.outputs == {"s0": ["ships"]}
    assert (booked.micro_usd, booked.open_holds) == (6000, 0)
    assert (result.metrics.micro_usd, result.metrics.calls, result.metrics.tokens_used) == (6000, 0, 0)
    assert result.steps["s0"].usage.micro_usd == 6000


async def test_what_is_known_to_be_less_is_charged_as_less() -> None:
    _, booked = await done(Search(says=150), flow({}))
    assert booked.micro_usd == 150


async def test_a_use_that_no_limit_admits_is_not_made() -> None:
    search = Search()
    result, booked = await done(search, flow({}, {"needs": ["s0"]}, budget={"usd": 0.003}))
    assert (search.asked, booked.micro_usd) == (1, 2000)
    assert result.steps["s1"].failure.code == "budget_exceeded"
    assert str(result.status) == "refused"


async def test_uses_side_by_side_share_one_limit() -> None:
    search = Search()
    result, booked = await done(search, flow(*[{}] * 20, budget={"usd": 0.01}))
    assert booked.micro_usd == 2000 * search.asked == 10_000
    assert sum(outcome.status == "completed" for outcome in result.steps.values()) == 5


@pytest.mark.parametrize(
    ("fault", "charged"),
    [
        (ConnectorError("refused", delivered=False), 0),
        (ConnectorError("broke off"), 2000),
        (RuntimeError("a fault of the plugin"), 2000),
    ],
)
async def test_a_use_that_fails_is_charged_unless_the_other_side_took_nothing(fault, charged) -> None:
    result, booked = await done(Search(fault), flow({}))
    assert result.failures
    assert (booked.micro_usd, booked.open_holds) == (charged, 0)


async def test_a_price_of_the_settings_wins_and_prices_any_connector() -> None:
    free = {"uses": "search.free"}
    _, booked = await done(Search(), flow({}, free), prices={"uses": {"search.free": 0.5, "search.find": 0}})
    assert booked.micro_usd == 500_000


async def test_what_costs_nothing_is_not_held() -> None:
    seen = []
    async with engine(Use(), Search()) as service:
        await service.run(flow({"uses": "search.free"}), on_event=seen.append)
    assert not [event for event in seen if isinstance(event, events.TokensReserved)]


async def test_a_use_that_is_cancelled_is_charged_in_full() -> None:
    class Slow(Search):
        """Never answers."""

        @operation(side_effects=False)
        async def find(self, parameters: Query, call: ConnectorCall) -> Json:
            """Find pages."""
            self.asked += 1
            await asyncio.Event().wait()

    search = Slow()
    async with engine(Use(), search) as service:
        seen = []
        run = asyncio.create_task(service.run(flow({}), on_event=seen.append))
        while not search.asked:
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        store = service._engine.store
        booked = await store.do(bookings.totals_of_run(seen[0].run_id))
        assert (booked.micro_usd, booked.open_holds) == (2000, 0)


async def test_a_use_of_a_process_that_died_is_charged_when_its_hold_expires(tmp_path) -> None:
    """Nobody knows whether it was answered."""
    search = Search()
    async with engine(Use(), search, db=f"sqlite:///{tmp_path}/a.db") as service:
        store = service._engine.store
        closing = holds.settle

        def lost(*_args):
            raise SystemExit

        holds.settle = lost
        try:
            result = await service.run(flow({}))
        finally:
            holds.settle = closing
        assert result.failures
        await store.do(holds.expire(time() + 10**6))
        booked = await store.do(bookings.totals_of_run(result.run_id))
        assert (booked.micro_usd, booked.open_holds) == (2000, 0)

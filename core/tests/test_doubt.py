"""Calls that were out when their process died: what becomes of each, and that the ledger never says too little."""

import asyncio

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import select

from intendant.config.settings import PriceSetting
from intendant.model.errors import CallInDoubt
from intendant.plugin import Message, ModelReply, ModelRequest, Route, Usage
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, RunRow, Spent
from intendant.record.store import Store, bookings, budgets, holds, runs
from intendant.record.store.tables import hold
from intendant.record.store.take_over import take_over
from intendant.spending.calls import CallScope
from intendant.spending.doubt import fate_of, policy_of
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.pricing import Prices
from intendant.testing import ScriptedProvider

POLICIES = ("idempotent", "retry", "hold", "fail")
ROUTE = Route(tier="t", provider="scripted", model="scripted-1", max_output_tokens=50, reason="")
ASK = ModelRequest(messages=(Message(content="hello"),))
PRICES = Prices({"scripted/scripted-1": PriceSetting(input=1.0, output=2.0)})


# --- the decision alone ---


@pytest.mark.parametrize(
    ("wanted", "knows_keys", "micro", "policy"),
    [
        (None, True, 10**9, "idempotent"),
        (None, False, 100, "retry"),
        (None, False, 101, "hold"),
        ("retry", True, 10**9, "retry"),
        ("hold", True, 1, "hold"),
        ("fail", False, 1, "fail"),
        ("idempotent", True, 10**9, "idempotent"),
        ("idempotent", False, 100, "retry"),  # it would be a second call, and is treated as one
        ("idempotent", False, 101, "hold"),
    ],
)
def test_the_policy_follows_the_step_then_the_provider_then_the_cost(wanted, knows_keys, micro, policy) -> None:
    assert policy_of(wanted, knows_keys=knows_keys, micro=micro, ask_above=100) == policy


def open_hold(key: str, epoch: int = 1, provider: str = "p", micro: int = 5, step: str = "s") -> HoldRow:
    return HoldRow(key, "r", step, epoch, "b", provider, "m", 10, micro, "v", 1e12)


@given(
    wanted=st.sampled_from([None, *POLICIES]),
    knows_keys=st.booleans(),
    micro=st.integers(0, 10**6),
    ask_above=st.integers(0, 10**6),
)
def test_a_call_in_doubt_is_charged_unless_the_same_call_is_sent_again(
    wanted, knows_keys, micro, ask_above
) -> None:
    """And the same call is sent again only to a provider that answers it once."""
    policy = policy_of(wanted, knows_keys=knows_keys, micro=micro, ask_above=ask_above)
    fate = fate_of(open_hold("k", micro=micro), policy)
    assert fate.charged is (policy != "idempotent")
    assert fate.charged or knows_keys
    assert (fate.waits, fate.fails) == (policy == "hold", policy == "fail")


async def test_deciding_holds_is_one_transaction_and_happens_once() -> None:
    store = Store("none")
    await store.do(budgets.open_budgets([BudgetRow("b", None, 100, None)]))
    for key in ("kept", "lost", "done"):
        row = HoldRow(key, "r", "s", 1, "b", "p", "m", 20, 3, "v", 5.0)
        await store.do(holds.reserve(row, ("b",)))
    await store.do(holds.settle("done", Spent(1, 1, 1), None))
    held = select(hold.c.key, hold.c.epoch).where(hold.c.state == "held").order_by(hold.c.key)
    assert [found.key for found in await store.do(lambda c: c.execute(held).all())] == ["kept", "lost"]
    work = take_over(2, 99.0, ["kept"], ["lost", "done"])
    assert await store.do(work) == ["kept", "lost"]
    assert await store.do(work) == ["kept"]
    (kept,) = await store.do(lambda c: c.execute(held).all())
    state = await store.do(budgets.find("b"))
    assert (kept.key, kept.epoch) == ("kept", 2)
    assert (state.spent_tokens, state.held_tokens) == (22, 20)
    assert await store.do(holds.expire(50.0)) == 0, "it expires later now"
    store.close()


# --- the gateway, in a process that has taken a run over ---


class Dies(ScriptedProvider):
    """Gets a call, and never answers: its process is as good as dead."""

    async def complete(self, hold, request):
        self.calls.append((hold, request))
        await asyncio.sleep(3600)


class Knows(ScriptedProvider):
    """Answers a call once, however often it is sent under its key."""

    knows_keys = True


def reply(tokens: int = 9) -> ModelReply:
    return ModelReply(
        text="yes", usage=Usage(input_tokens=2, output_tokens=tokens - 2), model="scripted-1", provider="scripted"
    )


async def scope_of(store: Store, fence, policy=None) -> CallScope:
    journal = Journal(store, fence)
    made = RunLedger(journal, tokens=200, micro_usd=None, allocations={"a": 200})
    await made.open()
    return CallScope(journal, made, "a", in_doubt=policy)


async def crashed(store: Store) -> Dies:
    """Leaves a call in flight, in a run that nobody works on any more."""
    row = RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)
    fence = await store.do(runs.open_run(row))
    scope, provider = await scope_of(store, fence), Dies()
    task = asyncio.create_task(Gateway({"scripted": provider}, PRICES, 3600.0).complete(scope, ROUTE, ASK))
    while not provider.calls:
        await asyncio.sleep(0.001)
    provider.task = task
    return provider


async def taken_over(store: Store, provider: ScriptedProvider, policy=None, ask_above: int = 50_000):
    scope = await scope_of(store, (await store.do(runs.claim("r", "heir"))).fence, policy)
    door = Gateway({"scripted": provider}, PRICES, 10.0, ask_above)
    return await door.complete(scope, ROUTE, ASK)


async def figures(store: Store) -> tuple[int, int]:
    state = await store.do(budgets.find("run:r"))
    totals = await store.do(bookings.totals_of_run("r"))
    assert totals.tokens == state.spent_tokens
    return state.spent_tokens, state.held_tokens


@pytest.fixture
async def store():
    made = Store("none")
    yield made
    made.close()


@pytest.fixture
async def dead(store):
    provider = await crashed(store)
    yield provider
    provider.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await provider.task
    await store.flush()  # what it wrote late was refused, which is nobody else's concern


async def test_a_lost_call_is_charged_in_full_and_asked_again(store, dead) -> None:
    provider = ScriptedProvider(reply())
    assert (await taken_over(store, provider, "retry")).text == "yes"
    ((lost, _),), ((again, _),) = dead.calls, provider.calls
    assert again.key == f"{lost.key}~1"
    assert await figures(store) == (lost.tokens + 9, 0)


async def test_the_same_call_is_sent_under_its_key_and_held_once(store, dead) -> None:
    provider = Knows(reply())
    assert (await taken_over(store, provider)).text == "yes"
    ((lost, _),), ((again, _),) = dead.calls, provider.calls
    assert (again.key, again.tokens, again.max_output_tokens) == (lost.key, lost.tokens, lost.max_output_tokens)
    assert await figures(store) == (9, 0)


async def test_the_same_call_is_credited_where_it_was_charged_in_full_meanwhile(store, dead) -> None:
    await store.do(holds.expire(1e12))
    assert await figures(store) == (dead.calls[0][0].tokens, 0)
    await taken_over(store, Knows(reply()))
    assert await figures(store) == (9, 0)


@pytest.mark.parametrize(("policy", "waits"), [("hold", True), ("fail", False)])
async def test_nothing_is_sent_where_the_policy_forbids_it(store, dead, policy, waits) -> None:
    provider = ScriptedProvider(reply())
    for _ in range(2):
        with pytest.raises(CallInDoubt) as caught:
            await taken_over(store, provider, policy)
    assert caught.value.waits is waits
    assert provider.calls == []
    assert await figures(store) == (dead.calls[0][0].tokens, 0)


async def test_a_dear_call_waits_for_a_person_by_default(store, dead) -> None:
    with pytest.raises(CallInDoubt) as caught:
        await taken_over(store, ScriptedProvider(reply()), ask_above=10)
    assert caught.value.waits
    assert caught.value.micro_usd == dead.calls[0][0].micro_usd


async def test_a_call_that_was_answered_is_not_in_doubt(store) -> None:
    row = RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)
    fence = await store.do(runs.open_run(row))
    await Gateway({"scripted": ScriptedProvider(reply())}, PRICES, 10.0).complete(
        await scope_of(store, fence), ROUTE, ASK
    )
    provider = ScriptedProvider(reply())
    assert (await taken_over(store, provider, "fail")).text == "yes"
    assert provider.calls == []
    assert await figures(store) == (9, 0)

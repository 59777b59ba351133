"""Where the money went, and what was saved: the groups are the ledger, and the estimate counts against itself."""

import asyncio
import json
import os
import re
from datetime import UTC, datetime
from math import ceil
from tempfile import TemporaryDirectory
from time import time
from uuid import uuid4

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint
from hypothesis import given, settings, strategies as st
from sqlalchemy import create_engine, delete, text

from intendant import RunNotFound, SettingsError, Workflow
from intendant.cli.cost import read_costs
from intendant.cli.cost_view import show_costs
from intendant.cli.prices import of_name, of_tiers
from intendant.config.settings import PriceSetting
from intendant.planning import receipts
from intendant.plugin import (
    Classification,
    Classifier,
    Compression,
    CompressionPolicy,
    Compressor,
    ConnectorError,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepResult,
    Tier,
    ToolCall,
    Usage,
)
from intendant.record.rows import Charged, HoldRow, JournalRow, Scope, Spent
from intendant.record.store import Store, bookings, budgets, holds, limits, spend_report, tables, triggers, windows
from intendant.spending.costs import SavingsFold
from intendant.testing import OnlyTier, ScriptedProvider, engine, refusal

BYS = ("agent", "intent", "model", "day", "tier", "step")
FIGURES = Charged._fields[1:]
CHEAP = {"input": 10.0, "output": 20.0, "cache_read": 1.0}
DEAR = {"input": 50.0, "output": 100.0}
PRICES = {"scripted/scripted-1": CHEAP, "scripted/scripted-9": DEAR}


class Ask(IntentHandler):
    """Asks the model as often as its input says."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        count = request.input if isinstance(request.input, int) else 1
        replies = []
        for number in range(count):
            message = Message(content=f"{request.prompt} {number}")
            replies.append(await request.model.complete(ModelRequest(messages=(message,), max_output_tokens=50)))
        return StepResult(output=replies[-1].text)


class Tell(Ask):
    """The same under another name."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("Tell",))


class Digest(IntentHandler):
    """Asks about its input, fitted."""

    spec = IntentSpec(
        name="digest",
        summary="Digest",
        examples=("Digest",),
        compression=CompressionPolicy(floor=0.0, expansions=2, target=0.5),
    )

    async def handle(self, request):
        fitted = await request.model.fit(request.input)
        asked = ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=50)
        return StepResult(output=(await request.model.complete(asked)).text)


class Half(Compressor):
    """Keeps the first half, or what a model says is all."""

    name = "half"

    async def compress(self, request):
        kept, spent = request.text[: len(request.text) // 2], 0
        if request.model is not None:
            asked = ModelRequest(messages=(Message(content="shorter, please"),), max_output_tokens=50)
            answer = await request.model.complete(asked)
            kept, spent = answer.text, answer.usage.tokens
        return Compression(
            text=kept, tokens_before=request.tokens, tokens_after=request.count(kept), strategy=self.name,
            lossless=False, dropped=("the end",), spent=spent,
        )  # fmt: skip


class TwoModels(ScriptedProvider):
    """Has a dearer model, which no step goes to."""

    tools = True

    def models(self):
        return {"only": "scripted-1", "powerful": "scripted-9"}


def reply(input_tokens: int = 30, output_tokens: int = 20, said: str = "yes", **more) -> ModelReply:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **more)
    return ModelReply(text=said, usage=usage, model="scripted-1", provider="scripted")


def flow(*steps: dict, **more) -> Workflow:
    given = [{"id": f"s{n}", "intent": "ask", "prompt": "hi", **step} for n, step in enumerate(steps)]
    return Workflow.model_validate({"name": "t", "steps": given, **more})


def made(*plugins, db: str = "none", **more):
    chosen = {"prices": {"models": PRICES}, "calls": {"attempts": 1}, **more}
    return engine(Ask(), Tell(), Digest(), *plugins, settings=chosen, db=db)


async def costs_of(provider, *steps: dict, runs: int = 1, plugins=(), **more):
    """The costs of runs of these steps, and the engine's own result of the last one."""
    async with made(provider, *plugins, **more) as service:
        for _ in range(runs):
            result = await service.run(flow(*steps))
        found = await read_costs(service._engine)
    return found, result


def micro(input_tokens: int, output_tokens: int, price: dict = DEAR) -> int:
    return ceil(input_tokens * price["input"] + output_tokens * price["output"])


# --- where the money went ---


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.sampled_from([reply(), reply(5, 5, cached_tokens=3), refusal(), refusal(billed=True), reply(9, 900)]),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=4),
)
def test_groups_add_up_to_the_ledger_and_the_budgets_whatever_they_are(answers, runs) -> None:
    async def main(url: str) -> None:
        spent = {"tokens": 0, "micro": 0, "overrun": 0}
        async with made(ScriptedProvider(*answers), db=url) as service:
            await service._engine.store.do(limits.set_limit("agent:a", "day", 10**9, None))
            for agent, count in runs:
                steps = {"input": count}, {"intent": "tell", "needs": ["s0"]}
                result = await service.run(flow(*steps, agent=agent))
                totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
                state = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
                own = await read_costs(service._engine, result.run_id, "step")
                assert (own["total"]["micro_usd"], _tokens(own["total"])) == (
                    totals.micro_usd,
                    totals.tokens,
                )
                assert state.spent_tokens == totals.tokens
                assert state.spent_micro == totals.micro_usd
                spent["tokens"] += totals.tokens
                spent["micro"] += totals.micro_usd
            (window,) = await service._engine.store.do(limits.current())
            found = {by: await read_costs(service._engine, None, by) for by in BYS}
        for by, document in found.items():
            total = document["total"]
            assert (_tokens(total), total["micro_usd"]) == (spent["tokens"], spent["micro"]), by
            assert total == {**found["agent"]["total"], "group": "total"}
            for figure in FIGURES:
                assert sum(row[figure] for row in document["groups"]) == total[figure], (by, figure)
            assert "(not known)" not in [row["group"] for row in document["groups"]]
        of_agent = {row["group"]: row for row in found["agent"]["groups"]}
        assert _tokens(of_agent.get("a", dict.fromkeys(FIGURES, 0))) == window.spent_tokens

    with TemporaryDirectory() as folder:
        asyncio.run(main(f"sqlite:///{folder}/x.db"))


def _tokens(row) -> int:
    return row["input_tokens"] + row["output_tokens"]


SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


@pytest.fixture(params=["none", "file", pytest.param("postgresql", marks=needs_server)])
def url(request, tmp_path):
    """A database of each sort, empty."""
    if request.param != "postgresql":
        yield "none" if request.param == "none" else f"sqlite:///{tmp_path}/x.db"
        return
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


async def test_what_calls_were_for_is_told_on_every_database(url) -> None:
    provider = TwoModels(reply(30, 20, cached_tokens=10), reply(7, 3), refusal(billed=True))
    async with made(provider, db=url) as service:
        await service.run(flow({}, {"intent": "tell", "needs": ["s0"]}, {"needs": ["s1"]}, agent="mailer"))
        found = {by: await read_costs(service._engine, None, by) for by in BYS}
        own = await read_costs(
            service._engine, "last", "step", agent="mailer", period=(time() - 3600, time() + 3600)
        )
        none = await read_costs(service._engine, "last", "step", agent="nobody")
    names = {by: [row["group"] for row in document["groups"]] for by, document in found.items()}
    assert names["agent"] == ["mailer"]
    assert names["intent"] == ["ask", "tell"]
    assert names["model"] == ["scripted/scripted-1"]
    assert names["tier"] == ["only"], "of a step that failed it is known how it was routed"
    assert names["day"] == [datetime.now(UTC).strftime("%Y-%m-%d")]
    assert names["step"] == ["t / s2", "t / s0", "t / s1"]
    steps = {row["group"]: row for row in own["groups"]}
    # 20 fresh tokens at 10, 10 read from the cache at 1, 20 written at 20 micro-US$.
    assert (steps["s0"]["micro_usd"], steps["s0"]["cached_tokens"], steps["s0"]["calls"]) == (610, 10, 1)
    assert steps["s1"]["micro_usd"] == micro(7, 3, CHEAP)
    assert steps["s2"]["in_doubt_calls"] == 1
    assert steps["s2"]["in_doubt_micro_usd"] == steps["s2"]["micro_usd"] > 0
    assert own["total"]["in_doubt_tokens"] == _tokens(steps["s2"])
    assert sum(row["share"] for row in own["groups"]) == pytest.approx(1)
    assert none["groups"] == []


async def test_a_call_belongs_to_the_day_it_was_held_on_whenever_it_was_charged_or_credited(url) -> None:
    """As in the budgets of days: a credit of today does not make today's spending less than nothing."""
    async with made(db=url) as service:
        do = service._engine.store.do
        now = time()
        yesterday = now - 86_400
        await do(limits.set_limit("agent:a", "day", 10**6, None, yesterday))
        for key, at in (("doubt", yesterday), ("credited", yesterday), ("today", now), ("out", now)):
            row = HoldRow(key, "r", "s", 1, "-", "p", "m", 100, 50, "v", at + 60, "a", "default", at)
            await do(holds.reserve(row, ()))
        await do(holds.charge("doubt"))
        await do(holds.charge("credited", "expire"))
        await do(holds.settle("credited", Spent(5, 6, 7), None))
        await do(holds.settle("today", Spent(1, 130, 90), None))
        found = await read_costs(service._engine, None, "day")
        midnight = windows.start_of("day", now)
        before = await read_costs(service._engine, None, "day", period=(None, midnight))
        after = await read_costs(service._engine, None, "day", period=(midnight, None))
        kept = [await do(budgets.find(windows.window_of("agent:a", "day", at))) for at in (yesterday, now)]
    first, second = found["groups"]
    assert first["group"] < second["group"]
    assert [_tokens(row) for row in (first, second)] == [100 + 11, 131]
    assert [row.spent_tokens for row in kept] == [_tokens(first), _tokens(second)]
    assert (first["micro_usd"], second["micro_usd"]) == (57, 90)
    assert (first["in_doubt_calls"], first["in_doubt_micro_usd"]) == (1, 50)
    assert (second["overrun_tokens"], second["overrun_micro_usd"]) == (31, 40)
    assert first["overrun_micro_usd"] == 0
    assert found["held"] == {"calls": 1, "tokens": 100, "micro_usd": 50}
    assert [row["group"] for row in before["groups"]] == [first["group"]]
    assert [row["group"] for row in after["groups"]] == [second["group"]]
    assert before["held"]["calls"] == 0


async def test_a_call_that_was_charged_and_then_proved_free_is_no_call(url) -> None:
    async with made(db=url) as service:
        row = HoldRow("k", "r", "s", 1, "-", "p", "m", 100, 50, "v", 0.0)
        await service._engine.store.do(holds.reserve(row, ()))
        await service._engine.store.do(holds.charge("k"))
        await service._engine.store.do(holds.release("k"))
        total = (await read_costs(service._engine))["total"]
    assert not any(total[figure] for figure in FIGURES)


async def test_a_charge_is_shown_even_where_nobody_knows_what_it_was_for(url) -> None:
    async with made(TwoModels(reply()), db=url) as service:
        result = await service.run(flow({}))
        await service._engine.store.do(triggers.drop)
        for table in (tables.hold, tables.step, tables.event):
            await service._engine.store.do(lambda connection, table=table: connection.execute(delete(table)))
        found = {by: (await read_costs(service._engine, None, by))["groups"] for by in BYS}
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert {row["micro_usd"] for rows in found.values() for row in rows} == {totals.micro_usd}
    assert {found[by][0]["group"] for by in ("intent", "model", "tier")} == {"(not known)"}


async def test_a_run_that_is_not_there_is_not_found_and_an_empty_store_says_what_to_do(capsys) -> None:
    async with made() as service:
        with pytest.raises(RunNotFound, match="no run 'last'"):
            await read_costs(service._engine, "last")
        found = await read_costs(service._engine)
    show_costs(found)
    assert capsys.readouterr().out == "nothing was spent; no runs yet; `intendant run FILE` makes one\n"
    assert found["estimate"]["saved_micro_usd"] == 0


async def test_reading_keeps_no_writer_waiting(tmp_path) -> None:
    """All of a reading is of one state, and others write meanwhile."""
    url = f"sqlite:///{tmp_path}/x.db"
    async with made(ScriptedProvider(reply()), db=url) as service:
        await service.run(flow({}))
        store = Store(url)
        seen = []

        def work(connection):
            seen.append(spend_report.sums(connection, Scope(), "agent"))
            writing = asyncio.run_coroutine_threadsafe(service.run(flow({})), loop)
            assert writing.result(30).status == "completed"
            seen.append(spend_report.sums(connection, Scope(), "agent"))

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(spend_report.apart, url, work)
        after = spend_report.apart(url, lambda connection: spend_report.sums(connection, Scope(), "agent"))
        store.close()
    assert seen[0] == seen[1]
    assert after[0].calls == 2 * seen[0][0].calls


# --- what was saved ---


async def test_without_orchestration_the_same_calls_go_to_the_dearest_model_without_a_cache() -> None:
    found, _ = await costs_of(TwoModels(reply(100, 20, cached_tokens=60), reply(40, 10)), {"input": 2})
    estimate = found["estimate"]
    spent = 40 * 10 + 60 * 1 + 20 * 20 + micro(40, 10, CHEAP)
    assert estimate["models"] == {"scripted": "scripted-9"}
    assert (estimate["calls"], estimate["spent_micro_usd"]) == (2, spent)
    assert estimate["without_micro_usd"] == micro(140, 30)
    assert estimate["saved_micro_usd"] == micro(140, 30) - spent
    assert estimate["saved_share"] == pytest.approx(1 - spent / micro(140, 30))
    assert not any(estimate["against_micro_usd"].values())


async def test_a_model_that_a_tier_names_in_its_settings_counts_among_the_tiers() -> None:
    class Top(Tier):
        name = "top"
        rank = 99

    tier = Top({"model": "scripted/scripted-9"})
    found, _ = await costs_of(ScriptedProvider(reply(30, 20)), {}, plugins=(OnlyTier(), tier))
    assert found["estimate"]["models"] == {"scripted": "scripted-9"}


TEXT = " ".join(f"word{n}" for n in range(400))


async def test_what_compression_took_away_is_added_again() -> None:
    class NoTools(TwoModels):
        tools = False

    provider = NoTools(reply(500, 20))
    found, result = await costs_of(provider, {"intent": "digest", "input": TEXT}, plugins=(Half(),))
    added = found["estimate"]["added_tokens"]
    assert added == result.metrics.tokens_saved > 200
    assert found["estimate"]["without_micro_usd"] == micro(500 + added, 20)


async def test_a_call_that_asked_for_what_was_left_out_counts_against_the_savings() -> None:
    arguments = {"handle": receipts.handle_of(TEXT), "part": "1"}
    asks = reply(100, 10, "").model_copy(
        update={"stop_reason": "tool", "calls": (ToolCall(id="c", name="expand", arguments=arguments),), "raw": {}}
    )
    found, result = await costs_of(
        TwoModels(asks, reply(500, 20)), {"intent": "digest", "input": TEXT}, plugins=(Half(),)
    )
    estimate = found["estimate"]
    assert estimate["against_micro_usd"]["expansion"] == micro(100, 10, CHEAP)
    assert estimate["added_tokens"] == result.metrics.tokens_saved, "less what was given after all"
    assert estimate["calls"] == 1
    assert estimate["without_micro_usd"] == micro(500 + estimate["added_tokens"], 20)


async def test_a_text_that_a_model_rewrote_counts_against_the_savings() -> None:
    policy = {"digest": {"abstractive": True, "floor": 0.9, "target": 0.5}}
    fact = "The pump P-17 failed on 2026-11-20 at 700 bars."
    found, result = await costs_of(
        TwoModels(reply(33, 11, fact), reply(200, 20)),
        {"intent": "digest", "input": "so it goes on and on\n" * 60 + fact},
        plugins=(Half(),),
        compression={"policies": policy},
    )
    estimate = found["estimate"]
    assert estimate["against_micro_usd"]["compression"] == micro(33, 11, CHEAP)
    assert estimate["calls"] == 1
    # The figure of the run has the tokens that were spent taken off; here they are money, and counted once.
    assert estimate["added_tokens"] == result.metrics.tokens_saved + 44
    assert estimate["without_micro_usd"] == micro(200 + estimate["added_tokens"], 20)
    assert estimate["saved_micro_usd"] == estimate["without_micro_usd"] - micro(233, 31, CHEAP)


async def test_attempts_that_came_to_nothing_count_against_the_savings() -> None:
    step = {"output": {"enum": ["good"]}, "retry": {"attempts": 2, "on": "any", "delay": 0}}
    found, result = await costs_of(TwoModels(reply(30, 20, "bad"), reply(40, 10, "good")), step)
    assert result.status == "completed"
    estimate = found["estimate"]
    assert estimate["against_micro_usd"]["retry"] == micro(30, 20, CHEAP)
    assert (estimate["calls"], estimate["without_micro_usd"]) == (1, micro(40, 10))
    assert found["total"]["calls"] == 2


async def test_an_answer_that_a_later_attempt_used_again_was_not_for_nothing() -> None:
    class Breaks(Ask):
        """Fails once after its call was answered, for a reason that may pass."""

        tried = 0

        async def handle(self, request):
            result = await super().handle(request)
            Breaks.tried += 1
            if Breaks.tried == 1:
                raise ConnectorError("not now", retryable=True)
            return result

    async with engine(Breaks(), TwoModels(reply()), settings={"prices": {"models": PRICES}}) as service:
        result = await service.run(flow({"retry": {"attempts": 2, "delay": 0}}))
        estimate = (await read_costs(service._engine))["estimate"]
    assert (result.status, Breaks.tried) == ("completed", 2)
    assert (estimate["calls"], estimate["without_micro_usd"]) == (1, micro(30, 20))
    assert estimate["against_micro_usd"]["retry"] == 0


async def test_an_answer_that_was_used_again_would_have_been_asked_for_again(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    found, _ = await costs_of(TwoModels(reply(30, 20)), {"cache": 3600}, runs=3, db=url)
    estimate = found["estimate"]
    assert (estimate["calls"], estimate["reused_calls"], found["total"]["calls"]) == (3, 2, 1)
    assert estimate["without_micro_usd"] == 3 * micro(30, 20)
    assert estimate["spent_micro_usd"] == micro(30, 20, CHEAP)


async def test_savings_below_zero_are_shown_so(capsys) -> None:
    """All that was spent is in doubt: without an answer there is nothing that it could be compared with."""
    found, _ = await costs_of(TwoModels(refusal(billed=True)), {})
    estimate = found["estimate"]
    assert estimate["saved_micro_usd"] == -found["total"]["micro_usd"] < 0
    assert estimate["against_micro_usd"]["in_doubt"] == found["total"]["in_doubt_micro_usd"] > 0
    show_costs(found)
    shown = capsys.readouterr().out
    assert "saved, as an ESTIMATE: -$0.00" in shown
    assert "in doubt: 1 call," in shown
    assert "  in doubt $0.00" in shown


async def test_a_stream_that_broke_off_counts_against_the_savings() -> None:
    class Streams(TwoModels):
        async def stream(self, hold, request, meter):
            if self.calls:
                return await super().stream(hold, request, meter)
            self.calls.append((hold, request))
            meter.used(Usage(input_tokens=30, output_tokens=1))
            meter.unseen("thoughts of some length")
            raise ProviderError("connection lost", retryable=True, billed=True)

    async with made(Streams(reply(40, 10)), calls={"attempts": 2}) as service:
        result = await service.run(flow({}), on_text=lambda *_: None)
        found = await read_costs(service._engine)
    assert result.status == "completed"
    estimate = found["estimate"]
    assert estimate["against_micro_usd"]["cut_off"] == found["total"]["micro_usd"] - micro(40, 10, CHEAP) > 0
    assert estimate["without_micro_usd"] == micro(40, 10)
    assert found["total"]["in_doubt_calls"] == 0


class Model(Classifier):
    """Asks a model what a step is."""

    name = "model"
    asks_model = True

    def classify(self, request):
        return None if request.model is None else self._ask(request)

    async def _ask(self, request):
        asked = ModelRequest(messages=(Message(content=request.step.title),), max_output_tokens=50)
        await request.model.complete(asked)
        return Classification(intent="ask", confidence=0.9, method="model")


async def test_telling_intents_counts_against_the_savings_and_shows_as_what_it_is(url) -> None:
    provider = TwoModels(reply(11, 5), reply(30, 20))
    async with made(provider, Model(), db=url) as service:
        await service.run(flow({"intent": None}))
        found = {by: await read_costs(service._engine, None, by) for by in BYS}
        own = await read_costs(service._engine, "last")
    estimate = found["model"]["estimate"]
    assert estimate["against_micro_usd"]["classification"] == micro(11, 5, CHEAP)
    assert estimate["without_micro_usd"] == micro(30, 20)
    for by in ("intent", "tier"):
        names = {row["group"]: row["micro_usd"] for row in found[by]["groups"]}
        assert names == {"(classification)": micro(11, 5, CHEAP), {"intent": "ask"}.get(by, "only"): 1 * 700}
    assert "classification of t / classify" in [row["group"] for row in found["step"]["groups"]]
    assert own["total"]["micro_usd"] == 700
    assert own["estimate"]["classified_in_another_run"]
    assert not estimate["classified_in_another_run"]


async def test_where_no_model_was_asked_nothing_was_saved_and_that_is_said(capsys) -> None:
    class Selects(ScriptedProvider):
        charges = False

    answer = reply(30, 20).model_copy(update={"produced_by": "extractive"})
    found, _ = await costs_of(Selects(answer), {})
    assert _tokens(found["total"]) == 0, "no model was asked, so no tokens were spent"
    assert (found["estimate"]["saved_micro_usd"], found["estimate"]["free_calls"]) == (0, 1)
    show_costs(found)
    assert "ESTIMATE: $0, as no model was asked" in capsys.readouterr().out


async def test_a_price_that_is_missing_makes_the_estimate_not_known(capsys) -> None:
    prices = {"models": {"scripted/scripted-1": CHEAP}}
    found, _ = await costs_of(TwoModels(reply()), {}, prices=prices)
    estimate = found["estimate"]
    assert estimate["prices_missing"] == ["scripted/scripted-9"]
    assert (estimate["known"], estimate["without_micro_usd"], estimate["saved_micro_usd"]) == (False, None, None)
    assert found["total"]["micro_usd"] == micro(30, 20, CHEAP)
    show_costs(found)
    shown = capsys.readouterr().out
    assert "not known, as prices are missing: scripted/scripted-9" in shown
    assert '[prices.models."scripted/scripted-9"]' in shown


async def test_only_calls_of_the_period_are_compared(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    async with made(TwoModels(reply()), db=url) as service:
        await service.run(flow({}))
        between = time()
        await service.run(flow({"input": 2}))
        early = await read_costs(service._engine, period=(None, between))
        late = await read_costs(service._engine, period=(between, None))
    assert [found["total"]["calls"] for found in (early, late)] == [1, 2]
    assert [found["estimate"]["calls"] for found in (early, late)] == [1, 2]


# --- the journal, event by event ---

NOW = 1_795_000_000.0


def told(*events: tuple, models=None, by_hand=None, **scope):
    """What the fold makes of a run: events as `(type, seconds after NOW, fields)`."""
    hand = {name: PriceSetting(**price) for name, price in (PRICES if by_hand is None else by_hand).items()}
    fold = SavingsFold(models or {"scripted": ["scripted-1", "scripted-9"]}, hand, Scope(**scope))
    for kind, after, data in events:
        fold.add(JournalRow("r", "s", kind, NOW + after, json.dumps(data), classifies=False))
    return fold.result()


def ended(
    key: str, outcome: str = "answered", after: float = 0, provider: str = "scripted", **usage: int
) -> tuple:
    counted = {"input_tokens": 10, "output_tokens": 5, "micro_usd": 200, **usage}
    fields = {"call": key, "provider": provider, "usage": counted, "outcome": outcome, "produced_by": "model"}
    return "tokens_settled", after, fields


def smaller(before: int, after: int) -> tuple:
    return "token_compressed", 0, {"tokens_before": before, "tokens_after": after, "saved": before - after}


STARTED = ("step_started", 0, {})


def test_a_doubt_that_is_cleared_is_no_doubt() -> None:
    """Answered after all, it would have been asked without orchestration too; released, nothing was sent."""
    assert told(STARTED, ended("a", "in_doubt"), ended("a")).micro_usd == micro(10, 5)
    gone = told(STARTED, ended("a"), ended("a", "refused"))
    assert (gone.calls, gone.micro_usd) == (0, 0)
    assert told(STARTED, ended("a", "in_doubt")).calls == 0


def test_a_call_belongs_to_the_period_in_which_it_was_held() -> None:
    late = (STARTED, ("tokens_reserved", 0, {"call": "a"}), ended("a", after=100))
    assert told(*late, since=NOW, until=NOW + 50).calls == 1
    assert told(*late, since=NOW + 50).calls == 0
    assert told(*late, until=NOW).calls == 0


def test_what_is_compressed_again_for_another_attempt_is_added_once() -> None:
    first = (STARTED, smaller(100, 40), ended("a"))
    assert told(*first).added_tokens == 60
    assert told(*first, STARTED, smaller(100, 40), ended("a", "replayed")).added_tokens == 60
    retried = told(*first, STARTED, smaller(100, 40), ended("b"))
    assert (retried.added_tokens, retried.calls, retried.against["retry"]) == (60, 1, 200)


def test_a_call_is_priced_by_the_length_it_would_have_had() -> None:
    """A prompt that crosses a threshold with its content added again is dearer as a whole."""
    models = {"anthropic": ["claude-haiku-5-5"]}
    saved = told(
        smaller(20_000, 5000),
        ended("a", provider="anthropic", input_tokens=90_000, output_tokens=0),
        models=models,
    )
    assert saved.micro_usd == 105_000 * 0.5 != 105_000 * 0.1


def test_a_call_is_priced_as_of_its_hour() -> None:
    """Some models are cheaper by night: what a call would have cost is not the same at every hour."""
    hours = [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        and any(isinstance(item.constraint, TimeOfDateConstraint) for item in model.prices)
        and provider.find_model(model.id) is model
    ]
    assert hours, "the price data has no such model any more: this test has nothing to look at"
    provider, model = hours[0]
    found = {
        told(
            ended("a", after=hour * 3600, provider=provider, input_tokens=1_000_000),
            models={provider: [model]},
            by_hand={},
        ).micro_usd
        for hour in range(24)
    }
    assert len(found) > 1


# --- prices ---


def service_of(*plugins, **prices):
    return engine(*plugins, settings={"prices": {"models": prices}})._engine


def test_prices_of_the_tiers_say_where_they_come_from() -> None:
    class Two(ScriptedProvider):
        def models(self):
            return {"only": "scripted-1", "big": "scripted-9", "small": "scripted-1"}

    one = of_tiers(service_of(Two(), **{"scripted/scripted-1": {**CHEAP, "batch": 0.5}}))
    assert [(row["model"], row["tiers"], row["known"]) for row in one] == [
        ("scripted-1", ["only", "small"], True),
        ("scripted-9", ["big"], False),
    ]
    (step,) = one[0]["steps"]
    assert one[0]["source"] == "settings"
    assert (step["input"], step["cache_read"], step["cache_write"], step["batch_output"]) == (10, 1, 10, 10)
    assert "refused" in one[1]["source"]
    assert 'prices.models."scripted/scripted-9"' in one[1]["hint"]


def test_a_long_prompt_has_prices_of_its_own() -> None:
    (row,) = of_name(service_of(), "anthropic/claude-haiku-5-5")
    assert [step["above_tokens"] for step in row["steps"]] == [0, 100_000]
    assert row["steps"][1]["input"] > row["steps"][0]["input"] > row["steps"][0]["batch_input"] > 0
    assert row["steps"][1]["batch_input"] > row["steps"][0]["batch_input"]
    assert row["source"].startswith("genai-prices ")


def test_all_models_of_a_provider_those_set_by_hand_first() -> None:
    rows = of_name(service_of(**{"openai/mine": CHEAP}), "openai")
    assert (rows[0]["model"], rows[0]["source"]) == ("mine", "settings")
    assert sum(row["known"] for row in rows) > 20
    longer = [row for row in rows if not row["known"]]
    assert all("longer names" in row["source"] for row in longer), "a name that no call can have is no gap"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("antropic", "no prices of a provider 'antropic'", "did you mean anthropic"),
        ("qqqqqq", "no prices of a provider 'qqqqqq'", "known: .*anthropic, "),
        ("anthropic/claude-opus-55", "the price of anthropic/claude-opus-55", "anthropic/claude-opus-5-5"),
        ("anthropic/qqqqqqqqqqq", "the price of anthropic/qqq", r"`intendant prices anthropic`.*intendant\.toml"),
    ],
)
def test_what_has_no_price_is_told_with_what_comes_close(name, message, hint) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        of_name(service_of(), name)
    assert re.search(hint, caught.value.hint)


async def test_a_provider_whose_own_code_fails_costs_no_report() -> None:
    class Broken(TwoModels):
        broken = False

        def models(self):
            if self.broken:
                raise RuntimeError("no list today")
            return super().models()

    provider = Broken(reply())
    async with made(provider) as service:
        await service.run(flow({}))
        provider.broken = True
        found = await read_costs(service._engine)
    assert found["total"]["micro_usd"] == micro(30, 20, CHEAP)
    assert not found["estimate"]["known"]

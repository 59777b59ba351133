"""What operators read of runs through `service.operations`: in pages, by indexes, of their own tenant."""

import asyncio

import pytest

from intendant import IntendantError, RunNotFound, Workflow
from intendant.events import read_event
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.record.store import browsing, run_figures
from intendant.record.store.auditing import Wish
from intendant.testing import ScriptedProvider, engine


class Ask(IntentHandler):
    """Asks the model, when it may."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    def __init__(self):
        super().__init__()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def handle(self, request):
        if request.prompt == "slowly":
            await self.may_go_on.wait()
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


def flow(name="letters", *more, agent="mailer"):
    steps = [
        {"id": "a", "intent": "ask", "prompt": "a"},
        {"id": "each", "intent": "ask", "prompt": "b", "for_each": ["x", "y"], "needs": ["a"]},
        *more,
    ]
    return Workflow.model_validate({"name": name, "agent": agent, "budget": {"tokens": 5000}, "steps": steps})


APPROVE = {
    "id": "send",
    "intent": "ask",
    "prompt": "c",
    "needs": ["a"],
    "approve": {"ask": "Send?", "by": ["ada"]},
}
SLOW = {"id": "slow", "intent": "ask", "prompt": "slowly", "needs": ["a"]}


@pytest.fixture
async def service(tmp_path):
    async with engine(Ask(), ScriptedProvider("an answer"), db=f"sqlite:///{tmp_path / 'x.db'}") as made:
        yield made


async def test_runs_are_listed_in_pages_and_by_what_they_are(service) -> None:
    made = [(await service.run(flow(f"flow {number}", agent=f"agent {number % 2}"))).run_id for number in range(5)]
    operations = service.operations
    first = await operations.runs(2)
    rest = await operations.runs(10, before=first[-1].created_at)
    assert [row.id for row in (*first, *rest)] == made[::-1]
    assert [row.id for row in await operations.runs(agent="agent 1")] == [made[3], made[1]]
    assert [row.id for row in await operations.runs(workflow="flow 2", status="completed")] == [made[2]]
    assert await operations.runs(status="failed") == []
    assert (await operations.run(made[0][:-2])).id == made[0]
    with pytest.raises(RunNotFound):
        await operations.run("nothing")


async def test_another_tenant_sees_nothing(service, tmp_path) -> None:
    run = (await service.run(flow("letters", APPROVE))).run_id
    other = engine(Ask(), db=f"sqlite:///{tmp_path / 'x.db'}", settings={"budget": {"tenant": "other"}})
    async with other as theirs:
        operations = theirs.operations
        assert await operations.runs() == []
        assert await operations.approvals() == []
        assert (await operations.search()).rows == []
        assert await operations.newest_figures() == []
        assert await operations.counts() == {"running": 0, "waiting": 0}
        for asked in (
            operations.run,
            operations.figures_of,
            operations.budgets,
            operations.graph,
            operations.events,
        ):
            with pytest.raises(RunNotFound):
                await asked(run)
        with pytest.raises(RunNotFound):
            await operations.decide(run, "send", "approved", by="ada")


async def test_figures_of_a_run_are_those_of_its_events_while_it_runs_and_after(service) -> None:
    operations = service.operations
    run = (await service.run(flow())).run_id
    kept = await operations.figures_of(run)
    events = [read_event(row.data) for row in await operations.events(run)]
    assert kept.tokens == sum(event.usage.tokens for event in events if event.type == "tokens_settled")
    assert [step.step for step in kept.steps] == ["a", "each"]
    assert kept.steps[1].begun is not None, "items begin their step"
    assert await operations.newest_figures(1) == [kept]


async def test_a_run_is_watched_until_it_ends(service) -> None:
    handler = service._engine.plugins.intents["ask"]
    handler.may_go_on.clear()
    task = asyncio.create_task(service.run(flow("slow", SLOW)))
    seen = []
    while not (rows := await service.operations.runs(status="running")):
        await asyncio.sleep(0.02)
    assert (await service.operations.counts())["running"] == 1
    async for figures in service.operations.watch(rows[0].id, seconds=0.02):
        steps = {step.step: step for step in figures.steps}
        seen.append({name: step.status for name, step in steps.items()})
        if "slow" in steps and steps["slow"].begun:
            handler.may_go_on.set()
    await task
    assert seen[-1] == {"a": "completed", "each": "completed", "slow": "completed"}
    assert any(each["slow"] == "" for each in seen)


async def test_a_search_goes_on_where_its_page_has_ended(service) -> None:
    for number in range(3):
        await service.run(flow(f"flow {number}"))
    operations = service.operations
    everything = await operations.search(10_000)
    assert everything.place is None
    expected = [(row.run_id, row.seq) for row in everything.rows]
    runs = [row.id for row in await operations.runs()]
    assert expected == sorted(expected, key=lambda pair: (runs.index(pair[0]), -pair[1]))
    found, place = [], None
    while True:
        page = await operations.search(7, place=place)
        found += [(row.run_id, row.seq) for row in page.rows]
        if (place := page.place) is None:
            break
    assert found == expected


@pytest.mark.parametrize("most", [1, 5, 17, 1000])
async def test_a_search_looks_at_so_many_events_and_then_says_where_to_go_on(service, most) -> None:
    """However few events fit, each page ends after as many as it may look at; together they miss none."""
    for number in range(2):
        await service.run(flow(f"flow {number}"))
    wish = Wish(kinds=("routed",), limit=3)
    store, found, place, pages = service._engine.store, [], None, 0
    while True:
        page = await store.do(browsing.search(wish, place, most=most))
        assert page.scanned <= most
        found += [(row.run_id, row.seq) for row in page.rows]
        pages += 1
        if (place := page.place) is None:
            break
    everything = await service.operations.search(10_000, kinds=("routed",))
    assert found == [(row.run_id, row.seq) for row in everything.rows]
    assert len(found) == 4
    assert pages > 1 or most == 1000


async def test_a_search_finds_by_text_and_by_time(service) -> None:
    run = (await service.run(flow("a name of its own"))).run_id
    operations = service.operations
    found = await operations.search(text="a name of its own")
    assert [(row.run_id, row.type) for row in found.rows] == [(run, "initialized")]
    assert (await operations.search(text="100%_")).rows == []
    assert (await operations.search(until=1.0)).rows == []
    assert (await operations.search(since=4e9)).rows == []
    assert {row.step_id for row in (await operations.search(step="a")).rows} == {"a"}


async def test_budgets_of_a_run_and_its_steps(service) -> None:
    run = (await service.run(flow())).run_id
    rows = await service.operations.budgets(run)
    assert [row.id for row in rows] == [f"run:{run}", f"step:{run}/a", f"step:{run}/each"]
    assert rows[0].spent_tokens == rows[1].spent_tokens + rows[2].spent_tokens > 0


async def test_a_graph_with_links_is_no_picture_to_screen_readers(service) -> None:
    run = (await service.run(flow("with <b>"))).run_id
    plain = await service.operations.graph(run)
    assert 'role="img"' in plain
    assert "<style>" in plain
    linked = await service.operations.graph(run, lambda node: f"/step?a&b={node.key}", styled=False)
    assert '<a href="/step?a&amp;b=each">' in linked
    assert 'role="group"' in linked
    assert "<style>" not in linked
    assert "<b>" not in linked


async def test_one_step_and_the_whole_record(service) -> None:
    run = (await service.run(flow())).run_id
    step = await service.operations.step(run, "each[0]")
    assert (step["status"], step["output"]) == ("completed", "an answer")
    assert step["calls"][0]["outcome"] == "answered"
    record = await service.operations.record(run)
    assert record["journal"]["broken"] == []
    assert set(record["steps"]) == {"a", "each"}
    with pytest.raises(IntendantError):
        await service.operations.step(run, "nothing")


async def test_costs_with_and_without_an_estimate(service) -> None:
    run = (await service.run(flow())).run_id
    whole = await service.operations.costs(run, by="step")
    quick = await service.operations.costs(run, by="step", estimate=False)
    assert whole["estimate"]["known"]
    assert quick["estimate"] is None
    assert quick["total"] == whole["total"]


async def test_people_decide(service) -> None:
    run = (await service.run(flow("letters", APPROVE))).run_id
    operations = service.operations
    (asked,) = await operations.approvals(run)
    assert asked.step_key == "send"
    with pytest.raises(IntendantError, match="may not decide"):
        await operations.decide(run, "send", "approved", by="bo")
    with pytest.raises(IntendantError, match="no verdict"):
        await operations.decide(run, "send", "perhaps", by="ada")
    assert await operations.decide(run, "send", "approved", by="ada") == 0
    assert (await service.resume(run)).status == "completed"
    assert await operations.approvals() == []
    assert await operations.doubts() == []
    with pytest.raises(IntendantError):
        await operations.decide_doubt("nothing", "retry", by="ada")


async def test_plugins_agents_and_originals(service) -> None:
    run = (await service.run(flow())).run_id
    assert "intent:ask" in {record.key for record in service.operations.plugins()}
    assert [row.name for row in await service.operations.agents()] == ["mailer"]
    with pytest.raises(IntendantError):
        await service.operations.original(run, "nothing")


async def test_lists_are_read_through_indexes(service) -> None:
    await service.run(flow())

    def plans(connection):
        asked = (
            "SELECT id FROM run WHERE tenant = 'default' AND status = 'failed' ORDER BY created_at DESC LIMIT 20",
            "SELECT * FROM hold WHERE state = 'in_doubt' AND decided IS NULL ORDER BY created_at LIMIT 9",
            str(run_figures.missing_query("default").compile(compile_kwargs={"literal_binds": True})),
        )
        return [
            " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            for query in asked
        ]

    runs, holds, missing = await service._engine.store.do(plans)
    assert "ix_run_status (tenant=? AND status=?)" in runs
    assert "ix_hold_doubt" in holds
    assert "COVERING INDEX ix_run_ended (tenant=?)" in missing
    assert "TEMP B-TREE" not in runs + holds + missing

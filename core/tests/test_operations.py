"""`service.operations` gives dashboards and scripts all that they need, of the service's tenant only."""

from intendant import Workflow
from intendant.config.flags import Rollout
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.record.report_page import page
from intendant.testing import engine, sync_engine

FLOW = Workflow.model_validate(
    {"name": "x", "agent": "mailer", "steps": [{"id": "a", "intent": "ask", "prompt": "hello"}]}
)


class Ask(IntentHandler):
    """Asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


async def test_all_that_an_operator_reads_is_there() -> None:
    async with engine(Ask()) as service:
        result = await service.run(FLOW)
        looks = service.operations
        assert (await looks.rate("last", 4, step="a", by="eva")).rating == 4
        assert [one.run_id for one in await looks.figures(agent="mailer")] == [result.run_id]
        assert result.run_id in page(await looks.report("last"))
        assert (await looks.report()).ratings == [4]
        assert "intendant_runs_total" in await looks.prometheus()
        assert not [state for state in await looks.rules() if state.raised]
        assert [one.rated_by for one in await looks.ratings()] == ["eva"]
        assert await looks.limits() == []
        await service.steering.change({"budget.memory_tokens": 3}, by="eva")
        state, layers = await looks.setting("budget.memory_tokens")
        assert (state.value, len(layers)) == (3, 2)
        assert len(await looks.settings()) > 50
        assert (await looks.history())[0].changed_by == "eva"
        assert (await looks.flags("mailer"))["routing_enabled"]
        await looks.start_rollout("routing_enabled", by="eva", rollout=Rollout(percent=0))
        assert list(await looks.rollouts()) == ["routing_enabled"]
        newest = await looks.audit(1, kinds=["completed"])
        assert [(row.type, row.run_id) for row in newest] == [("completed", result.run_id)]
        assert (await looks.audit())[0].seq > (await looks.audit())[-1].seq


async def test_tenants_do_not_see_each_other(tmp_path) -> None:
    db = f"sqlite:///{tmp_path / 'x.db'}"
    async with engine(Ask(), db=db) as one, engine(db=db, settings={"budget": {"tenant": "other"}}) as other:
        await one.run(FLOW)
        await one.rate("last", 5)
        assert await other.operations.figures() == []
        assert await other.operations.audit() == []
        assert await other.operations.ratings() == []
        assert (await other.operations.report()).runs == []


def test_the_same_without_an_event_loop() -> None:
    with sync_engine(Ask()) as service:
        service.run(FLOW, user="eva")
        service.rate("last", 5, comment="well")
        assert "intendant_runs_total" in service.operations("prometheus")
        assert service.operations("ratings")[0].comment == "well"


async def test_a_cancelled_run_says_nothing_about_a_feature() -> None:
    async with engine(Ask()) as service:
        await service.operations.start_rollout("routing_enabled", by="eva")
        orchestrator = service.orchestrator()
        await orchestrator.initialize(FLOW)
        await orchestrator.reset()
        _, tally = (await service.operations.rollouts())["routing_enabled"]
        assert tally.counts == {}

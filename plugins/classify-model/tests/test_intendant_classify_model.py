"""A model is asked last, once for many steps, under a budget of its own, and its answers are kept."""

import json

import pytest

from intendant import Workflow, WorkflowError
from intendant.plugin import Classification, Classifier, IntentHandler, IntentSpec, ModelReply, StepResult, Usage
from intendant.record.store import budgets, runs
from intendant.testing import ClassifierContract, ScriptedProvider, engine, refusal
from intendant_classify_model import ModelClassifier


class TestContract(ClassifierContract):
    plugin = ModelClassifier
    entry_point = "model"


class Plain(IntentHandler):
    """Returns its name."""

    def __init__(self, name: str, *, effects: bool = False) -> None:
        self._made = IntentSpec(name=name, summary=f"Do {name}", examples=(f"Do {name}",), side_effects=effects)
        super().__init__()

    @property
    def spec(self):
        return self._made

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=request.intent)


class Guesser(Classifier):
    """Sure of steps named sure, unsure of all else."""

    name = "guesser"

    def classify(self, request):
        confidence = 0.99 if request.step.name == "sure" else 0.3
        if confidence < request.threshold:
            return None
        return Classification(intent="read", confidence=confidence, method="guesser")


def answers(*found) -> ModelReply:
    items = [{"number": number, "intent": intent, "confidence": sure} for number, intent, sure in found]
    return ModelReply(
        text=json.dumps({"answers": items}),
        usage=Usage(input_tokens=50, output_tokens=20),
        model="scripted-1",
        provider="scripted",
    )


def flow(*names: str) -> Workflow:
    steps = [{"id": f"s{n}", "name": name} for n, name in enumerate(names)]
    return Workflow.model_validate({"name": "t", "description": "the goal", "steps": steps})


def made(provider, tmp_path, **settings):
    plugins = (Plain("read"), Plain("post", effects=True), Guesser(), ModelClassifier(), provider)
    return engine(*plugins, settings=settings, db=f"sqlite:///{tmp_path}/x.db")


async def test_one_call_for_all_unsure_steps_and_none_for_sure_ones(tmp_path) -> None:
    provider = ScriptedProvider(answers((0, "post", 1.0), (1, "read", 0.8)))
    async with made(provider, tmp_path) as service:
        plan = await service.plan(flow("one", "sure", "two"), ask_model=True)
        listed = await service._engine.store.do(runs.list_runs())
    found = [(step.intent, step.classification.method, step.classification.confidence) for step in plan.steps]
    assert found == [("post", "model", 0.95), ("read", "guesser", 0.99), ("read", "model", 0.8)]
    ((hold, request),) = provider.calls
    assert hold.tokens <= 4000
    assert "the goal" in request.messages[0].content
    assert '"name": "two"' in request.messages[0].content
    assert "sure" not in request.messages[0].content.replace('"comes', "")
    assert [run.status for run in listed] == ["completed"]
    assert listed[0].workflow == "classification of t"


async def test_a_run_pays_for_telling_its_intents(tmp_path) -> None:
    """What classifying took is part of what the run may spend, and of what it says that it spent."""
    provider = ScriptedProvider(answers((0, "post", 1.0)))
    async with made(provider, tmp_path) as service:
        result = await service.run(flow("one"))
        plan = await service.plan(flow("one"))
        budget = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
    ((_, request),) = provider.calls
    assert request.messages[0].content
    assert result.metrics.tokens_used > 0
    assert result.metrics.micro_usd > 0
    assert (budget.spent_tokens, budget.spent_micro) == (result.metrics.tokens_used, result.metrics.micro_usd)
    assert plan.planning_tokens == 0, "the answer is remembered, and costs nothing any more"


async def test_an_answer_that_was_paid_is_kept_for_all_runs(tmp_path) -> None:
    provider = ScriptedProvider(answers((0, "post", 0.9)))
    for _ in range(2):
        async with made(provider, tmp_path) as service:
            plan = await service.plan(flow("one"), ask_model=True)
            assert plan.steps[0].intent == "post"
    assert len(provider.calls) == 1
    async with made(provider, tmp_path) as service:
        await service.plan(flow("another"), ask_model=True)
    assert len(provider.calls) == 2


@pytest.mark.parametrize(
    "reply",
    [
        answers((0, "nonsense", 0.9)),
        answers((7, "post", 0.9)),
        answers((0, "post", 0.2)),
        answers(),
        "no JSON",
        "[1]",
        refusal(),
        refusal(billed=True),
    ],
)
async def test_what_is_no_use_leaves_the_best_guess_with_a_warning(tmp_path, reply) -> None:
    async with made(ScriptedProvider(reply), tmp_path) as service:
        (step,) = (await service.plan(flow("one"), ask_model=True)).steps
    assert (step.intent, step.classification.method) == ("read", "guesser")
    assert "30% sure" in step.warnings[0]


async def test_a_model_may_say_that_it_is_no_step_of_work(tmp_path) -> None:
    async with made(ScriptedProvider(answers((0, None, 0.9))), tmp_path) as service:
        with pytest.raises(WorkflowError, match="does not look like a step of work"):
            await service.plan(flow("every morning"), ask_model=True)


async def test_it_stays_within_its_budget(tmp_path) -> None:
    provider = ScriptedProvider(answers((0, "post", 0.9)))
    async with made(provider, tmp_path, classification={"tokens": 50}) as service:
        (step,) = (await service.plan(flow("one"), ask_model=True)).steps
    assert provider.calls == []
    assert step.classification.method == "guesser"


async def test_switched_off_or_without_a_real_model_nobody_is_asked(tmp_path) -> None:
    class Extractive(ScriptedProvider):
        charges = False

    for provider, use_model in ((ScriptedProvider(answers()), False), (Extractive(answers()), True)):
        async with made(provider, tmp_path, classification={"use_model": use_model}) as service:
            await service.plan(flow("one"), ask_model=True)
        assert provider.calls == []


async def test_many_steps_are_split_into_batches(tmp_path) -> None:
    provider = ScriptedProvider(answers(*((n, "read", 0.9) for n in range(20))))
    async with made(provider, tmp_path) as service:
        plan = await service.plan(flow(*(f"step {n}" for n in range(45))), ask_model=True)
    assert len(provider.calls) == 3
    assert {step.classification.method for step in plan.steps} == {"model"}

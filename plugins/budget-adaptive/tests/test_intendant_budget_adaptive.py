from intendant import Workflow
from intendant.plugin import (
    Allocation,
    BudgetLine,
    BudgetRequest,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    StepResult,
    Usage,
)
from intendant.testing import BudgetContract, ScriptedProvider, engine
from intendant_budget_adaptive import AdaptiveStrategy, expected_need

BASELINES = {
    "extract": 800,
    "summarize": 1500,
    "generate": 2500,
    "validate": 1000,
    "send": 500,
    "transform": 800,
    "conditional": 300,
    "aggregate": 1200,
    "filter": 600,
    "enrich": 1000,
}


class TestAdaptiveStrategy(BudgetContract):
    plugin = AdaptiveStrategy
    entry_point = "adaptive"


def allocate(total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, **{"strategy": "adaptive", **more})  # type: ignore[arg-type]
    answer = AdaptiveStrategy().allocate(request)
    assert answer is not None
    return answer


def line(step_id: str, baseline: int = 1000, **more: object) -> BudgetLine:
    return BudgetLine(step_id=step_id, **{"intent": step_id, "baseline": baseline, **more})  # type: ignore[arg-type]


ALL_TEN = [line(intent, baseline) for intent, baseline in BASELINES.items()]


def test_strands_nothing_where_there_is_one_step_of_each_of_ten_intents() -> None:
    """Of 20,000 tokens with a cap of 4,000 a step, all are allocated (the reference stranded 907)."""
    answer = allocate(20_000, *ALL_TEN)
    assert sum(answer.tokens.values()) == 20_000
    assert answer.unallocated == 0
    assert max(answer.tokens.values()) <= 4000
    # Without a history the baselines count, as in the strategy `proportional`.
    rest = 16_000 / (sum(BASELINES.values()) - 2500)
    for intent, tokens in answer.tokens.items():
        assert abs(tokens - min(4000, BASELINES[intent] * rest)) < 1


def test_history_outweighs_the_baseline_as_it_grows() -> None:
    """Of two intents with one baseline, the one whose steps took four times as much gets ever more."""
    parts = []
    for steps in (0, 5, 10, 100):
        history = {"heavy": (4000,) * steps, "light": (1000,) * steps}
        parts.append(allocate(4000, line("heavy"), line("light"), history=history).tokens["heavy"])
    assert parts == sorted(parts)
    assert parts[0] == 2000
    assert len(set(parts)) == 4
    assert 3100 < parts[-1] < 3200  # the limit is 4/5 of 4,000


def test_formula() -> None:
    """Half trust where the history is worth as much as the baseline: (2000 + 1000) / 2."""
    assert expected_need([2000] * 10, 1000) == 1500
    assert expected_need([2000] * 30, 1000) == 0.75 * 2000 + 0.25 * 1000
    assert expected_need([2000] * 4, 1000) == 1000, "too few to trust"
    assert expected_need([], 700) == 700


def test_a_few_outliers_do_not_move_the_quantile() -> None:
    """One step in twenty that took a million tokens leaves the estimate as it was."""
    assert expected_need([1000] * 19 + [1_000_000], 1000) == 1000


def test_the_quantile_covers_its_share_of_the_past() -> None:
    past = list(range(1, 101))
    assert expected_need(past, 0, prior=0) == 90
    assert expected_need(past, 0, quantile=0.5, prior=0) == 50


def test_steps_that_asked_no_model_are_left_out() -> None:
    assert expected_need([0] * 100 + [500] * 10, 500) == 500


def test_only_the_newest_steps_count() -> None:
    made = AdaptiveStrategy({"window": 5, "prior": 0})
    history = {"a": (3000,) * 5 + (10,) * 500}
    request = BudgetRequest(total=4000, lines=(line("a"), line("b")), strategy="adaptive", history=history)
    assert made.allocate(request).tokens == {"a": 3000, "b": 1000}


def test_a_critical_step_counts_more() -> None:
    assert allocate(2500, line("a"), line("b", critical=True)).tokens == {"a": 1000, "b": 1500}


class Ask(IntentHandler):
    """Asks the model."""

    def __init__(self, name: str) -> None:
        self._made = IntentSpec(name=name, summary=name, examples=(name,), tokens=1000)
        super().__init__()

    @property
    def spec(self):  # type: ignore[override]
        return self._made

    async def handle(self, request):
        reply = await request.model.complete(ModelRequest(messages=(Message(content=request.prompt),)))
        return StepResult(output=reply.text)


async def test_what_steps_took_before_moves_their_shares() -> None:
    """Two intents with one baseline: after runs in which one took far more, it gets the larger share."""

    def answer(request: ModelRequest) -> ModelReply:
        tokens = 900 if request.messages[0].content == "heavy" else 30
        usage = Usage(input_tokens=10, output_tokens=tokens)
        return ModelReply(text="x", usage=usage, model="scripted-1", provider="scripted")

    steps = [{"id": name, "intent": name, "prompt": name} for name in ("heavy", "light")]
    flow = Workflow.model_validate({"name": "t", "agent": "a", "steps": steps, "budget": {"tokens": 3000}})
    settings = {"budget": {"strategy": "adaptive"}}
    plugins = (Ask("heavy"), Ask("light"), AdaptiveStrategy(), ScriptedProvider(answer))
    async with engine(*plugins, settings=settings) as service:
        before = await service.plan(flow)
        for _ in range(10):
            await service.run(flow)
        after = await service.plan(flow)
    assert [step.tokens for step in before.steps] == [1500, 1500]
    heavy, light = (step.tokens for step in after.steps)
    assert heavy > light * 1.5

"""Which model a step asks when it runs: by what it is given, by a policy, and where answers fail."""

import json

import pytest

from intendant import IntendantError, Workflow
from intendant.events import RouteDecided
from intendant.pilot.rating import rate
from intendant.pilot.route_rows import made_again, outcome_rows
from intendant.planning.outcomes import read_outcomes
from intendant.planning.policies import Choice, Policy
from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Message,
    ModelRefused,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepResult,
    Tier,
    TokenCounting,
    Usage,
)
from intendant.spending.tokens import estimate_tokens
from intendant.testing import ScriptedProvider, engine

DOWN = ProviderError("out of order", billed=False, at_fault=True)
REFUSED = ModelReply(
    text="I will not",
    usage=Usage(input_tokens=5, output_tokens=5),
    provider="lab",
    model="any",
    stop_reason="refusal",
)
PRICES = {"lab/tiny": (0.1, 0.2), "lab/middle": (1, 2), "lab/huge": (10, 20), "lab/extra": (2, 4)}


class Lab(ScriptedProvider):
    """Three models; what each says is given by its name."""

    name = "lab"

    def __init__(self, **said) -> None:
        super().__init__()
        self.said, self.windows = said, {}

    def models(self):
        return {"low": "tiny", "mid": "middle", "top": "huge"}

    def context_window(self, model):
        return self.windows.get(model)

    def token_counting(self, model):
        return TokenCounting(estimate_tokens, exact=True)

    async def complete(self, hold, request):
        said = self.said.get(hold.model, f"by {hold.model}")
        self._answers = [said(request) if callable(said) else said]
        return await super().complete(hold, request)

    @property
    def asked(self):
        return [hold.model for hold, _ in self.calls]


def tier(name: str, rank: int, hardest: float):
    class Made(Tier):
        """A tier."""

        def route(self, request):
            settings = self.settings.model_copy(update={"max_difficulty": hardest})
            made = type(self)()
            made.settings = settings
            return Tier.route(made, request)

    Made.name, Made.rank = name, rank
    return Made()


class Ask(IntentHandler):
    """Asks once."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",), reasoning=6, output_complexity=6)

    async def handle(self, request):
        reply = await request.model.complete(
            ModelRequest(messages=(Message(content=f"{request.prompt} {request.input}"),), max_output_tokens=50)
        )
        return StepResult(output=reply.text)


class Source(IntentHandler):
    """Gives what is wanted, without a model."""

    spec = IntentSpec(name="source", summary="Give", examples=("Give",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output="word " * int(request.input))


def flow(*steps: dict, **more) -> Workflow:
    return Workflow.model_validate(
        {
            "name": "t",
            "budget": {"tokens": 200_000},
            "steps": [{"intent": "ask", "prompt": "hi", **s} for s in steps],
        }
        | more
    )


async def done(workflow, lab, settings=None, db="none"):
    seen = []
    tiers = [tier("low", 1, 3.6), tier("mid", 2, 5.0), tier("top", 3, 10.0)]
    given = {"prices": {"models": {name: {"input": a, "output": b} for name, (a, b) in PRICES.items()}}}
    given |= {"routing": {"default_tier": "mid"}, "calls": {"attempts": 1}, "budget": {"tokens_per_step": 100_000}}
    for key, value in (settings or {}).items():
        given[key] = {**given.get(key, {}), **value}
    async with engine(Ask(), Source(), lab, *tiers, settings=given, db=db) as made:
        result = await made.run(workflow, on_event=seen.append)
    return result, [event for event in seen if isinstance(event, RouteDecided)]


async def test_the_resolved_input_decides_the_tier() -> None:
    """The same step goes to a stronger tier, the more its references hold when it runs."""
    for words, model in ((3, "tiny"), (600, "middle"), (40_000, "huge")):
        lab = Lab()
        prompt = "Weigh every clause of this against the others. " * (
            1 if words == 3 else 20 if words > 600 else 6
        )
        steps = (
            {"id": "s", "intent": "source", "prompt": None, "input": str(words)},
            {"id": "a", "prompt": prompt, "input": "{{ steps.s.output }}"},
        )
        result, (decided,) = await done(flow(*steps), lab)
        assert (result.status, lab.asked, decided.ask) == ("completed", [model], (f"lab/{model}",)), decided
        assert result.steps["a"].tier == {"tiny": "low", "middle": "mid", "huge": "top"}[model]


async def test_what_the_step_names_wins() -> None:
    lab = Lab()
    _, decided = await done(flow({"id": "a", "tier": "top"}, {"id": "b", "model": "lab/middle"}), lab)
    assert (sorted(lab.asked), decided) == (["huge", "middle"], [])


@pytest.mark.parametrize("failure", [REFUSED, DOWN], ids=["refused", "down"])
async def test_a_failed_answer_is_asked_again_without_its_tier(failure) -> None:
    lab = Lab(tiny=failure)
    result, decided = await done(flow({"id": "a"}), lab)
    assert (result.status, lab.asked) == ("completed", ["tiny", "middle"])
    assert decided[1].excluded == ("low",)
    assert "low failed" in decided[1].reason
    assert result.steps["a"].tier == "mid"


async def test_where_every_tier_fails_the_step_fails() -> None:
    lab = Lab(tiny=REFUSED, middle=REFUSED, huge=REFUSED)
    result, _ = await done(flow({"id": "a"}), lab)
    assert (result.status, lab.asked) == ("failed", ["tiny", "middle", "huge"])
    assert result.steps["a"].failure.error == ModelRefused.__name__


async def test_a_retry_excludes_the_tier_whose_answer_did_not_match_the_schema() -> None:
    lab = Lab(tiny="yes", middle="no")
    step = {"id": "a", "output": {"enum": ["no"]}, "retry": {"attempts": 2, "on": "any", "delay": 0}}
    result, decided = await done(flow(step), lab)
    assert (result.status, lab.asked) == ("completed", ["tiny", "middle"]), result
    assert decided[-1].excluded == ("low",)


async def test_the_money_left_bounds_the_choice() -> None:
    """A hard step is not sent to a model whose useful answer the budget cannot pay."""
    hard = {"id": "a", "prompt": "Weigh every clause of this against the others. " * 30, "input": "word " * 30_000}
    lab = Lab()
    _, (decided,) = await done(flow(hard, budget={"tokens": 200_000, "usd": 0.1}), lab)
    assert {each.name: each.refused for each in decided.candidates}["lab/huge"] == "budget"
    assert lab.asked == ["middle"]


async def test_a_window_that_is_too_small_is_passed_over() -> None:
    lab = Lab()
    lab.windows = {"tiny": 200}
    _, (decided,) = await done(flow({"id": "a", "prompt": "hi", "input": "word " * 300}), lab)
    assert {each.name: each.refused for each in decided.candidates}["lab/tiny"] == "window"
    assert lab.asked == ["middle"]


def written(path, **policy) -> str:
    made = Policy(**{"default": (), "baseline": {}, **policy})
    path.write_text(json.dumps(made.document()))
    return str(path)


async def test_a_policy_chooses_for_the_intents_that_it_knows(tmp_path) -> None:
    """It may name a model that no tier has; for other intents the tiers choose."""
    policy = written(tmp_path / "p.json", intents={"ask": (Choice(("lab/extra",)),)})
    lab = Lab()
    result, (decided,) = await done(flow({"id": "a"}), lab, {"routing": {"policy": policy}})
    assert (lab.asked, decided.policy) == (["extra"], json.loads((tmp_path / "p.json").read_text())["digest"])
    assert result.steps["a"].output == "by extra"
    policy = written(tmp_path / "p.json", intents={"other": (Choice(("lab/extra",)),)})
    lab = Lab()
    _, (decided,) = await done(flow({"id": "a"}), lab, {"routing": {"policy": policy}})
    assert (lab.asked, decided.novel) == (["tiny"], True)


@pytest.mark.parametrize(("second", "models"), [("Yes.", ["tiny", "middle"]), ("no", ["tiny", "middle", "huge"])])
async def test_two_models_that_agree_spare_the_third(tmp_path, second, models) -> None:
    policy = written(tmp_path / "p.json", intents={"ask": (Choice(("tiny", "middle"), "huge"),)})
    lab = Lab(tiny="yes", middle=second, huge="no")
    result, _ = await done(flow({"id": "a"}), lab, {"routing": {"policy": policy}})
    assert lab.asked == models
    assert result.steps["a"].output == ("yes" if len(models) == 2 else "no")


async def test_a_policy_that_may_lose_too_much_is_not_used(tmp_path) -> None:
    figures = {"most_lost": 0.2}
    policy = written(tmp_path / "p.json", intents={"ask": (Choice(("huge",)),)}, figures=figures)
    lab = Lab()
    await done(flow({"id": "a"}), lab, {"routing": {"policy": policy}})
    assert lab.asked == ["tiny"]
    lab = Lab()
    await done(flow({"id": "a"}), lab, {"routing": {"policy": policy, "max_loss": 0.3}})
    assert lab.asked == ["huge"]


async def test_a_policy_that_cannot_be_read_is_told_before_anything_is_asked(tmp_path) -> None:
    with pytest.raises(IntendantError, match=r"p\.json cannot be read"):
        await done(flow({"id": "a"}), Lab(), {"routing": {"policy": str(tmp_path / "p.json")}})


async def test_a_recorded_choice_is_made_again_and_rows_to_learn_from_come_of_runs(tmp_path, url) -> None:
    """Ratings are the scores; a model that was refused has none."""
    lab = Lab(tiny=REFUSED)
    tiers = [tier("low", 1, 3.6), tier("mid", 2, 5.0), tier("top", 3, 10.0)]
    prices = {name: {"input": a, "output": b} for name, (a, b) in PRICES.items()}
    settings = {"prices": {"models": prices}, "routing": {"default_tier": "mid"}}
    async with engine(Ask(), Source(), lab, *tiers, settings=settings, db=url) as made:
        result = await made.run(flow({"id": "a", "prompt": "Say {{ inputs.x }}"}, inputs={"x": {}}), {"x": "hi"})
        again = await made_again(made._engine, result.run_id)
        assert [(event.ask, now) for event, now in again] == [(("lab/tiny",), ""), (("lab/middle",), "")]
        await rate(made._engine, result.run_id, 4, step="a")
        (row,) = await outcome_rows(made._engine.store, made._engine.tenant, 10)
    assert (row["intent"], row["prompt"]) == ("ask", "Say hi")
    scores = {name: said["score"] for name, said in row["outcomes"].items()}
    assert scores == {"lab/tiny": 0.0, "lab/middle": 0.75}
    assert all(said["cost"] > 0 for said in row["outcomes"].values())
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    assert read_outcomes([tmp_path / "rows.jsonl"])[0].outcomes["lab/middle"].answer == "by middle"

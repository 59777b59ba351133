"""Features are rolled out to a share of the subjects, moved on or taken back by their counts, or tried in shadow."""

import math
import os
import random

import pytest

from intendant import Settings, SettingsError, Workflow, events
from intendant.config.flags import Rollout, Subject, decided, is_on
from intendant.model.errors import StepError
from intendant.pilot import rollout_guard, steering
from intendant.planning import canary
from intendant.planning.canary import STAGES, Count, judge, samples_of
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.record.figures import RunFigures, StepFigures
from intendant.testing import engine

SEEDS = int(os.environ.get("INTENDANT_TRIALS", "0")) or 150
SETTINGS = Settings.load(env={}, file=None)
FLOW = Workflow.model_validate(
    {"name": "x", "agent": "mailer", "steps": [{"id": "a", "intent": "ask", "prompt": "hello"}]}
)


class Ask(IntentHandler):
    """Asks the model; fails where it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))
    failing = False

    async def handle(self, request):
        if self.failing:
            raise StepError("not today")
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


# --- who gets it ---


def test_a_share_is_sticky_by_agent_or_by_user_with_lists_and_tenants() -> None:
    flag = Rollout(percent=50, by="user", allow=("eva",), deny=("jan", "eva2"), tenants={"acme": 100, "none": 0})
    assert is_on(flag, Subject("any", "eva", "none"))
    assert not is_on(flag, Subject("any", "jan", "acme"))
    assert all(is_on(flag, Subject("any", f"u{n}", "acme")) for n in range(50))
    assert not any(is_on(flag, Subject("any", f"u{n}", "none")) for n in range(50))
    shares = [is_on(flag, Subject(f"a{n}", "one user")) for n in range(20)]
    assert len(set(shares)) == 1, "it is the user's, whatever the agent"
    by_agent = flag.model_copy(update={"by": "agent"})
    assert len({is_on(by_agent, Subject("one agent", f"u{n}")) for n in range(20)}) == 1


def test_who_is_denied_is_denied_whatever_else_is_said() -> None:
    assert not is_on(Rollout(percent=100, allow=("a",), deny=("a",)), "a")


def test_the_profile_rollout_has_all_flags_off_but_those_that_are_set() -> None:
    settings = Settings.load(
        {"rollout": {"profile": "rollout"}, "flags": {"routing_enabled": True}}, env={}, file=None
    )
    on = decided(settings.flags, Subject("a"))
    assert [name for name, value in on.items() if value] == ["routing_enabled"]
    assert settings.source_of("flags.compression_enabled") == "the profile rollout"


async def test_a_run_keeps_its_flags_when_it_is_resumed() -> None:
    ask = Ask()
    ask.failing = True
    async with engine(ask) as service:
        result = await service.run(FLOW)
        await service.steering.change({"flags.compression_enabled": False}, by="eva")
        ask.failing = False
        orchestrator = service.orchestrator()
        await orchestrator.resume(result.run_id)
        assert orchestrator._run.plan.flags["compression_enabled"] is True
        assert orchestrator._run.context.chain is not None
        await orchestrator.reset()


async def test_the_user_decides_where_the_share_is_of_users() -> None:
    flags = {"orchestration_enabled": {"percent": 0, "by": "user", "allow": ["eva"]}}
    async with engine(Ask(), settings={"flags": flags}) as service:
        assert (await service.run(FLOW, user="eva")).status == "completed"
        assert not await service.orchestrator().initialize(FLOW, user="jan")


# --- the guard ---


def simulate(seed: int, on: float, off: float, runs: int = 4000) -> tuple[str, int]:
    """A guarded rollout whose runs fail with these chances: how it ended, and after how many runs with the feature."""
    chance = random.Random(seed)
    counts = {"failure": {"on": Count(), "off": Count()}}
    percent, at_stage, with_feature = STAGES[0], 0, 0
    for _ in range(100 * runs):
        arm = "on" if chance.random() * 100 < percent else "off"
        samples, bad = counts["failure"][arm]
        counts["failure"][arm] = Count(samples + 1, bad + (chance.random() < (on if arm == "on" else off)))
        if arm == "off":
            continue
        at_stage, with_feature = at_stage + 1, with_feature + 1
        verdict = judge(percent, counts, at_stage, SETTINGS)
        if verdict.done:
            return "on for all", with_feature
        if verdict.percent == 0:
            return "taken back", with_feature
        if verdict.percent != percent:
            percent, at_stage = verdict.percent, 0
        if with_feature >= runs:
            break
    return "open", with_feature


def test_a_feature_that_fails_in_8_percent_is_taken_back_within_400_of_its_runs() -> None:
    """Control 2 %, alarm share 5 %; the issue asks for 99 % of 1,000 seeds (INTENDANT_TRIALS=1000)."""
    ends = [simulate(seed, 0.08, 0.02) for seed in range(SEEDS)]
    share = sum(end == "taken back" and runs <= 400 for end, runs in ends) / SEEDS
    assert share >= 0.99 - (0.02 if SEEDS < 1000 else 0)


def test_a_healthy_feature_gets_to_all_subjects() -> None:
    """The issue asks for 95 % of 1,000 seeds."""
    ends = [simulate(seed, 0.02, 0.02) for seed in range(SEEDS)]
    assert sum(end == "on for all" for end, _ in ends) / SEEDS >= 0.95 - (0.03 if SEEDS < 1000 else 0)


@pytest.mark.parametrize("criterion", ["failure", "overage", "quality", "overhead"])
def test_each_criterion_takes_a_feature_back(criterion) -> None:
    counts = {criterion: {"on": Count(60, 30), "off": Count(1000, 10)}}
    verdict = judge(25.0, counts, 60, SETTINGS)
    assert verdict.percent == 0
    assert (
        verdict.reason
        == f"{criterion}: 30 of 60 runs bad (50.0%) with the feature, 10 of 1000 runs bad (1.0%) without"
    )


def test_a_stage_needs_its_runs_and_good_evidence() -> None:
    healthy = {"failure": {"on": Count(49, 0), "off": Count(900, 9)}}
    assert judge(5.0, healthy, 49, SETTINGS).reason == ""
    assert judge(5.0, {"failure": {"on": Count(50, 0)}}, 50, SETTINGS).percent == 25
    unclear = {"failure": {"on": Count(50, 3), "off": Count(900, 9)}}
    assert judge(5.0, unclear, 50, SETTINGS) == (5.0, "", False)
    assert judge(100.0, {"failure": {"on": Count(300, 0)}}, 50, SETTINGS).done


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rollout.runs_per_stage", 500),
        ("rollout.false_alarm", 1e-9),
        ("alerts.failure_share", 0.9),
    ],
)
def test_changing_a_key_of_the_guard_changes_its_verdict(key, value) -> None:
    section, name = key.split(".")
    changed = Settings.load({section: {name: value}}, env={}, file=None)
    cases = [{"failure": {"on": Count(60, bad), "off": Count(900, 9)}} for bad in (0, 4, 10)]
    assert [judge(5.0, case, 60, SETTINGS) for case in cases] != [judge(5.0, case, 60, changed) for case in cases]


@pytest.mark.parametrize(
    ("key", "value", "criterion"),
    [("overage_share", 0.6, "overage"), ("quality_minimum", 1.0, "quality"), ("overhead_ms", 900.0, "overhead")],
)
def test_changing_an_alarm_changes_what_a_bad_run_is(key, value, criterion) -> None:
    step = StepFigures("a", status="completed", attempts=1, allocated=100, used=120, quality=0.5, seconds=1.0)
    step.handler_seconds = 0.9
    run = RunFigures(status="completed", steps=[step, StepFigures("b", allocated=100, used=10)])
    changed = Settings.load({"alerts": {key: value}}, env={}, file=None)
    assert samples_of(run, SETTINGS)[criterion]
    assert not samples_of(run, changed)[criterion]


async def test_runs_move_a_guarded_feature_on_to_all(monkeypatch) -> None:
    monkeypatch.setattr(steering, "REFRESH_SECONDS", 0.0)
    seen: list[events.Event] = []
    settings = {"rollout": {"runs_per_stage": 2}, "alerts": {"overhead_ms": 60_000}}
    async with engine(Ask(), settings=settings) as service:
        await rollout_guard.start(
            service._engine, "routing_enabled", by="eva", rollout=Rollout(percent=0, allow=("mailer",))
        )
        for _ in range(10):
            await service.run(FLOW, on_event=seen.append)
        moves = [event for event in seen if isinstance(event, events.RolloutMoved)]
        assert [(event.before, event.after) for event in moves] == [
            (5, 25),
            (25, 50),
            (50, 75),
            (75, 100),
            (100, 100),
        ]
        assert service.settings.flags.routing_enabled is True
        rows = await service.steering.history()
        assert rows[0].changed_by == rollout_guard.BY
        assert "held" in rows[0].note


async def test_a_guarded_feature_that_fails_is_taken_back_with_an_event_and_the_figures(monkeypatch) -> None:
    monkeypatch.setattr(steering, "REFRESH_SECONDS", 0.0)
    seen: list[events.Event] = []
    ask = Ask()
    async with engine(ask, settings={"alerts": {"overhead_ms": 60_000}}) as service:
        for _ in range(3):
            await service.run(FLOW)
        await rollout_guard.start(
            service._engine, "routing_enabled", by="eva", rollout=Rollout(percent=0, allow=("mailer",))
        )
        ask.failing = True
        while service.settings.flags.routing_enabled is not False:
            result = await service.run(FLOW, on_event=seen.append)
            assert len(seen) < 500
        moved = next(event for event in seen if isinstance(event, events.RolloutMoved))
        assert (moved.after, moved.severity) == (0, "critical")
        assert moved.figures["failure"] == {"on_bad": 5, "on_runs": 5}
        assert "5 of 5 runs bad" in moved.reason
        assert result.status == "failed"
        assert "5 of 5" in (await service.steering.history())[0].note


async def test_runs_without_the_feature_are_the_control_group(monkeypatch) -> None:
    monkeypatch.setattr(steering, "REFRESH_SECONDS", 0.0)
    async with engine(Ask()) as service:
        await rollout_guard.start(
            service._engine, "routing_enabled", by="eva", rollout=Rollout(percent=0, deny=("mailer",))
        )
        await service.run(FLOW)
        await service.run(FLOW, dry=True)
        _, tally = (await rollout_guard.tallies(service._engine))["routing_enabled"]
        assert tally.counts["failure"] == {"off": (1, 0)}
        assert tally.at_stage == 0


async def test_a_run_that_began_before_the_guard_says_nothing_about_it() -> None:
    async with engine(Ask()) as service:
        early = service.orchestrator()
        await early.initialize(FLOW)
        await rollout_guard.start(service._engine, "routing_enabled", by="eva")
        await early.complete()
        _, tally = (await rollout_guard.tallies(service._engine))["routing_enabled"]
        assert tally.counts == {}


async def test_an_unknown_flag_is_refused() -> None:
    async with engine() as service:
        with pytest.raises(SettingsError, match="no setting"):
            await rollout_guard.start(service._engine, "wings_enabled", by="eva")


# --- figures, worked out by hand ---


def counted(on: tuple[int, int], off: tuple[int, int], criterion: str = "failure") -> dict[str, dict[str, Count]]:
    return {criterion: {"on": Count(*on), "off": Count(*off)}}


def test_the_ratio_is_that_of_a_bad_share_to_the_control_group_s() -> None:
    """An alarm at 5 %: no control group counts as better than 2 %, and 50 runs of that are added to it."""
    settings = Settings.model_validate({"alerts": {"failure_share": 0.05, "overage_share": 0.2}})
    without = canary.ratio("failure", counted((100, 3), (0, 0)), settings)
    assert without == pytest.approx(3 * math.log(0.05 / 0.02) + 97 * math.log(0.95 / 0.98))
    worse = (30 + 50 * 0.02) / 350
    known = canary.ratio("failure", counted((100, 3), (300, 30)), settings)
    assert known == pytest.approx(3 * math.log(2) + 97 * math.log((1 - 2 * worse) / (1 - worse)))
    better = canary.ratio("failure", counted((100, 3), (1000, 0)), settings)
    assert better == pytest.approx(without), "no better than 2 %"
    other = canary.ratio("quality", counted((10, 3), (0, 0), "quality"), settings)
    assert other == pytest.approx(3 * math.log(0.2 / 0.08) + 7 * math.log(0.8 / 0.92))
    assert canary.ratio("overage", counted((10, 3), (0, 0)), settings) == 0.0
    bad = canary.ratio("failure", counted((10, 10), (1000, 1000)), settings)
    assert bad == pytest.approx(10 * math.log(2)), "at most half of the control group's runs count as bad"


@pytest.mark.parametrize(("percent", "later"), [(1, 5), (5, 25), (25, 50), (50, 75), (75, 100), (60, 75)])
def test_a_stage_is_followed_by_the_next_larger_one(percent, later) -> None:
    settings = Settings.model_validate({"rollout": {"runs_per_stage": 10}})
    good = counted((1000, 0), (1000, 0))
    assert canary.judge(percent, good, 10, settings) == canary.Verdict(
        later, f"all criteria held for 10 runs at {percent} %"
    )
    assert canary.judge(percent, good, 9, settings) == canary.Verdict(percent, "")
    assert canary.judge(percent, {}, 10, settings).percent == later
    assert canary.judge(percent, counted((10, 1), (10, 0)), 10, settings) == canary.Verdict(percent, "")


def test_a_feature_for_all_is_watched_no_longer_and_a_bad_one_is_off() -> None:
    settings = Settings.model_validate({"rollout": {"runs_per_stage": 10}})
    assert canary.judge(100, counted((1000, 0), (0, 0)), 10, settings).done
    taken_back = canary.judge(25, counted((200, 50), (100, 1), "overhead"), 10, settings)
    said = "overhead: 50 of 200 runs bad (25.0%) with the feature, 1 of 100 runs bad (1.0%) without"
    assert taken_back == canary.Verdict(0.0, said)
    alone = canary.judge(25, {"failure": {"on": Count(200, 50)}}, 10, settings)
    assert alone.reason.endswith("0 of 0 runs bad without")


def test_a_run_is_bad_by_its_end_its_overages_its_quality_and_its_overhead() -> None:
    settings = Settings.model_validate(
        {"alerts": {"overage_share": 0.5, "quality_minimum": 4.0, "overhead_ms": 100}}
    )

    def told(status: str, *steps: StepFigures) -> dict[str, bool]:
        return canary.samples_of(RunFigures("r", "w", "a", status, steps=list(steps)), settings)

    over, kept = StepFigures("s", allocated=100, used=111), StepFigures("s", allocated=100, used=110)
    assert told("completed") == {"failure": False}
    assert [told(status)["failure"] for status in ("failed", "refused", "overrun", "cancelled")] == [True] * 3 + [
        False
    ]
    assert told("completed", over, kept)["overage"] is False
    assert told("completed", over, over, kept)["overage"] is True
    qualities = [StepFigures("s", quality=quality) for quality in (1.0, 0.8, 0.79)]
    assert told("completed", *qualities[:2])["quality"] is False
    assert told("completed", *qualities)["quality"] is True
    slow = [
        StepFigures("s", status="completed", attempts=1, seconds=seconds, handler_seconds=1.0)
        for seconds in (1.15, 1.05)
    ]
    assert told("completed", slow[0])["overhead"] is True
    assert told("completed", slow[0], slow[1], slow[1])["overhead"] is False

"""Figures of runs, dashboards and alerts: pure functions over what the journal says."""

import asyncio
import json
import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from intendant import Settings, Workflow, events
from intendant.config.catalogue import all_keys
from intendant.model.errors import StepError
from intendant.model.money import money, usd
from intendant.pilot import alerting
from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    Options,
    StepResult,
    operation as connector_operation,
)
from intendant.record import alerts
from intendant.record.alerts import NAMES, Rated, evaluate
from intendant.record.dashboards import adherence, costs, health, performance, spread
from intendant.record.figures import RunFigures, StepFigures, figures_of
from intendant.record.journal import read_events
from intendant.record.periods import elapsed_share
from intendant.record.prometheus import exposition
from intendant.record.report_page import Report, page
from intendant.record.rows import LimitState, Scope
from intendant.record.store import run_figures
from intendant.testing import ScriptedProvider, engine

SETTINGS = Settings.load(env={}, file=None)
FLOW = Workflow.model_validate(
    {
        "name": "x",
        "agent": "mailer",
        "steps": [
            {"id": "a", "intent": "ask", "prompt": "hello"},
            {"id": "b", "intent": "ask", "prompt": "there", "needs": ["a"]},
        ],
    }
)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


class Ask(IntentHandler):
    """Asks the model; fails where it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))
    failing = False

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        reply = await request.model.complete(ask)
        if self.failing and request.step.id == "b":
            raise StepError("not today")
        return StepResult(output=reply.text)


def step(**said) -> StepFigures:
    return StepFigures("s", **{"status": "completed", "attempts": 1, "intent": "ask", **said})


def run(at: float, *steps: StepFigures, **said) -> RunFigures:
    return RunFigures(f"r{at:.0f}", "w", "mailer", "completed", at, steps=list(steps), **said)


# --- figures ---


async def test_figures_are_the_same_live_and_from_the_store_and_agree_with_the_metrics() -> None:
    async with engine(Ask()) as service:
        result = await service.run(FLOW)
        store = service._engine.store
        live = (await alerting.figures(service._engine, Scope()))[0]
        again = figures_of(await read_events(store, result.run_id))
        assert live == again
        assert live == RunFigures.of_json(json.loads(json.dumps(live.as_json())))
        assert live.tokens == result.metrics.tokens_used > 0
        assert live.micro_usd == result.metrics.micro_usd > 0
        assert [one.step for one in live.steps] == ["a", "b"]
        assert all(one.allocated and one.calls == 1 and one.tier == "only" for one in live.steps)
        assert all(0 <= one.overhead_ms < 5000 for one in live.steps)
        assert live.flags["routing_enabled"]


async def test_a_run_that_is_resumed_has_one_row_of_figures() -> None:
    ask = Ask()
    ask.failing = True
    async with engine(ask) as service:
        result = await service.run(FLOW)
        assert (await alerting.figures(service._engine, Scope()))[0].status == "failed"
        ask.failing = False
        await service.resume(result.run_id)
        found = await alerting.figures(service._engine, Scope())
        assert [(one.status, one.steps[1].status, one.steps[1].code) for one in found] == [
            ("completed",) * 2 + ("",)
        ]


async def test_figures_of_runs_without_them_are_made_when_they_are_asked_for() -> None:
    from sqlalchemy import delete

    from intendant.record.store.tables import run_figure

    async with engine(Ask()) as service:
        await service.run(FLOW)
        before = await alerting.figures(service._engine, Scope(agent="mailer"))
        await service._engine.store.do(lambda connection: connection.execute(delete(run_figure)) and None)
        assert await alerting.figures(service._engine, Scope(agent="mailer")) == before
        assert await alerting.figures(service._engine, Scope(agent="nobody")) == []


async def test_a_run_whose_journal_was_damaged_is_counted_as_unreadable() -> None:
    from sqlalchemy import delete, update

    from intendant.record.store import triggers
    from intendant.record.store.tables import event, run_figure

    async with engine(Ask()) as service:
        await service.run(FLOW)
        for work in (delete(run_figure), update(event).values(data="{")):
            await service._engine.store.do(triggers.drop)
            await service._engine.store.do(lambda connection, work=work: connection.execute(work) and None)
        assert health(await alerting.figures(service._engine, Scope())).statuses == {"unreadable": 1}


# --- dashboards ---


def test_adherence_is_within_ten_percent() -> None:
    used = (50, 90, 100, 110, 111, 200)
    found = adherence([step(allocated=100, used=each) for each in used] + [step(used=5), step(allocated=100)])
    assert (found.steps, found.kept, found.close) == (6, 4, 3)
    assert found.share == pytest.approx(4 / 6)
    assert adherence([]).share == 1


def test_health_counts_intents_tiers_and_savings_of_what_would_have_been() -> None:
    runs = [
        run(1, step(used=60, before=100, after=60, tier="fast"), step(intent="", status="skipped")),
        run(2, step(used=0, status="failed", code="store_failed"), refusals=2, shadow_tokens=7),
    ]
    found = health(runs)
    assert found.statuses == {"completed": 2}
    assert found.intents == {"ask": 2}
    assert found.tiers == {"fast": 1}
    assert found.saved_share == pytest.approx(40 / 100)
    assert (found.refusals, found.shadow_tokens, found.down) == (2, 7, 1)


def test_performance_tells_handlers_classification_and_overhead() -> None:
    slow = step(seconds=0.2, handler_seconds=0.15, compression_seconds=0.01, confidence=0.5, method="local")
    retried = step(seconds=9.0, handler_seconds=0.1, attempts=2)
    found = performance([run(1, slow, retried, step(status="failed"))])
    assert found.overhead.samples == 1, "a retry's pause is no overhead"
    assert found.overhead.mean == pytest.approx(60)
    assert (found.handlers["ask"].steps, found.handlers["ask"].failed) == (3, 1)
    assert (found.classification["w"].unsure, found.classification["w"].methods) == (1, {"local": 1})


def test_costs_tell_days_ratios_shares_and_what_was_saved() -> None:
    first = run(NOON, step(used=60, micro_usd=600, allocated=100, before=100, after=60), planning_tokens=10)
    found = costs([first, run(NOON + 86_400, step(micro_usd=5))])
    assert found.days == {"2026-11-21": 600, "2026-11-22": 5}
    assert found.ratios[6] == 1
    assert found.shares == {"ask": (100, 60)}
    assert found.runs[0].tokens_before == 110
    assert found.saved_micro_usd == round(40 * 600 / 70)
    assert found.overhead_tokens == 10


def test_a_spread_of_nothing_is_nothing() -> None:
    assert spread([]) == (0, 0, 0, 0, 0, 0)
    assert spread([3, 1, 2])[:3] == (3, 2, 2)


# --- alerts ---


def raised(runs, now=NOON, settings=SETTINGS, **said) -> dict[str, alerts.RuleState]:
    return {state.rule: state for state in evaluate(settings, runs, now, **said) if state.raised}


def many(count: int, bad: int, at: float = NOON, **said) -> list[RunFigures]:
    good = {
        "status": "completed",
        "allocated": 100,
        "used": 100,
        "confidence": 1.0,
        "quality": 1.0,
        "seconds": 0.1,
    }
    good["handler_seconds"] = 0.1
    return [run(at - count + n, step(**(good | said if n < bad else good))) for n in range(count)]


@pytest.mark.parametrize(
    ("rule", "said", "bad"),
    [
        ("handler_failures", {"status": "failed"}, 6),
        ("overage", {"used": 120}, 11),
        ("overhead", {"seconds": 1.0}, 10),
        ("classification", {"confidence": 0.2}, 6),
        ("orchestration_down", {"code": "store_failed"}, 51),
        ("quality", {"quality": 0.1}, 40),
    ],
)
def test_each_rule_is_raised_beyond_its_threshold_only(rule, said, bad) -> None:
    assert rule in raised(many(100, bad, **said))
    assert rule not in raised(many(100, 0))
    assert rule not in raised(many(19, 19, **said)), "too few samples"
    assert rule not in raised(many(100, 100, NOON - 4000, **said)), "the window is over"


def test_an_alert_ends_only_where_its_figure_is_well_within_the_threshold() -> None:
    """5 % raise it; between 4 and 5 % it stays as it is; below 4 % it ends."""
    bad = many(100, 6, NOON, status="failed")
    hovering = [*bad, *many(30, 0, NOON + 100)]  # 6 of 130: 4.6 %
    state = raised(hovering, NOON + 100)["handler_failures"]
    assert state.since is not None
    assert state.since < NOON
    assert "handler_failures" not in raised([*bad, *many(80, 0, NOON + 100)], NOON + 100)
    fresh = [*many(124, 0, NOON - 10), *many(6, 6, NOON, status="failed")]
    assert "handler_failures" not in raised(fresh, NOON), "4.6 % raise nothing that was not raised"


def test_ratings_come_before_what_survived_compression() -> None:
    ratings = [Rated(NOON - n, 2) for n in range(30)][::-1]
    assert raised(many(100, 0), ratings=ratings)["quality"].figure == 2
    assert "quality" not in raised(many(100, 100, quality=0.1), ratings=[Rated(one.at, 5) for one in ratings])
    assert "quality" in raised(many(100, 100, quality=0.1), ratings=ratings[:5]), "too few ratings"


def limit(spent: int, per: str = "day", **said) -> LimitState:
    base = LimitState(1, "agent:mailer", per, 1000, None, 0.0, "ann", "2026-11-21", spent, 0, 0, 0)
    return base._replace(**said)


@pytest.mark.parametrize(
    ("state", "burns"),
    [
        (limit(400), False),
        (limit(999), False),
        (limit(1000), True),
        (limit(0, limit_tokens=None, limit_micro=100, spent_micro=100), True),
        (limit(0, limit_tokens=None), False),
    ],
)
def test_a_budget_at_noon_burns_where_it_is_spent_twice_too_fast_or_gone(state, burns) -> None:
    assert ("burn_rate" in raised([], NOON, limits=[state])) is burns


def test_a_budget_burns_early_in_the_day_already() -> None:
    morning = NOON - 10 * 3600  # 02:00
    assert "burn_rate" in raised([], morning, limits=[limit(200)])
    assert "burn_rate" not in raised([], morning, limits=[limit(100)])
    assert elapsed_share("month", NOON) == pytest.approx(20.5 / 30)


async def test_the_same_call_again_and_again_is_a_loop() -> None:
    class Loop(IntentHandler):
        """Asks the same, again and again."""

        spec = IntentSpec(name="loop", summary="Loop", examples=("Loop",))

        async def handle(self, request):
            for number in range(request.input):
                ask = ModelRequest(
                    messages=(Message(content="the same"),), max_output_tokens=20, temperature=number / 9
                )
                await request.model.complete(ask)
            return StepResult(output=None)

    found = {}
    async with engine(Loop()) as service:
        for times in (4, 6):
            flow = {"name": "x", "steps": [{"id": "a", "intent": "loop", "prompt": "x", "input": times}]}
            result = await service.run(Workflow.model_validate(flow))
            found[times] = result.run_id
        states = alerts.raised(await alerting.rules(service._engine))
        assert [(state.rule, state.subject) for state in states] == [("loop", f"{found[6]}/a")]
        assert "6 times" in states[0].text


FAILING = many(100, 6, status="failed")
RECOVERING = [*FAILING, *many(30, 0, NOON + 100)]
KEYS = [
    ("alerts.window_seconds", 1.0, FAILING),
    ("alerts.least", 1000, FAILING),
    ("alerts.failure_share", 0.5, FAILING),
    ("alerts.overage_share", 0.9, many(100, 50, used=120)),
    ("alerts.quality_minimum", 5.0, many(100, 100, quality=0.9)),
    ("alerts.overhead_ms", 5000.0, many(100, 50, seconds=1.0)),
    ("alerts.classification_share", 0.9, many(100, 50, confidence=0.2)),
    ("alerts.down_share", 0.01, many(100, 9, code="store_failed")),
    ("alerts.burn_rate", 1.5, []),
    ("alerts.loop_repeats", 2, [run(NOON, step(repeats=3))]),
    ("alerts.silence", {"overage": NOON + 600}, []),
    ("alerts.clear_factor", 1.0, RECOVERING),
    ("classification.threshold", 0.9, many(100, 50, confidence=0.8)),
]


@pytest.mark.parametrize(("key", "value", "runs"), KEYS, ids=[key for key, *_ in KEYS])
def test_changing_a_key_of_alerts_changes_what_is_raised(key, value, runs) -> None:
    section, name = key.split(".")
    changed = Settings.load({section: {name: value}}, env={}, file=None)
    seen = [evaluate(chosen, runs, NOON + 100, limits=[limit(900)]) for chosen in (SETTINGS, changed)]
    facts = [
        {(state.rule, state.subject, state.raised, state.silent_until) for state in states} for states in seen
    ]
    assert facts[0] != facts[1]


def test_every_live_key_of_alerts_is_tried() -> None:
    live = {each.name for each in all_keys() if each.live and each.group == "alerts"}
    assert live == {key for key, *_ in KEYS if key.startswith("alerts.")} - {"alerts.silence"} | {
        "alerts.silence.{rule}"
    }


# --- delivery ---


class Box(Connector):
    """Takes what it is given."""

    name = "box"

    def __init__(self) -> None:
        super().__init__()
        self.given: list[object] = []

    @connector_operation(side_effects=True)
    async def put(self, parameters: Options, call: ConnectorCall):
        """Put it there."""
        self.given.append(call.input)
        return {"put": call.input}


class Hand(IntentHandler):
    """Hands its input on."""

    spec = IntentSpec(name="hand", summary="Hand on", examples=("Send it",), side_effects=True)

    def needs_model(self, step) -> bool:
        return False

    async def handle(self, request):
        return StepResult(output=await request.use_connector(request.input))


async def test_an_alert_is_delivered_once_and_not_while_it_is_silent() -> None:
    from intendant.plugin import Classification, Classifier

    class Always(Classifier):
        """Knows one intent."""

        name = "always"

        def classify(self, request):
            return Classification(intent="hand", confidence=1.0)

    ask, box = Ask(), Box()
    ask.failing = True
    settings = {"alerts": {"least": 2, "uses": "box.put", "overhead_ms": 60_000}}
    async with engine(ask, Hand(), box, Always(), ScriptedProvider("yes"), settings=settings) as service:
        made = service._engine
        await service.run(FLOW)
        await service.steering.change({"alerts.silence.handler_failures": 9e12}, by="eva")
        states = await alerting.rules(made)
        assert [one.outcome for one in await alerting.deliver(made, states)] == ["silent"]
        await service.steering.change({"alerts.silence.handler_failures": 0.0}, by="eva")
        states = await alerting.rules(made)
        assert [one.outcome for one in await alerting.deliver(made, states)] == ["delivered"]
        assert [one.outcome for one in await alerting.deliver(made, states)] == ["before"]
        assert len(box.given) == 1
        assert "handler_failures: 50.0% of the steps fail" in str(box.given[0])
        assert (await alerting.rules(made))[0].samples == 2, "its own run is no part of the figures"


# --- what is shown ---

HOSTILE = "<script>alert(1)</script>\"'&"


def test_the_page_escapes_what_comes_from_outside_and_fetches_nothing() -> None:
    hostile = run(
        NOON, StepFigures(HOSTILE, intent=HOSTILE, tier=HOSTILE, begun=1.0, seconds=1.0, allocated=1, used=1)
    )
    hostile.workflow = hostile.agent = hostile.run_id = hostile.status = HOSTILE
    for runs in ([hostile], [hostile, run(NOON + 90_000, step(before=9, after=3))], []):
        state = alerts.RuleState("loop", HOSTILE, True, 1.0, 1, 1, 1, HOSTILE)
        text = page(Report(HOSTILE, HOSTILE, runs, [state], [4], NOON))
        assert "<script" not in text
        for fetching in ('http-equiv="refresh', "src=", "href=", "url(", "@import", "<link", "<iframe"):
            assert fetching not in text.lower()
        for svg in re.findall(r"<svg.*?</svg>", text):
            assert ET.fromstring(svg).tag.endswith("svg")
        assert "default-src 'none'" in text
        assert "prefers-color-scheme:dark" in text


def test_names_of_metrics_cannot_break_the_text_of_prometheus() -> None:
    hostile = run(NOON, step(intent='a"b\\c\nd 1'))
    lines = exposition([hostile], [limit(5)], evaluate(SETTINGS, [hostile], NOON)).splitlines()
    assert 'intendant_steps_total{intent="a\\"b\\\\c\\nd 1"} 1' in lines
    assert 'intendant_budget_limit_tokens{scope="agent:mailer",per="day"} 1000' in lines
    assert all(line.startswith(("#", "intendant_")) for line in lines)


def test_rules_are_the_ones_that_can_be_silenced() -> None:
    names = {state.rule for state in evaluate(SETTINGS, [run(NOON, step(repeats=9))], NOON, limits=[limit(1)])}
    assert names == set(NAMES)


async def test_a_run_that_waits_has_not_ended_and_has_no_figures_yet() -> None:
    steps = [
        {"id": "a", "intent": "ask", "prompt": "a"},
        {"id": "b", "intent": "ask", "prompt": "b", "needs": ["a"]},
    ]
    steps[1]["approve"] = {"ask": "Go on?"}
    flow = Workflow.model_validate({"name": "asks", "budget": {"tokens": 5000}, "steps": steps})
    async with engine(Ask()) as service:
        run = (await service.run(flow)).run_id
        assert await service._engine.store.do(run_figures.missing("default")) == [], "none are made when asked for"
        assert await alerting.figures(service._engine, Scope()) == []
        assert await service.operations.newest_figures() == []
        await service.operations.decide(run, "b", "approved", by="ada")
        await service.resume(run)
        assert [one.status for one in await alerting.figures(service._engine, Scope())] == ["completed"]


@pytest.mark.parametrize(
    ("micro", "said", "reported"),
    [
        (0, "-", "$0"),
        (32, "$0.000032", "$0.000032"),
        (1_000, "$0.0010", "$0.0010"),
        (999, "$0.000999", "$0.000999"),
        (250_000, "$0.2500", "$0.2500"),
        (1_234_567, "$1.2346", "$1.23"),
    ],
)
def test_small_amounts_are_not_rounded_to_nothing(micro: int, said: str, reported: str) -> None:
    assert (money(micro), usd(micro)) == (said, reported)


# --- how long handlers take ---


class Decide(IntentHandler):
    """Takes the branch that it is given."""

    spec = IntentSpec(name="decide", summary="Decide", examples=("Decide",))

    async def handle(self, request):
        await asyncio.sleep(0.01)
        return StepResult(output={"branch": request.input})


async def test_a_step_that_ends_with_its_handler_says_what_that_took_in_its_own_event() -> None:
    flow = Workflow.model_validate(
        {
            "name": "x",
            "steps": [
                {"id": "plain", "intent": "decide", "input": "left"},
                {
                    "id": "branched",
                    "intent": "decide",
                    "input": "left",
                    "branches": {"left": {"steps": [{"id": "inner", "intent": "decide", "input": "x"}]}},
                },
            ],
        }
    )
    async with engine(Decide()) as service:
        done = await service.run(flow)
        told = await service.events(done.run_id)
    assert done.status == "completed"
    alone = {event.step_id: event for event in told if isinstance(event, events.HandlerExecuted)}
    ended = {event.step_id: event for event in told if isinstance(event, events.StepExecuted)}
    assert list(alone) == ["branched"], "the branch goes on after the handler of this step only"
    assert ended["branched"].handler_seconds is None
    assert 0.01 <= alone["branched"].seconds <= ended["branched"].seconds
    for step_id in ("plain", "branched/left/inner"):
        assert 0.01 <= ended[step_id].handler_seconds <= ended[step_id].seconds
    took = {found.step: found.handler_seconds for found in figures_of(told).steps}
    assert took["branched"] == alone["branched"].seconds
    assert took["plain"] == ended["plain"].handler_seconds


def test_journals_of_before_give_the_same_figures() -> None:
    said = {"run_id": "r", "step_id": "a", "intent": "ask"}
    ended = {**said, "seconds": 0.5, "attempts": 1}
    before = [
        events.HandlerExecuted(**said, seconds=0.4, attempt=1),
        events.StepExecuted(**ended),
    ]
    now = [events.StepExecuted(**ended, handler_seconds=0.4)]
    assert figures_of(before).steps == figures_of(now).steps

"""Agents: their figures follow their runs, tip what is decided, and are explained; their files say what they may
do.
"""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intendant import IntendantError, SettingsError, Workflow, WorkflowError
from intendant.cli.app import app_for
from intendant.config.agent_files import AgentDefinition, Allowance, file_of, trusted_definition
from intendant.config.trusted_files import TrustedFiles
from intendant.model.requests import BudgetLine, CompressionPolicy
from intendant.model.workflow import Limits
from intendant.pilot.agent_rating import computed, observation
from intendant.planning.allowance import outside
from intendant.planning.decided import Plan
from intendant.planning.intensity import WINDOW
from intendant.planning.prior import Prior
from intendant.planning.run_facts import ObservationFold
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, ProviderError, StepResult, Tier
from intendant.record.journal import read_events
from intendant.record.rows import RunRow
from intendant.record.store import Store, profiles, runs
from intendant.testing import ScriptedProvider, engine


class Ask(IntentHandler):
    """Asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",), tokens=500, reasoning=3, output_complexity=4)

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).text)


class Note(IntentHandler):
    """Asks nobody."""

    spec = IntentSpec(name="note", summary="Note", examples=("Note",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        if request.input == "fail":
            raise IntendantError("it fails")
        return StepResult(output=request.input)


class Cheap(Tier):
    """For difficulties up to 2.5."""

    name, rank = "fast", 10

    def route(self, request):
        return None if request.difficulty > 2.5 and not request.last_resort else super().route(request)


class Strong(Tier):
    """For all others."""

    name, rank = "powerful", 30


def flow(agent: str = "clerk", **step) -> Workflow:
    steps = [
        {"id": "a", "intent": "ask", "prompt": "Say hi", **step},
        {"id": "b", "intent": "note", "input": "{{ steps.a.output }}"},
    ]
    return Workflow.model_validate({"name": "w", "agent": agent, "steps": steps})


def service(db: str, *answers, **settings):
    made = (Ask(), Note(), Cheap(), Strong(), ScriptedProvider(*(answers or ("hi",))))
    return engine(*made, db=db, settings=settings)


async def kept(url: str, name: str = "clerk"):
    """The agent's row, and its observations by run."""
    store = Store(url)
    try:
        row = await store.do(profiles.find("default", name))
        observed = [] if row is None else await store.do(profiles.observations_of(row.id, WINDOW))
        return row, dict(observed)
    finally:
        store.close()


# --- figures ---


async def test_a_run_is_counted_when_it_ends_and_its_figures_are_those_of_its_record(url) -> None:
    async with service(url) as made:
        ids = [(await made.run(flow())).run_id for _ in range(3)]
    row, observed = await kept(url)
    assert (row.runs, sorted(observed)) == (3, sorted(ids))
    assert json.loads(row.scores)["runs"] == 3
    assert observation(observed[ids[0]]).calls == 1


async def test_the_figures_are_the_same_after_replay_from_the_journal(url) -> None:
    """Every observation is made again from the plan and the events in the database, the scores from those."""
    answers = [
        "hi",
        ProviderError("busy", retryable=True, billed=False),
        "hello",
        "a longer answer than before",
        "x",
    ]
    async with service(url, *answers) as made:
        await made.run(flow())
        await made.run(flow(retry={"attempts": 2}))
        failing = flow()
        steps = [failing.steps[0], failing.steps[1].model_copy(update={"input": "fail"})]
        failed = await made.run(failing.model_copy(update={"steps": tuple(steps)}))
        settings = made.settings.agents
    assert failed.status == "failed"
    row, observed = await kept(url)
    store, again = Store(url), {}
    for run_id in observed:
        plan = Plan.model_validate_json((await store.do(runs.find_run(run_id))).plan)
        again[run_id] = ObservationFold(plan, await read_events(store, run_id)).result()
    store.close()
    assert again == {run_id: observation(data) for run_id, data in observed.items()}
    rows = [json.dumps(again[run_id]._asdict()) for run_id in sorted(again, reverse=True)]
    figures = computed(rows, len(rows), settings)
    assert {name: getattr(figures, name) for name in ("creation", "execution", "combined")} == {
        name: json.loads(row.scores)[name] for name in ("creation", "execution", "combined")
    }
    assert figures.components[1].factors[2].value > 0, "one of them failed"


async def test_a_run_that_goes_on_after_its_end_counts_once_as_it_ended_last(url) -> None:
    answers = [ProviderError("no", billed=False), "hi"]
    async with service(url, *answers) as made:
        first = await made.run(flow())
        row, observed = await kept(url)
        assert (first.status, row.runs) == ("failed", 1)
        assert not observation(observed[first.run_id]).succeeded
        assert (await made.resume(first.run_id)).status == "completed"
    row, observed = await kept(url)
    assert row.runs == 1
    assert observation(observed[first.run_id]).succeeded


async def test_runs_that_end_at_the_same_time_are_all_counted(url) -> None:
    """Two processes' stores on one database, twenty runs each at once."""
    async with service(url) as one, service(url) as two:
        await one.run(flow())
        await asyncio.gather(*(each.run(flow()) for each in (one, two) for _ in range(20)))
        settings = one.settings.agents
    row, observed = await kept(url)
    assert (row.runs, len(observed)) == (41, 41)
    store = Store(url)
    began = {row.id: row.created_at for row in await store.do(runs.list_runs(100))}
    store.close()
    rows = [observed[run_id] for run_id in sorted(observed, key=lambda run: (began[run], run), reverse=True)]
    assert json.loads(row.scores)["combined"] == computed(rows, 41, settings).combined


async def test_runs_count_by_when_they_began_whatever_their_ids_are(url) -> None:
    async with service(url) as made:
        keys = [None, "b", None, "a"]
        started = [(await made.run(flow(), key=key)).run_id for key in keys]
    store = Store(url)
    row = await store.do(profiles.find("default", "clerk"))
    found = await store.do(profiles.observations_of(row.id, 10))
    store.close()
    assert [run_id for run_id, _ in found] == started[::-1]


async def test_what_says_nothing_of_an_agent_is_not_counted(url) -> None:
    waiting = Workflow.model_validate(
        {"name": "w", "agent": "clerk", "steps": [{"id": "a", "approve": {"ask": "ok?"}}]}
    )
    async with service(url) as made:
        await made.run(flow(), dry=True)
        await made.run(flow("default"))
        assert (await made.run(waiting)).status == "waiting"
        assert (await made.cancel("last")).status == "cancelled"
    assert await kept(url) == (None, {})
    assert (await kept(url, "default"))[0] is None


async def test_a_run_does_not_end_without_its_figures(url) -> None:
    """The end of the run and the figures are one transaction: where the figures fail, the run has not ended."""
    store = Store(url)
    fence = await store.do(runs.open_run(RunRow("r_1", "w", "clerk", "{}", 1, "{}", "running", 1.0)))

    def broken(_rows, _count):
        raise ValueError("no figures")

    with pytest.raises(ValueError, match="no figures"):
        await store.do(profiles.finish_run(fence, "completed", "default", "clerk", "{}", broken, 5), fence)
    assert (await store.do(runs.find_run("r_1"))).status == "running"
    assert await store.do(profiles.find("default", "clerk")) is None
    store.close()


async def test_tenants_do_not_see_each_others_agents(url) -> None:
    async with service(url, budget={"tenant": "other"}) as made:
        await made.run(flow())
    assert (await kept(url))[0] is None


# --- a prior ---


async def rated(url: str, *definition: AgentDefinition, runs_before: int = 5) -> None:
    async with service(url) as made:
        for _ in range(runs_before):
            await made.run(flow())
    if definition:
        store = Store(url)
        await store.do(profiles.define("default", "clerk", definition[0].model_dump_json(exclude_defaults=True)))
        store.close()


async def planned(url: str, workflow: Workflow | None = None, **settings) -> Plan:
    async with service(url, **settings) as made:
        return await made.plan(workflow or flow())


async def test_below_five_runs_everything_is_as_without_agents(url) -> None:
    await rated(url, runs_before=4)
    plan = await planned(url)
    assert plan.prior is None
    assert plan.steps[0].model_dump() == (await planned(url, flow("other"))).steps[0].model_dump()


async def test_the_prior_moves_the_difficulty_and_the_run_records_it(url) -> None:
    await rated(url, AgentDefinition(intensity=8.0))
    plan = await planned(url)
    assert plan.steps[0].difficulty <= 2.5, "by itself it is one for the cheap tier"
    assert plan.steps[0].route.tier == "powerful"
    assert "intensity 8.0" in plan.steps[0].route.reason
    async with service(url) as made:
        result = await made.run(flow())
    store = Store(url)
    found = [event for event in await read_events(store, result.run_id) if event.type == "intensity_applied"]
    routed = [event for event in await read_events(store, result.run_id) if event.type == "routed"]
    store.close()
    assert [(event.score, event.runs, event.preset) for event in found] == [(8.0, 0, "minimal")]
    assert routed[0].tier == "powerful"
    assert "1 point harder" in routed[0].reason


async def test_what_was_measured_is_the_prior_after_five_runs(url) -> None:
    await rated(url)
    plan = await planned(url)
    row, _ = await kept(url)
    assert plan.prior == Prior(score=json.loads(row.scores)["combined"], runs=5, source="of 5 runs")
    assert plan.prior.preset == "aggressive"


async def test_what_the_step_says_wins_and_the_flag_switches_it_off(url) -> None:
    await rated(url, AgentDefinition(intensity=9.0))
    assert (await planned(url, flow(tier="fast"))).steps[0].route.tier == "fast"
    named = (await planned(url, flow(model="scripted/scripted-1"))).steps[0].route
    assert named.pinned
    assert (await planned(url, flags={"agent_prior_enabled": False})).steps[0].route.tier == "fast"
    await rated(url, AgentDefinition(intensity=False), runs_before=0)
    assert (await planned(url)).prior is None


@pytest.mark.parametrize(
    ("score", "preset", "shift", "target", "floor"),
    [
        (0.0, "aggressive", -1.0, 0.7, 0.8),
        (4.999, "aggressive", -1.0, 0.7, 0.8),
        (5.0, "balanced", 0.0, 1.0, 0.8),
        (6.2, "balanced", 0.0, 1.0, 0.8),
        (7.5, "balanced", 0.0, 1.0, 0.8),
        (7.501, "minimal", 1.0, 1.0, 0.95),
        (10.0, "minimal", 1.0, 1.0, 0.95),
    ],
)
def test_presets_at_their_edges(score, preset, shift, target, floor) -> None:
    prior = Prior(score=score)
    policy = prior.policy(CompressionPolicy())
    assert (prior.preset, prior.difficulty(5.0) - 5.0) == (preset, shift)
    assert (policy.target, policy.floor) == (target, floor)
    assert 0 <= prior.difficulty(0.0) <= 1
    assert 9 <= prior.difficulty(10.0) <= 10


def test_no_preset_lowers_a_floor_or_compresses_what_is_never_compressed() -> None:
    strict = CompressionPolicy(floor=0.99, target=0.5)
    assert Prior(score=1).policy(strict) == Prior(score=9).policy(strict) == strict
    never = CompressionPolicy(strategy="none")
    assert Prior(score=1).policy(never) == never


async def test_a_policy_that_the_operator_has_set_is_kept(url) -> None:
    await rated(url, AgentDefinition(intensity=1.0))
    assert (await planned(url)).steps[0].compression.target == 0.7
    own = {"policies": {"ask": {"target": 0.9}}}
    assert (await planned(url, compression=own)).steps[0].compression.target == 0.9


def test_hard_steps_weigh_more_within_what_the_run_has() -> None:
    """Baseline 1000, score 8: difficulty 10 makes 1000 * (1 + .5 * .8 * 1) = 1400, 5 makes 1200, 0 leaves 1000."""
    lines = [BudgetLine(step_id=name, intent="ask", baseline=1000) for name in "abc"]
    made = Prior(score=8).lines(lines, {"a": 10.0, "b": 5.0, "c": 0.0})
    assert [line.baseline for line in made] == [1400, 1200, 1000]
    assert [line.cap for line in made] == [line.cap for line in lines]


# --- files of agents ---


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("INTENDANT_CONFIG", raising=False)
    (tmp_path / "work/agents").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def define(folder: Path, said: str, *, trusted: bool = True) -> Path:
    file = folder / "agents/clerk.toml"
    file.write_text(said)
    if trusted:
        TrustedFiles().add(file, file.read_bytes())
    return file


def test_a_run_outside_its_allowance_is_refused_with_place_and_reason(folder) -> None:
    define(folder, 'tools = ["file.read"]\n[limits]\ntokens = 5000\n')
    (folder / "flow.yaml").write_text(
        "name: w\nagent: clerk\nbudget: {tokens: 6000}\nsteps:\n  - {id: a, intent: note, uses: web.read}\n"
        "  - id: b\n    intent: ask\n    prompt: x\n    tools:\n      - mail.send\n"
    )
    allowance = Allowance(said=(("file", trusted_definition(folder / "agents/clerk.toml")),), file="clerk.toml")
    problems = outside(Workflow.load("flow.yaml"), allowance)
    told = {(problem.line, problem.message) for problem in problems}
    assert told == {
        (3, "the agent 'clerk' may get at most 5,000 tokens a run, and this asks for 6,000"),
        (5, "the agent 'clerk' may not use web.read"),
        (10, "the agent 'clerk' may not use mail.send"),
    }


async def test_it_is_refused_before_anything_of_it_is_planned_or_written(folder) -> None:
    define(folder, "[limits]\ntokens = 5000\n")
    asking = flow().model_copy(update={"budget": Limits(tokens=6000)})
    provider = ScriptedProvider("hi")
    async with engine(Ask(), Note(), provider) as made:
        with pytest.raises(WorkflowError, match="at most 5,000 tokens"):
            await made.run(asking)
        with pytest.raises(WorkflowError, match="at most 5,000 tokens"):
            await made.plan(asking)
    assert provider.calls == []


async def test_a_fork_is_a_run_that_its_agent_has_to_be_allowed(folder) -> None:
    async with engine(Ask(), Note(), ScriptedProvider("hi"), db="sqlite:///x.db") as made:
        await made.run(flow())
    define(folder, "[limits]\ntokens = 5000\n")
    async with engine(Ask(), Note(), ScriptedProvider("hi"), db="sqlite:///x.db") as made:
        with pytest.raises(IntendantError, match="at most 5,000 tokens"):
            await made.fork("last", "a", limits=Limits(tokens=6000))
        seen = []
        assert (await made.fork("last", "a", on_event=seen.append)).status == "completed"
        assert next(event.budget_tokens for event in seen if event.type == "initialized") == 5000


async def test_budget_and_limits_hold_where_the_workflow_says_none(folder) -> None:
    define(folder, "[budget]\ntokens = 3000\n[limits]\nusd = 0.2\n")
    plan = await planned("none")
    assert (plan.budget_tokens, plan.budget_micro_usd) == (3000, 200_000)
    assert plan.workflow.budget == Limits(), "the workflow is as it was"
    define(folder, "[limits]\ntokens = 700\n")
    assert (await planned("none")).budget_tokens == 700
    asking = flow().model_copy(update={"budget": Limits(tokens=600)})
    assert (await planned("none", asking)).budget_tokens == 600


async def test_limits_of_file_and_database_hold_both(folder) -> None:
    define(folder, 'tools = ["file.read", "http.get"]\n[limits]\ntokens = 900\n')
    url = f"sqlite:///{folder}/x.db"
    await rated(url, AgentDefinition(limits=Limits(tokens=800), tools=("http.*",)), runs_before=1)
    assert (await planned(url)).budget_tokens == 800


async def test_a_run_cannot_be_resumed_with_more_than_its_agent_may_get(folder) -> None:
    define(folder, "[limits]\ntokens = 5000\n")
    async with service("none", ProviderError("no", billed=False), "hi") as made:
        await made.run(flow())
        with pytest.raises(IntendantError, match="at most 5,000 tokens"):
            await made.resume("last", limits=Limits(tokens=6000))
        assert (await made.resume("last", limits=Limits(tokens=4000))).status == "completed"


async def test_an_agents_file_needs_trust_and_again_after_each_change(folder) -> None:
    file = define(folder, "[limits]\ntokens = 5000\n", trusted=False)
    with pytest.raises(SettingsError, match="not trusted") as caught:
        await planned("none")
    assert f"intendant trust {file.relative_to(folder)}" in caught.value.hint
    run = CliRunner().invoke(app_for(["trust"]), ["trust", "agents/clerk.toml"])
    assert run.exit_code == 0, run.output
    assert "it sets limits" in run.stdout
    assert (await planned("none")).budget_tokens == 5000
    file.write_text("[limits]\ntokens = 9000000\n")
    with pytest.raises(SettingsError, match="not trusted"):
        await planned("none")
    assert CliRunner().invoke(app_for(["trust"]), ["trust"]).exit_code == 0, "the folder's files all"
    assert (await planned("none")).budget_tokens == 20_000


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("limit = 3", "limit"),
        ('tools = ["rm -rf"]', "is no operation"),
        ("intensity = 11", "a score from 0 to 10"),
        ("[budget]\ntokens = -1", "budget.tokens"),
        ("x = [", "is not TOML"),
    ],
)
async def test_a_wrong_file_is_an_error_that_says_what(folder, said, what) -> None:
    define(folder, said)
    with pytest.raises(SettingsError, match="clerk.toml") as caught:
        await planned("none")
    assert what in caught.value.message


@pytest.mark.parametrize("name", ["../clerk", "a/b", "clerk.toml", "", ".", "a" * 101])
def test_names_that_could_lead_elsewhere_have_no_file(folder, name) -> None:
    define(folder, "")
    (folder.parent / "clerk.toml").write_text("")
    assert file_of("", name) is None


# --- the command ---


def command(*arguments: str, code: int = 0) -> str:
    run = CliRunner().invoke(app_for(["agents"]), ["agents", *arguments])
    assert run.exit_code == code, run.output
    return run.stdout + run.stderr


async def test_list_and_show_explain_the_scores(folder) -> None:
    url = f"sqlite:///{folder}/x.db"
    assert "no agents yet" in await asyncio.to_thread(command, "list", "--db", url)
    await rated(url)
    listed = json.loads(await asyncio.to_thread(command, "list", "--json", "--db", url))
    shown = json.loads(await asyncio.to_thread(command, "show", "clerk", "--json", "--db", url))
    assert listed[0]["name"] == "clerk"
    assert listed[0]["scores"]["combined"] == shown["combined"]
    parts = [component["part"] for component in shown["components"]]
    assert sum(parts) == pytest.approx(shown["execution"])
    assert len(shown["newest_runs"]) == shown["runs"] == 5
    text_ = await asyncio.to_thread(command, "show", "clerk", "--db", url)
    for word in ("intensity", "tokens", "volume", "handler effectiveness: 100.0%", "no data", "0.3 x creation"):
        assert word in text_
    assert "nothing is known" in await asyncio.to_thread(command, "show", "nobody", "--db", url, code=2)


async def test_define_says_it_in_the_database_and_takes_it_back(folder) -> None:
    url = f"sqlite:///{folder}/x.db"
    (folder / "clerk.toml").write_text("[limits]\ntokens = 400\n")
    await asyncio.to_thread(command, "define", "clerk", "clerk.toml", "--db", url)
    assert (await planned(url)).budget_tokens == 400
    assert '"tokens": 400' in await asyncio.to_thread(command, "show", "clerk", "--db", url)
    await asyncio.to_thread(command, "define", "clerk", "--db", url)
    assert (await planned(url)).budget_tokens == 20_000
    assert "no name of an agent" in await asyncio.to_thread(command, "define", "default", "--db", url, code=2)

"""Plans warn of what cannot succeed: secrets that are not set, budgets that no call fits into, what settings forbid."""

import pytest

from intendant import OrchestrationService, Settings, Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult, TokenCounting
from intendant.testing import ScriptedProvider, engine

ASKS = {"id": "s", "intent": "tell", "prompt": "Tell me all about the rain in Spain"}


class Teller(IntentHandler):
    """Asks what the prompt says."""

    spec = IntentSpec(name="tell", summary="Tell something", examples=("Tell me a joke",))
    instructions = "You tell things as they are, and nothing that is not so."

    async def handle(self, request):
        asked = Message(content=request.prompt)
        reply = await request.model.complete(ModelRequest(system=self.instructions, messages=(asked,)))
        return StepResult(output=reply.text)


LONG = "x" * 90


class Uncounted(ScriptedProvider):
    """A server whose tokens nobody counts: texts are held with their bytes."""

    def token_counting(self, model):
        return TokenCounting()


async def warnings_of(steps, settings=None, *, secrets=None, **more):
    """What the plan of these steps warns of, by step."""
    flow = Workflow.model_validate({"name": "t", "steps": steps, **more})
    async with OrchestrationService(
        Settings.model_validate(settings or {}), db="none", secrets=(secrets or {}).get
    ) as service:
        plan = await service.plan(flow)
        return {step.step_id: " | ".join(step.warnings) for step in plan.steps}


# --- secrets ---


@pytest.mark.parametrize("where", ["step", "tool", "item", "branch", "finally"])
async def test_a_secret_that_is_not_set_is_named_wherever_it_stands(where, monkeypatch):
    monkeypatch.delenv("INTENDANT_SECRET_NO_SUCH", raising=False)
    given = {"url": "https://x.example/", "headers": {"X-Key": "{{ secrets.NO_SUCH }}"}}
    get = {"id": "g", "uses": "http.get", "with": given}
    steps, more, key = {
        "step": ([get], {}, "g"),
        "tool": (
            [{"id": "g", "intent": "generate", "prompt": "x", "tools": [{"uses": "http.get", "with": given}]}],
            {},
            "g",
        ),
        "item": ([{"id": "all", "for_each": [1], "steps": [get]}], {}, "all/g"),
        "branch": (
            [
                {
                    "id": "b",
                    "intent": "conditional",
                    "input": 1,
                    "with": {"if": "true", "then": "yes", "else": "no"},
                    "branches": {"yes": {"steps": [get]}},
                }
            ],
            {},
            "b/yes/g",
        ),
        "finally": (
            [{"id": "a", "intent": "transform", "input": [], "with": {"op": "limit", "count": 1}}],
            {"finally": [get]},
            "g",
        ),
    }[where]
    found = (await warnings_of(steps, **more))[key]
    assert "the secret NO_SUCH is not set" in found
    assert "INTENDANT_SECRET_NO_SUCH" in found
    settled = await warnings_of(steps, secrets={"NO_SUCH": "a-value-of-it"}, **more)
    assert "secret" not in settled[key]
    assert "a-value-of-it" not in str(settled)


async def test_a_source_that_cannot_be_read_is_a_warning_too(tmp_path):
    step = {
        "id": "g",
        "uses": "http.get",
        "with": {"url": "https://x.example/", "headers": {"A": "{{ secrets.A_KEY }}"}},
    }
    found = await warnings_of([step], {"secrets": {"file": str(tmp_path / "none.env")}})
    assert "is not there" in found["g"]


# --- budgets ---


@pytest.mark.parametrize(
    ("step", "more", "said"),
    [
        ({"budget": {"tokens": 5}}, {}, "its `budget` admits 5 tokens"),
        ({}, {"budget": {"tokens": 12}}, "the run admits 12 tokens"),
        ({"budget": {"tokens": 90}}, {}, "its `budget` admits 90 tokens: it may be refused"),
        ({"budget": {"usd": 0.000001}}, {}, "its `budget` admits $0.000001: it will be refused"),
        ({}, {"budget": {"usd": 0.000002}}, "the run admits $0.000002: it will be refused"),
    ],
)
async def test_a_budget_that_no_call_fits_into_is_told_and_is_refused(step, more, said):
    """What the plan says is what the run does."""
    flow = Workflow.model_validate({"name": "t", "steps": [{**ASKS, **step}], **more})
    async with engine(Teller(), Uncounted("ok")) as service:
        plan = await service.plan(flow)
        assert said in " ".join(plan.steps[0].warnings)
        assert (await service.run(flow)).status == "refused"


async def test_the_budget_of_what_is_around_a_step_counts():
    flow = {"name": "t", "steps": [{"id": "g", "budget": {"tokens": 9}, "steps": [ASKS]}]}
    async with engine(Teller(), Uncounted("ok")) as service:
        plan = await service.plan(Workflow.model_validate(flow))
    assert "the `budget` of 'g' admits 9 tokens" in " ".join(plan.by_id["g/s"].warnings)


@pytest.mark.parametrize(
    "step",
    [
        {"budget": {"tokens": 1000}},
        {"budget": {"tokens": 120}, "prompt": f"{{{{ inputs.{LONG} }}}}"},  # its name is not what is sent
    ],
)
async def test_a_budget_that_a_call_fits_into_is_not_doubted_and_does(step):
    flow = Workflow.model_validate({"name": "t", "inputs": {LONG: {"default": "hi"}}, "steps": [{**ASKS, **step}]})
    async with engine(Teller(), Uncounted("ok")) as service:
        plan = await service.plan(flow)
        assert "refused" not in " ".join(plan.steps[0].warnings)
        assert (await service.run(flow)).status == "completed"


# --- what connectors do not admit ---


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {"uses": "sql.execute", "with": {"url": "sqlite:///x.db", "sql": "delete from a"}},
            "connector:sql.writes=true",
        ),
        (
            {"uses": "sql.query", "with": {"url": "sqlite:///x.db", "sql": "delete from a"}},
            "sql.query reads, and the statement begins with",
        ),
        ({"uses": "sql.query", "with": {"url": "x.db", "sql": "select 1"}}, "`url` is no URL of a database"),
        ({"uses": "mcp.call", "with": {"server": "tickets", "tool": "find"}}, "no MCP server 'tickets'"),
        ({"uses": "mcp.call", "with": {"tool": "find"}}, "`server` is missing"),
        ({"uses": "notify.send", "with": {"to": ["team"]}, "input": "x"}, "no target 'team'"),
        ({"uses": "http.get", "with": {"url": "http://127.0.0.1:8080/a"}}, "127.0.0.1:8080"),
        ({"uses": "http.get", "with": {"url": "{{ inputs.api }}/orders"}}, "10.0.0.7:80"),
        ({"uses": "web.page", "with": {"url": "https://[::1]/"}}, "[::1]:443"),
        ({"uses": "feed.read", "with": {"url": ["https://x.example/", "http://localhost/feed"]}}, "localhost:80"),
        ({"uses": "webhook.post", "with": {"url": "http://169.254.169.254/"}, "input": {}}, "link-local"),
    ],
)
async def test_what_the_settings_do_not_admit_is_told_with_the_setting(step, said):
    flow = {"name": "t", "inputs": {"api": {"default": "http://10.0.0.7"}}, "steps": [{"id": "s", **step}]}
    async with OrchestrationService(db="none") as service:
        plan = await service.plan(Workflow.model_validate(flow))
        assert said in " ".join(plan.steps[0].warnings)
        reason = (await service.run(Workflow.model_validate(flow))).steps["s"].failure
    assert reason is not None
    assert reason.message.split("'")[0] in " ".join(plan.steps[0].warnings)


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        (
            {"uses": "http.get", "with": {"url": "http://127.0.0.1:8080/a"}},
            {"connector:http": {"allow": ["127.0.0.1:8080"]}},
        ),
        (
            {"uses": "http.get", "with": {"url": "http://localhost:8080/a"}},
            {"connector:http": {"allow": ["localhost"]}},
        ),
        ({"uses": "http.get", "with": {"url": "http://orders.internal/a"}}, {}),
        ({"uses": "http.get", "with": {"url": "{{ steps.z.output }}/a"}}, {}),
        ({"uses": "mcp.call", "with": {"tool": "find"}}, {"connector:mcp": {"servers": {"a": {"command": "x"}}}}),
        ({"uses": "notify.send", "with": {"to": "{{ steps.z.output }}"}, "input": "x"}, {}),
    ],
)
async def test_what_is_admitted_or_not_known_is_not_doubted(step, settings):
    first = {"id": "z", "intent": "transform", "input": [], "with": {"op": "limit", "count": 1}}
    found = await warnings_of([first, {"id": "s", **step}], {"plugins": {"settings": settings}})
    for word in ("allow", "server", "target"):
        assert word not in found["s"]


# --- files that are not there ---


def reading(path="in.csv", **more):
    """A step that reads a file."""
    return {"id": "read", "uses": "file.read", "with": {"path": path}, **more}


def writing(path="out/a.csv", **more):
    """A step that writes a file."""
    return {"id": "save", "uses": "file.write", "input": "a\n1", "with": {"path": path, "format": "text"}, **more}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (reading("in.cvs"), "in.cvs is not there; did you mean 'in.csv'?"),
        (reading("{{ inputs.from }}/rows.csv"), "the folder"),
        (reading("/etc/passwd"), "outside the folders"),
        (reading("../*.csv"), "outside the folders"),
        (reading("old.zip/a.csv"), "old.zip is not there"),
        ({"id": "read", "uses": "file.list", "with": {"path": "inbox"}}, "inbox is not there"),
        ({"id": "read", "uses": "document.read", "with": {"path": "a.xlsx"}}, "a.xlsx is not there"),
        ({"id": "read", "uses": "sql.query", "with": {"url": "sqlite:///a.db", "sql": "select 1"}}, "a.db is not"),
        ({"id": "read", "uses": "git.log", "with": {"repo": "elsewhere"}}, "elsewhere is no folder"),
        ({**writing("/etc/a.csv"), "id": "read"}, "outside the folders"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_before_the_run_fails_of_it(step, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("a\n1\n")
    flow = {"name": "t", "inputs": {"from": {"default": "nowhere"}}, "steps": [step]}
    async with OrchestrationService(db="none") as service:
        plan = await service.plan(Workflow.model_validate(flow))
        assert said in " ".join(plan.steps[0].warnings)
        assert (await service.run(Workflow.model_validate(flow))).status == "failed"


@pytest.mark.parametrize("tool", [False, True])
async def test_a_tool_reads_files_too(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = {"with": {"path": "handbook.md"}} if tool else {"give": ["path"]}
    asks = {"id": "s", "intent": "generate", "prompt": "What is next?", "tools": [{"uses": "file.read", **path}]}
    assert ("handbook.md is not there" in (await warnings_of([asks]))["s"]) == tool


@pytest.mark.parametrize(
    "steps",
    [
        [reading()],
        [reading("*.jsonl")],
        [reading("{{ inputs.given }}")],
        [reading("none.csv", on_error={"output": []})],
        [writing(), reading("out/a.csv", needs=["save"])],
        [writing("{{ inputs.where }}/a.csv"), reading("out/a.csv", needs=["save"])],
        [writing("out/{{ steps.first.output }}.csv"), reading("out/a.csv", needs=["save"])],
        [writing("out/{{ steps.first.output }}.csv"), reading("out", needs=["save"], uses="file.list")],
        [{"id": "all", "for_each": [1], "steps": [writing()]}, reading("out/a.csv", needs=["all"])],
        [writing(), {"id": "all", "needs": ["save"], "for_each": [1], "steps": [reading("out/a.csv")]}],
    ],
)
async def test_a_file_that_is_there_or_will_be_is_not_doubted(steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("a\n1\n")
    inputs = {"given": {"type": "path"}, "where": {"default": "out"}}
    first = {"id": "first", "intent": "transform", "input": "a", "with": {"op": "shorten", "length": 2}}
    found = await warnings_of([first, *steps], inputs=inputs)
    assert "there" not in " ".join(found.values())


async def test_a_file_is_looked_for_beside_the_workflow_file(tmp_path, monkeypatch):
    beside, work = tmp_path / "flows", tmp_path / "work"
    beside.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    (beside / "flow.yaml").write_text("name: t\nsteps: [{id: r, uses: file.read, with: {path: in.csv}}]")
    async with OrchestrationService(db="none") as service:
        plan = await service.plan(Workflow.load(beside / "flow.yaml"))
        assert "neither beside the workflow file nor in the working folder" in " ".join(plan.steps[0].warnings)
        (beside / "in.csv").write_text("a\n1\n")
        plan = await service.plan(Workflow.load(beside / "flow.yaml"))
        assert "in.csv" not in " ".join(plan.steps[0].warnings)


async def test_a_file_that_is_written_too_late_is_told_with_the_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = await warnings_of([writing(), reading("out/a.csv")])
    assert "say `needs: [save]`" in found["read"]
    found = await warnings_of([reading("out/a.csv"), writing(needs=["read"])])
    assert "the step 'save', which writes it, runs after this one" in found["read"]


async def test_what_a_run_has_written_before_is_there_for_its_last_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = await warnings_of([writing()], **{"finally": [reading("out/a.csv")]})
    assert "there" not in found["read"]

"""Secrets reach the connector that they are meant for, and nothing else."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from intendant import Settings, Workflow, WorkflowError
from intendant.config.secrets import Secrets, UsedSecrets
from intendant.config.settings import SecretSettings
from intendant.model.errors import SecretMissing, SettingsError
from intendant.pilot.engine import Engine
from intendant.pilot.service import OrchestrationService
from intendant.plugin import (
    Connector,
    ConnectorCall,
    ConnectorError,
    IntentHandler,
    IntentSpec,
    Options,
    StepResult,
    operation,
)
from intendant.testing import EqualShares, OnlyTier, ScriptedProvider

VALUE = 'pa55/w+rd "ü"'


class Ask(Options):
    key: str
    fail: str = ""


class Echo(Connector):
    """Gives back what it was given, as hostile servers do."""

    name = "echo"

    def __init__(self):
        super().__init__()
        self.given = []

    @operation(side_effects=False)
    async def read(self, parameters: Ask, call: ConnectorCall):
        """Read."""
        self.given.append(parameters.key)
        if parameters.fail == "raise":
            raise RuntimeError(f"no such key {parameters.key}")
        if parameters.fail:
            raise ConnectorError(f"refused: {parameters.key}", hint=f"is {parameters.key} right?")
        basic = b64encode(f"user:{parameters.key}".encode()).decode()
        return {"sent": parameters.key, "header": f"Basic {basic}", "url": f"?k={quote(parameters.key)}"}

    @operation(side_effects=True)
    async def write(self, parameters: Ask, call: ConnectorCall):
        """Write."""
        self.given.append(parameters.key)
        return {"wrote": parameters.key}


class Use(IntentHandler):
    """Uses the connector."""

    spec = IntentSpec(name="use", summary="Use", examples=("a",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        shown = repr(request) + repr(request.step)
        return StepResult(output={"got": await request.use_connector(request.input), "shown": shown})


async def run(echo, step, tmp_path, **more):
    db = f"sqlite:///{tmp_path / 'runs.db'}"
    plugins = [echo, Use(), ScriptedProvider(), OnlyTier(), EqualShares()]
    flow = Workflow.model_validate(
        {
            "name": "t",
            "inputs": {"x": {"type": "any", "default": None}},
            "steps": [{"id": "a", "intent": "use", **step}],
        }
    )
    settings = Settings.load({}, env={}, file=None)
    service = OrchestrationService(settings, plugins=plugins, discover=False, db=db, secrets={"TOKEN": VALUE}.get)
    async with service:
        result = await service.run(flow, more.pop("inputs", {}), **more)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for form in (VALUE, json.dumps(VALUE)[1:-1], quote(VALUE), b64encode(f"user:{VALUE}".encode()).decode()):
        assert form.encode() not in kept
        assert form not in result.model_dump_json()
        assert form not in repr(result)
    return result.steps["a"]


async def test_the_connector_gets_the_value_and_nothing_keeps_it(tmp_path, caplog):
    echo = Echo()
    outcome = await run(echo, {"uses": "echo.read", "with": {"key": "{{ secrets.TOKEN }}"}}, tmp_path)
    assert echo.given == [VALUE]
    assert outcome.output["got"]["sent"] == "[secret TOKEN]"
    assert "[secret TOKEN]" in outcome.output["got"]["header"]
    assert VALUE not in outcome.output["shown"]
    assert VALUE not in caplog.text


async def test_a_secret_may_stand_within_other_text(tmp_path):
    echo = Echo()
    await run(echo, {"uses": "echo.read", "with": {"key": "Bearer {{ secrets.TOKEN }}"}}, tmp_path)
    assert echo.given == [f"Bearer {VALUE}"]


@pytest.mark.parametrize("fail", ["yes", "raise"])
async def test_errors_do_not_show_it(tmp_path, fail, caplog, capsys):
    step = {"uses": "echo.read", "with": {"key": "{{ secrets.TOKEN }}", "fail": fail}}
    outcome = await run(Echo(), step, tmp_path)
    assert "[secret TOKEN]" in outcome.failure.message
    assert VALUE not in caplog.text + "".join(capsys.readouterr())


async def test_wrong_parameters_do_not_show_it(tmp_path):
    step = {"uses": "echo.read", "with": {"key": "{{ inputs.x }}", "fail": "{{ secrets.TOKEN }}"}}
    outcome = await run(Echo(), step, tmp_path, inputs={"x": [1]})
    assert "is wrong" in outcome.failure.message


async def test_a_dry_run_masks_it_and_delivers_nothing(tmp_path):
    echo = Echo()
    step = {"uses": "echo.write", "with": {"key": "{{ secrets.TOKEN }}"}, "input": "hello"}
    outcome = await run(echo, step, tmp_path, dry=True)
    assert echo.given == []
    wanted = {"dry": True, "operation": "echo.write", "with": {"key": "[secret TOKEN]"}, "input": "hello"}
    assert outcome.output["got"] == wanted


@pytest.mark.parametrize(
    "step",
    [
        {"for_each": "{{ inputs.x }}", "as": "row", "with": {"key": "{{ secrets.TOKEN }}", "fail": "{{ row }}"}},
        {"when": "inputs.x != null", "with": {"key": "{{ secrets.TOKEN }}"}, "cache": 60},
    ],
)
async def test_items_and_branches_get_it_too(tmp_path, step):
    echo = Echo()
    await run(echo, {"uses": "echo.read", **step}, tmp_path, inputs={"x": [""]})
    assert echo.given == [VALUE]


async def test_who_is_asked_for_an_approval_sees_a_mask(tmp_path):
    step = {"uses": "echo.write", "approve": {"ask": "Send?"}, "with": {"key": "{{ secrets.TOKEN }}"}}
    echo = Echo()
    outcome = await run(echo, step, tmp_path)
    assert echo.given == []
    assert outcome.status == "waiting"
    assert b"[secret TOKEN]" in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_text_that_looks_like_a_secret_is_not_looked_up(tmp_path):
    """What comes as data, such as a model's answer, is never interpreted."""
    echo = Echo()
    step = {"uses": "echo.read", "with": {"key": "{{ inputs.x }}"}}
    await run(echo, step, tmp_path, inputs={"x": "{{ secrets.TOKEN }}"})
    assert echo.given == ["{{ secrets.TOKEN }}"]


@pytest.mark.parametrize(
    "step",
    [
        {"prompt": "{{ secrets.TOKEN }}"},
        {"input": "{{ secrets.TOKEN }}"},
        {"with": {"key": "{{ secrets.TOKEN }}"}},
        {"uses": "echo.read", "with": {"key": "{{ secrets.TOKEN }}"}, "input": "{{ secrets.TOKEN }}"},
        {"uses": "echo.read", "with": {"key": "{{ secrets }}"}},
        {"uses": "echo.read", "with": {"key": "{{ secrets.TOKEN.x }}"}},
    ],
)
async def test_a_secret_stands_in_parameters_of_connectors_only(step, tmp_path):
    with pytest.raises(WorkflowError, match="secret"):
        await run(Echo(), step, tmp_path)


def test_sources_are_asked_in_order(tmp_path):
    file = tmp_path / "secrets.env"
    file.write_text("# a comment\nA=from file\nexport B='quoted value'\n")
    file.chmod(0o600)
    env = {"INTENDANT_SECRET_A": "from prefix", "PLAIN": "not for workflows", "NAMED": "by name"}
    secrets = Secrets(SecretSettings(environment=("NAMED",), file=file), {"H": "from host"}.get, env)
    found = {name: secrets.get(name) for name in ("A", "B", "H", "NAMED")}
    assert found == {"A": "from prefix", "B": "quoted value", "H": "from host", "NAMED": "by name"}
    with pytest.raises(SecretMissing, match="PLAIN is not set"):
        secrets.get("PLAIN")


def test_toml_and_folders_hold_secrets_too(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('KEY = "value"\n')
    toml.chmod(0o600)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "KEY").write_text("mounted\n")
    (folder / "KEY").chmod(0o640)
    assert Secrets(SecretSettings(file=toml), env={}).get("KEY") == "value"
    assert Secrets(SecretSettings(file=folder), env={}).get("KEY") == "mounted"


def test_a_file_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "secrets.env"
    file.write_text("A=value")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        Secrets(SecretSettings(file=file), env={}).get("A")


@pytest.mark.parametrize("name", ["../etc/passwd", "", "a-b", "_x", "é"])
def test_names_are_plain(name):
    with pytest.raises(SecretMissing, match="no name"):
        Secrets(env={}).get(name)


def test_a_value_too_short_to_be_taken_out_is_refused():
    with pytest.raises(SecretMissing, match="shorter than"):
        Secrets(env={"INTENDANT_SECRET_A": "abc"}).get("A")


def test_masks_find_each_form():
    used = UsedSecrets(Secrets(env={"INTENDANT_SECRET_A": "topsecret/1"}))
    assert used["A"]
    for before in ("", "u", "us", "use"):
        text = b64encode(f"{before}topsecret/1:tail".encode()).decode()
        assert "[secret A]" in used.masked(text), before
    assert used.scrubbed({"topsecret/1": ["x topsecret%2F1"]}) == {"[secret A]": ["x [secret A]"]}


def test_variables_that_hold_secrets_are_no_settings():
    assert Settings.load(env={"INTENDANT_SECRET_A__B": "x"}, file=None)
    assert Engine({}, discover=False, db="none").secrets

"""A user without a home folder, as a container's may be: what needs none works, the rest says what to give."""

import pytest
from typer.testing import CliRunner

from intendant import OrchestrationService, Workflow
from intendant.cli.app import app_for

FLOW = "name: x\nsteps: [{id: a, intent: transform, input: [{a: 1}], options: {op: to_json}}]\n"


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """Calls commands as a user of whom the system knows only a number."""

    def unknown(_uid):
        raise KeyError("uid not found")

    monkeypatch.chdir(tmp_path)
    for name in (
        "HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "LOGNAME",
        "USER",
        "INTENDANT_DB",
        "INTENDANT_CONFIG",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    (tmp_path / "flow.yaml").write_text(FLOW)

    def call(*arguments):
        done = CliRunner().invoke(app_for(arguments[:1]), arguments)
        assert "unexpected" not in done.output, done.output
        return done

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "flow.yaml"),
        ("run", "flow.yaml", "--db", "none"),
        ("run", "flow.yaml", "--db", "sqlite:///own.db"),
        ("config", "list"),
        ("plugins",),
        ("schema",),
        ("compress", "flow.yaml", "--lossless"),
    ],
    ids=" ".join,
)
def test_what_needs_no_home_works(homeless, arguments) -> None:
    done = homeless(*arguments)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("arguments", [("run", "flow.yaml"), ("runs",), ("budget", "show")], ids=" ".join)
def test_what_needs_one_says_what_to_give(homeless, arguments) -> None:
    done = homeless(*arguments)
    assert done.exit_code == 2
    assert "no home folder" in done.stderr
    assert "--db" in done.stderr


async def test_a_host_that_names_no_database_plans(homeless) -> None:
    async with OrchestrationService() as service:
        assert (await service.plan(Workflow.parse(FLOW))).steps[0].intent == "transform"

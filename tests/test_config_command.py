"""`intendant config` and the layers that it shows."""

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for

RUNNER = CliRunner()


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Calls `intendant config` in an empty folder with a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTENDANT_CONFIG", str(tmp_path / "own.toml"))
    (tmp_path / "own.toml").write_text("[budget]\ncritical_factor = 2.0\n")
    db = f"sqlite:///{tmp_path / 'x.db'}"

    def call(*arguments: str, exit_code: int = 0, text: str | None = None):
        done = RUNNER.invoke(app_for(["config"]), ["config", *arguments, "--db", db], input=text)
        assert done.exit_code == exit_code, done.output + done.stderr
        return done

    call.db = db
    return call


@pytest.mark.parametrize("named", [True, False])
def test_who_changed_something_is_recorded_also_where_the_user_has_no_name(config, monkeypatch, named) -> None:
    """As in a container that executes this under a number alone."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    if named:
        monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError("uid not found")))
    who = "ann" if named else "unknown"
    config("set", "budget.strategy=equal")
    assert json.loads(config("history", "--json").stdout)[0]["changed_by"] == who
    budget = partial(RUNNER.invoke, app_for(["budget"]))
    db = ("--db", config.db)
    assert budget(["budget", "set", "agent:a", "--tokens", "5000", "--per", "day", *db]).exit_code == 0
    assert budget(["budget", "history", *db]).stdout.rstrip().endswith(f"by {who}")


def test_every_key_is_listed_with_the_layer_that_it_came_from(config, monkeypatch) -> None:
    monkeypatch.setenv("INTENDANT_BUDGET__MEMORY_TOKENS", "77")
    config("set", "budget.strategy=equal")
    everything = json.loads(config("list", "--json", "-s", "run.max_parallel=2").stdout)
    rows = {row["key"]: row for row in everything["keys"]}
    assert rows["budget.memory_tokens"]["source"] == "the environment"
    assert rows["budget.critical_factor"]["source"].endswith("own.toml")
    assert rows["budget.strategy"]["source"] == "the database, version 1"
    assert rows["run.max_parallel"]["source"] == "the call (-s)"
    assert rows["budget.baselines.extract"]["value"] == 800
    assert rows["budget.baselines.extract"]["source"] == "its handler"
    assert rows["routing.tiers.fast.max_difficulty"]["value"] == 3.0
    assert rows["budget.critical_factor"]["schema"] == {"maximum": 3, "minimum": 1, "type": "number"}
    old = len(everything["old_spellings"]) + len(everything["superseded"])
    assert old == 93  # the 92 of the reference, and one that it got later
    assert "budget.strategy" in config("list", "--changed").stdout
    assert "run.call_timeout" not in config("list", "--changed").stdout


def test_set_explain_get_history_and_rollback(config) -> None:
    config("set", "budget.strategy=equal", "token_budget_extract=900", "--note", "try")
    assert '→ "equal"' in config("explain", "budget.strategy").stdout
    assert config("get", "orchestration_token_budget_extract").stdout == "900\n"
    layers = json.loads(config("explain", "budget.critical_factor", "--json").stdout)["layers"]
    assert [layer["value"] for layer in layers] == [2.0, 1.5]
    rows = json.loads(config("history", "--json").stdout)
    assert [(row["key"], row["value"], row["note"]) for row in rows] == [
        ("budget.baselines.extract", 900, "try"),
        ("budget.strategy", "equal", "try"),
    ]
    config("set", "--reset", "budget.strategy")
    assert config("get", "budget.strategy").stdout == '"proportional"\n'
    config("rollback", "1")
    assert config("get", "budget.strategy").stdout == '"equal"\n'


def test_what_one_database_exports_another_imports(config, tmp_path) -> None:
    config("set", "budget.strategy=equal", 'flags.routing_enabled={"percent": 5, "by": "user"}')
    file = tmp_path / "export.json"
    file.write_text(config("export").stdout)
    config("set", "--reset", "budget.strategy", "budget.memory_tokens=1")
    config("import", str(file), "--replace")
    after = json.loads(config("export").stdout)
    assert after["settings"] == json.loads(file.read_text())["settings"]
    assert after["settings"]["flags.routing_enabled"]["percent"] == 5
    config("import", "-", text=file.read_text())
    for wrong in ("{}", "[", '{"format": "intendant settings", "settings": 3}'):
        assert "no export" in config("import", "-", text=wrong, exit_code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["set", "budget.stategy=x"], "do you mean budget.strategy"),
        (["set", "store.db=x"], "cannot be set in the database"),
        (["set", "budget.strategy=nobody"], "no budget 'nobody' is installed"),
        (["set", "budget.tokens_per_step=0"], "greater than or equal to 1"),
        (["set", "orchestration_ais_cost_weight=1"], "superseded"),
        (["set", "budget.strategy"], "is not a setting"),
        (["set"], "no setting is given"),
        (["get", "nothing"], "there is no setting nothing"),
        (["rollback", "7"], "have no version 7"),
        (["import", "missing.json"], "cannot be read"),
        (["set", "a\x00b=1"], "there is no setting"),
    ],
)
def test_mistakes_say_what_to_do_and_change_nothing(config, arguments, says) -> None:
    done = config(*arguments, exit_code=2)
    assert says in done.stderr
    assert "hint" in done.stderr or says in ("greater than or equal to 1", "cannot be read")
    assert json.loads(config("export").stdout)["version"] == 0


def test_what_the_call_hides_is_said(config) -> None:
    assert "which is stronger" in config("set", "run.max_parallel=3", "-s", "run.max_parallel=2").stderr

"""`intendant flags`: what is switched on, and for whom."""

import json

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for

RUNNER = CliRunner()


@pytest.fixture
def flags(tmp_path, monkeypatch):
    """Calls `intendant flags` with a database of its own."""
    monkeypatch.chdir(tmp_path)
    db = f"sqlite:///{tmp_path / 'x.db'}"

    def call(*arguments: str, exit_code: int = 0):
        done = RUNNER.invoke(app_for(["flags"]), ["flags", *arguments, "--db", db])
        assert done.exit_code == exit_code, done.output + done.stderr
        return done

    return call


def test_a_flag_is_set_for_a_share_with_lists_and_tenants(flags) -> None:
    flags("set", "routing_enabled", "0%", "--by", "user", "--allow", "eva", "--tenant", "default=0")
    on = {user: json.loads(flags("check", "a", "--user", user, "--json").stdout) for user in ("eva", "jan")}
    assert on["eva"]["routing_enabled"]
    assert not on["jan"]["routing_enabled"]
    assert "0 % of users; default: 0 %; and eva" in flags("list").stdout
    flags("set", "routing_enabled", "off")
    assert not json.loads(flags("check", "a", "--user", "eva", "--json").stdout)["routing_enabled"]
    flags("set", "shadow", "on", "--deny", "b")
    assert json.loads(flags("check", "a", "--json").stdout)["shadow"]
    assert not json.loads(flags("check", "b", "--json").stdout)["shadow"]


def test_the_profile_rollout_has_all_off(flags) -> None:
    flags("profile", "rollout")
    assert set(json.loads(flags("check", "a", "--json").stdout).values()) == {False}
    flags("profile", "standard")
    assert json.loads(flags("check", "a", "--json").stdout)["orchestration_enabled"]


def test_a_canary_is_started_shown_and_stopped(flags) -> None:
    assert "not under guard" in flags("canary", "routing_enabled", exit_code=2).stderr
    assert "5 % of users" in flags("canary", "routing_enabled", "start", "--by", "user").stdout
    assert json.loads(flags("canary", "routing_enabled", "--json").stdout)["counts"] == {}
    flags("canary", "routing_enabled", "stop")
    assert "not under guard" in flags("canary", "routing_enabled", exit_code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["set", "wings", "on"], "there is no flag wings"),
        (["set", "shadow", "many"], "is no share"),
        (["set", "shadow", "nan"], "is no share"),
        (["set", "shadow", "101%"], "is no share"),
        (["set", "shadow", "5%", "--tenant", "x"], "names no share"),
        (["canary", "wings", "start"], "there is no flag"),
    ],
)
def test_mistakes_say_what_to_do(flags, arguments, says) -> None:
    done = flags(*arguments, exit_code=2)
    assert says in done.stderr
    assert "hint" in done.stderr

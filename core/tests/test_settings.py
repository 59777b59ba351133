"""Settings come from four sources, strongest first, and know where they came from."""

import os

import pytest

from intendant import Settings, SettingsError
from intendant.config.flags import Rollout, is_on
from intendant.config.layers import merge_assignments, parse_assignment


def load(call=None, env=None, file=None) -> Settings:
    return Settings.load(call, env=env or {}, file=file)


def test_stronger_sources_win_and_are_named(tmp_path) -> None:
    file = tmp_path / "intendant.toml"
    file.write_text(
        '[budget]\nstrategy = "equal"\ntokens_per_step = 10\n[plugins.settings."tier:fast"]\nmax_difficulty = 4\n'
    )
    settings = load({"budget": {"strategy": "priority"}}, {"INTENDANT_BUDGET__STRATEGY": "adaptive"}, file)
    assert settings.budget.strategy == "priority"
    assert settings.source_of("budget.strategy") == "the call"
    assert settings.budget.tokens_per_step == 10
    assert settings.source_of("budget.tokens_per_step") == str(file)
    assert settings.source_of("run.max_parallel") == "the default"
    assert settings.plugins.settings == {"tier:fast": {"max_difficulty": 4}}
    assert load(env={"INTENDANT_RUN__MAX_PARALLEL": "3"}).run.max_parallel == 3


@pytest.mark.parametrize(
    ("call", "env", "says"),
    [
        ({"budget": {"strtegy": "x"}}, {}, "budget.strtegy"),
        ({}, {"INTENDANT_RUN__MAX_PARALLEL": "0"}, "the environment"),
        ({"run": 3}, {}, "run"),
    ],
)
def test_wrong_settings_name_key_and_source(call, env, says) -> None:
    with pytest.raises(SettingsError, match=says):
        load(call, env)


def test_a_broken_file_is_an_error(tmp_path) -> None:
    file = tmp_path / "intendant.toml"
    file.write_text("[budget")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(file=file)
    with pytest.raises(SettingsError, match="cannot be read"):
        load(file=tmp_path / "none.toml")


def test_assignments_nest() -> None:
    assert parse_assignment("plugins.settings.tier:fast.max_difficulty=4.5") == {
        "plugins": {"settings": {"tier:fast": {"max_difficulty": 4.5}}}
    }
    assert parse_assignment("budget.strategy=equal") == {"budget": {"strategy": "equal"}}
    with pytest.raises(SettingsError):
        parse_assignment("budget.strategy")


def test_a_rollout_hits_its_share_and_only_ever_grows() -> None:
    subjects = [f"agent{n}" for n in range(4000)]
    on = {percent: {s for s in subjects if is_on(Rollout(percent=percent), s)} for percent in (0, 25, 60, 100)}
    assert on[0] == set()
    assert on[100] == set(subjects)
    assert on[25] < on[60]
    assert 0.22 < len(on[25]) / 4000 < 0.28
    assert is_on(flag=True, subject="x")
    assert not is_on(flag=False, subject="x")


def test_a_section_and_a_value_contradict() -> None:
    with pytest.raises(SettingsError, match=r"budget is a value and a section"):
        merge_assignments(["budget=5", "budget.strategy=equal"])
    with pytest.raises(SettingsError, match=r"budget.strategy is a value and a section"):
        load(env={"INTENDANT_BUDGET__STRATEGY": "equal", "INTENDANT_BUDGET__STRATEGY__X": "1"})
    assert merge_assignments(["run.max_parallel=1", "run.max_parallel=2"]) == {"run": {"max_parallel": 2}}


@pytest.mark.parametrize("text", ['"=1', "..=1", "=1", "a..b=1", "a.=1", '""=1', "x" * 3])
def test_what_is_no_key_is_refused(text) -> None:
    with pytest.raises(SettingsError, match="is not a setting"):
        parse_assignment(text)


DEEP = "[" * 5000 + "]" * 5000


def test_deep_nesting_is_refused_from_every_source(tmp_path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text(f"x = {DEEP}")
    for source in (
        {"file": file},
        {"env": {"INTENDANT_PLUGINS__SETTINGS": DEEP}},
        {"call": parse_assignment("a.b=" + DEEP[2500:2510] + "0")},
    ):
        with pytest.raises(SettingsError):
            load(**source)
    for text in (
        f"plugins.settings={DEEP}",
        "plugins.settings=" + '{"a":' * 30 + "1" + "}" * 30,
        ".".join("a" * 30) + "=1",
    ):
        with pytest.raises(SettingsError, match="nested deeper than"):
            parse_assignment(text)


@pytest.mark.parametrize(
    "content", [b"x = " + b"9" * 6000, b"\xff\xfe", b"x = 0x" + b"f" * 9000 + b"\ny=", b"a" * 1_000_001]
)
def test_no_content_of_a_file_raises_anything_else(tmp_path, content) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        load(file=file)


@pytest.mark.parametrize("name", ["/dev/zero", ".", "fifo", "a\0b"])
def test_what_is_no_file_ends_at_once(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    with pytest.raises(SettingsError):
        load(file=name)


def test_a_part_of_a_key_in_quotes_may_hold_dots() -> None:
    assert parse_assignment('prices.models."openai/gpt-6.1".input=2') == {
        "prices": {"models": {"openai/gpt-6.1": {"input": 2}}}
    }

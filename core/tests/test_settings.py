"""Settings come from four sources, strongest first, and know where they came from."""

import pytest

from intendant import Settings, SettingsError
from intendant.config.flags import Rollout, is_on
from intendant.config.settings import parse_assignment


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


def test_a_part_of_a_key_in_quotes_may_hold_dots() -> None:
    assert parse_assignment('prices.models."openai/gpt-6.1".input=2') == {
        "prices": {"models": {"openai/gpt-6.1": {"input": 2}}}
    }

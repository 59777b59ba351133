"""Settings change while services run: the database's layer, its history, and old spellings of keys."""

import json

import pytest

from intendant import Settings, SettingsError, StoreError, Workflow
from intendant.config import catalogue
from intendant.config.layers import merge_assignments
from intendant.config.spellings import SPELLINGS, expanded, meant
from intendant.pilot import settings_view, steering
from intendant.pilot.steering import RESET
from intendant.testing import engine, sync_engine

INTENTS = ("extract", "summarize", "generate", "validate", "send", "transform", "conditional")
INTENTS = (*INTENTS, "aggregate", "filter", "enrich")
TIERS = ("fast", "balanced", "powerful")


def test_the_reference_has_92_keys_and_each_is_a_key_or_superseded() -> None:
    later = "orchestration_token_budget_critical_step_multiplier"
    found = {name: one for name, one in expanded(INTENTS, TIERS).items() if name != later}
    assert len(found) == 92
    for name, one in found.items():
        assert bool(one.name) != bool(one.spelling.instead), name
        assert not one.name or catalogue.find(one.name) is not None, name
        assert meant(name).name == one.name, name
    assert "orchestration_ais_powerful_tier_min_score" in found
    assert "orchestration_ais_powerful_tier_max_score" not in found


def test_every_key_has_a_meaning_and_a_type() -> None:
    for key in catalogue.all_keys():
        assert key.meaning, key.name
        assert key.kind != "any value" or key.name == "alerts.parameters.{parameter}", key.name
    names = [key.name for key in catalogue.all_keys()]
    assert len(names) == len(set(names))
    for name in catalogue.LIVE:
        assert any(each == name or each.startswith(f"{name}.") for each in names), f"{name} is live, and no key"


def test_nothing_is_live_that_could_hurt() -> None:
    for section in ("store", "plugins", "prices", "secrets", "calls"):
        assert not any(key.live for key in catalogue.all_keys() if key.group == section)
    assert not catalogue.is_live("alerts.uses")
    assert not catalogue.is_live("budget.tenant")


def test_old_spellings_are_accepted_in_files_and_calls(tmp_path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("orchestration_enabled = false\ntoken_budget_extract = 900\n[budget]\nstrategy = 'equal'\n")
    settings = Settings.load(merge_assignments(["compression_target_ratio_filter=0.4"]), env={}, file=file)
    assert settings.flags.orchestration_enabled is False
    assert settings.budget.baselines == {"extract": 900}
    assert settings.compression.policies["filter"].target == pytest.approx(0.6)
    assert settings.source_of("budget.baselines.extract") == str(file)


def test_an_old_spelling_beside_the_key_of_now_is_an_error_unless_both_say_the_same() -> None:
    with pytest.raises(SettingsError, match=r"budget.strategy twice"):
        Settings.load(
            {"budget_allocation_strategy": "equal", "budget": {"strategy": "priority"}}, env={}, file=None
        )
    same = {"budget_allocation_strategy": "equal", "budget": {"strategy": "equal"}}
    assert Settings.load(same, env={}, file=None).budget.strategy == "equal"


@pytest.mark.parametrize("spelling", [one for one in SPELLINGS if not one.key], ids=lambda one: one.name)
def test_a_superseded_key_says_what_took_its_place(spelling) -> None:
    name = spelling.name.format(intent="extract", tier="fast", strongest="powerful")
    with pytest.raises(SettingsError, match="superseded") as error:
        Settings.load({name: 1}, env={}, file=None)
    assert spelling.instead in error.value.hint


async def test_the_database_is_stronger_than_the_environment_and_weaker_than_the_call() -> None:
    async with engine(settings={"run": {"max_parallel": 3}}) as service:
        base = Settings.load(
            {"run": {"max_parallel": 3}}, env={"INTENDANT_BUDGET__CRITICAL_FACTOR": "2"}, file=None
        )
        service._engine.settings = base
        version = await service.steering.change({"budget.critical_factor": 2.5, "run.max_parallel": 9}, by="eva")
        assert version == 1
        assert service.settings.budget.critical_factor == 2.5
        assert service.settings.source_of("budget.critical_factor") == "the database, version 1"
        assert service.settings.run.max_parallel == 3
        assert service.settings.source_of("run.max_parallel") == "the call"


async def test_a_change_is_made_whole_or_not_at_all() -> None:
    async with engine() as service:
        for wrong in (
            {"budget.critical_factor": 2, "budget.tokens_per_step": 0},
            {"budget.critical_factor": 2, "store.db": "x"},
            {"budget.critical_factor": 2, "budget.factor": 1},
            {"budget.critical_factor": 2, "budget.strategy": "nobody"},
            {"budget.critical_factor": 2, "routing.tiers.nobody.temperature": 1},
            {"budget.critical_factor": float("nan")},
            {"flags.routing_enabled": {"percent": 200}},
            {},
        ):
            with pytest.raises(SettingsError):
                await service.steering.change(wrong, by="eva")
        assert await service.steering.history() == []
        assert service.settings.budget.critical_factor == 1.5


async def test_history_says_who_and_when_and_a_version_can_be_gone_back_to() -> None:
    async with engine() as service:
        steer = service.steering
        await steer.change({"budget.critical_factor": 2, "budget.overage_allowed": False}, by="eva", note="try")
        await steer.change({"budget.critical_factor": RESET, "budget.memory_tokens": 10}, by="jan")
        assert service.settings.budget.critical_factor == 1.5
        assert await steer.roll_back(1, by="eva") == 3
        assert service.settings.budget.critical_factor == 2
        assert service.settings.budget.memory_tokens == 800
        rows = await steer.history()
        assert [(row.version, row.key, row.changed_by) for row in rows] == [
            (3, "budget.critical_factor", "eva"),
            (3, "budget.memory_tokens", "eva"),
            (2, "budget.critical_factor", "jan"),
            (2, "budget.memory_tokens", "jan"),
            (1, "budget.critical_factor", "eva"),
            (1, "budget.overage_allowed", "eva"),
        ]
        assert rows[0].note == "back to version 1"
        assert rows[2].value is None
        with pytest.raises(SettingsError, match="are what they were"):
            await steer.roll_back(1, by="eva")
        with pytest.raises(SettingsError, match="no version 9"):
            await steer.roll_back(9, by="eva")


async def test_a_change_on_a_version_that_is_over_is_refused() -> None:
    async with engine() as service:
        await service.steering.change({"budget.memory_tokens": 10}, by="eva")
        with pytest.raises(SettingsError, match="changed meanwhile"):
            await service.steering.change({"budget.memory_tokens": 20}, by="jan", expected=0)


async def test_a_running_service_takes_over_what_another_process_sets(tmp_path, monkeypatch) -> None:
    """A run that begins goes by settings that are at most `REFRESH_SECONDS` old; a run that has begun keeps its."""
    flow = Workflow.model_validate({"name": "x", "steps": [{"id": "a", "wait": {"for": "0s"}}]})
    db = f"sqlite:///{tmp_path / 'x.db'}"
    async with engine(db=db) as running, engine(db=db) as other:
        assert (await running.run(flow)).status == "completed"
        await other.steering.change({"budget.tokens_per_workflow": 77}, by="eva")
        assert running.settings.budget.tokens_per_workflow == 20_000
        monkeypatch.setattr(steering, "REFRESH_SECONDS", 0.0)
        seen = []
        await running.run(flow, on_event=seen.append)
        assert seen[0].budget_tokens == 77
        assert seen[0].settings == {"budget.tokens_per_workflow": "the database, version 1"} | {
            key: "the call" for key in seen[0].settings if key.startswith("prices.")
        }
        assert seen[0].settings_version == 1


async def test_tenants_have_settings_of_their_own(tmp_path) -> None:
    db = f"sqlite:///{tmp_path / 'x.db'}"
    async with engine(db=db, settings={"budget": {"tenant": "a"}}) as one, engine(db=db) as other:
        await one.steering.change({"budget.memory_tokens": 10}, by="eva")
        assert (await other.steering.refresh(now=True)).budget.memory_tokens == 800


async def test_what_is_wrong_in_the_database_leaves_the_settings_as_they_are(tmp_path, caplog) -> None:
    from sqlalchemy import insert

    from intendant.record.store.tables import setting_change

    async with engine() as service:
        row = {"tenant": "default", "version": 1, "changed_by": "x", "at": 0.0, "note": ""}
        rows = [
            row | {"key": "budget.memory_tokens", "value": '"many"'},
            row | {"key": "store.db", "value": '"x"'},
        ]
        await service._engine.store.do(
            lambda connection: connection.execute(insert(setting_change), rows) and None
        )
        before = service.settings
        assert await service.steering.refresh(now=True) is before
        assert "settings_of_the_database_are_wrong" in caplog.text


def test_settings_change_without_an_event_loop_too() -> None:
    with sync_engine() as service:
        assert service.steering.change({"budget.memory_tokens": 10}, by="eva") == 1
        assert service.steering.refresh().budget.memory_tokens == 10
        assert service.steering.roll_back(0, by="eva") == 2


async def test_every_layer_tells_what_it_says_of_a_key() -> None:
    async with engine(settings={"budget": {"memory_tokens": 5}}) as service:
        await service.steering.change({"budget.memory_tokens": 10}, by="eva")
        state = settings_view.one_state(service._engine, "budget.memory_tokens")
        assert [(one.source, one.value) for one in settings_view.layers_of(service._engine, state)] == [
            ("the call", 5),
            ("the database, version 1", 10),
            ("the default", 800),
        ]
        with pytest.raises(SettingsError, match="superseded"):
            settings_view.one_state(service._engine, "orchestration_ais_cost_weight")


async def test_secrets_are_not_listed() -> None:
    settings = {"plugins": {"settings": {"provider:scripted": {"api_key": "hush"}}}}
    settings["store"] = {"db": "postgresql+psycopg://me:hush@host/db"}
    async with engine() as service:
        service._engine.settings = Settings.load(settings, env={}, file=None)
        assert "hush" not in json.dumps([one.as_json() for one in settings_view.states(service._engine)])


async def test_a_host_goes_on_without_a_database_where_the_master_switch_is_off(tmp_path) -> None:
    (tmp_path / "x.db").write_text("no database")
    flow = Workflow.model_validate({"name": "x", "steps": [{"id": "a", "wait": {"for": "0s"}}]})
    off = {"flags": {"orchestration_enabled": False}}
    async with engine(db=f"sqlite:///{tmp_path / 'x.db'}", settings=off) as service:
        assert not await service.orchestrator().initialize(flow)
        with pytest.raises(StoreError):
            await service.steering.refresh(now=True)


async def test_operators_are_told_at_once_what_another_process_has_set(tmp_path) -> None:
    """Runs look now and then; operators see what is."""
    db = f"sqlite:///{tmp_path / 'x.db'}"
    async with engine(db=db) as running, engine(db=db) as other:
        asked = running.operations
        state, _ = await asked.setting("budget.memory_tokens")
        assert state.value == 800
        await other.steering.change({"budget.memory_tokens": 77}, by="eva")
        state, layers = await asked.setting("budget.memory_tokens")
        assert state.value == 77
        assert [layer.value for layer in layers][:1] == [77]
        await other.steering.change({"budget.memory_tokens": 78}, by="eva")
        found = {each.key: each.value for each in await asked.settings()}
        assert found["budget.memory_tokens"] == 78
        assert (await asked.flags("a"))["routing_enabled"]
        await other.steering.change({"flags.routing_enabled": False}, by="eva")
        assert not (await asked.flags("a"))["routing_enabled"]
        assert await asked.rollouts() == {}
        await other.operations.start_rollout("compression_enabled", by="eva")
        assert list(await asked.rollouts()) == ["compression_enabled"]

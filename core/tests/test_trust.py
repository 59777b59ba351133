"""The settings file of a folder sets only what cannot hurt, until a person trusts it as it is."""

from pathlib import Path

import pytest

from intendant import OrchestrationService, Settings
from intendant.config.layers import FILE_NAME
from intendant.config.trusted_files import HARMLESS, TrustedFiles, harmless

HURTS = {
    "plugins.settings": '[plugins.settings."provider:openai"]\nbase_url = "http://evil.test/v1"',
    "plugins.only": '[plugins]\nonly = ["tier:fast"]',
    "prices.models": '[prices.models."openai/m"]\ninput = 0\noutput = 0',
    "budget.tenant": '[budget]\ntenant = "other"',
    "budget.in_doubt": '[budget]\nin_doubt = "retry"',
    "store.db": '[store]\ndb = "sqlite:////tmp/theirs.db"',
    "calls.token_bound": '[calls]\ntoken_bound = "likely"',
    "run.compute_megabytes": "[run]\ncompute_megabytes = 100000",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working folder, with a user who has no settings and trusts nothing."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("INTENDANT_CONFIG", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(("key", "text"), HURTS.items())
def test_what_could_hurt_is_left_out_until_the_file_is_trusted(folder, key, text) -> None:
    file = folder / FILE_NAME
    file.write_text(f'{text}\n[routing]\ndefault_tier = "fast"\n')
    settings = Settings.load()
    assert settings.left_out == {FILE_NAME: (key,)}
    assert not any(known.startswith(key) for known in settings.in_force)
    assert settings.routing.default_tier == "fast"
    TrustedFiles().add(file, file.read_bytes())
    trusted = Settings.load()
    assert trusted.left_out == {}
    assert any(known.startswith(key) for known in trusted.in_force)


def test_every_setting_that_is_not_listed_needs_trust() -> None:
    """A new setting is not harmless until somebody says so; one that is gone leaves the list."""
    document = {
        name: dict.fromkeys(section.annotation.model_fields, 1) for name, section in Settings.model_fields.items()
    }
    _, left_out = harmless(document)
    known = {f"{section}.{key}" for section, keys in document.items() for key in keys}
    listed = {key for key in known if key in HARMLESS or key.partition(".")[0] in HARMLESS}
    assert set(left_out) == known - listed
    assert known | set(document) >= HARMLESS


def test_a_changed_or_moved_file_needs_trust_again(folder) -> None:
    file = folder / FILE_NAME
    file.write_text(HURTS["budget.tenant"])
    trusted = TrustedFiles()
    trusted.add(file, file.read_bytes())
    assert list(trusted) == [file]
    assert (file, file.read_bytes() + b"\n") not in trusted
    assert (folder / "copy" / FILE_NAME, file.read_bytes()) not in trusted
    assert trusted.remove(file) == 1
    assert (file, file.read_bytes()) not in trusted
    assert list(trusted) == []


def test_the_folder_wins_over_the_user_and_a_named_file_counts_as_the_users(folder, tmp_path, monkeypatch) -> None:
    (folder / FILE_NAME).write_text("[run]\nmax_parallel = 3")
    user = tmp_path / "named.toml"
    user.write_text(f"{HURTS['prices.models']}\n[run]\nmax_parallel = 5\ncompute_seconds = 2")
    monkeypatch.setenv("INTENDANT_CONFIG", str(user))
    settings = Settings.load()
    assert settings.run.max_parallel == 3
    assert settings.source_of("run.max_parallel") == FILE_NAME
    assert settings.run.compute_seconds == 2
    assert settings.source_of("run.compute_seconds") == str(user)
    assert settings.prices.models
    assert settings.left_out == {}


def test_a_named_file_in_the_folder_is_the_users_own(folder, monkeypatch) -> None:
    (folder / FILE_NAME).write_text(HURTS["budget.tenant"])
    monkeypatch.setenv("INTENDANT_CONFIG", FILE_NAME)
    assert Settings.load().budget.tenant == "other"
    assert Settings.load().left_out == {}


async def test_a_service_of_a_host_reads_no_file_unless_asked(folder) -> None:
    (folder / FILE_NAME).write_text("[run]\nmax_parallel = 3")
    for given in ({}, {"run": {"compute_seconds": 1}}, None):
        async with OrchestrationService(given, db="none") as service:
            assert service.settings.run.max_parallel == 16
    async with OrchestrationService(Settings.load(), db="none") as service:
        assert service.settings.run.max_parallel == 3

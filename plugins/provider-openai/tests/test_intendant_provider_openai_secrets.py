"""The key may come from a secret that the settings name."""

import pytest

from intendant import OrchestrationService

KEY = "sekret-of-the-vault-1234567"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def service(url, secrets, db):
    openai = {"api_key": "{{ secrets.VAULT }}", "base_url": url, "models": {"fast": "gpt-6.1-mini"}}
    settings = {
        "plugins": {"settings": {"provider:openai": openai}, "only": ["provider:openai"]},
        "prices": {"models": {"openai/gpt-6.1-mini": {"input": 1, "output": 1}}},
    }
    return OrchestrationService(settings, db=db, secrets=secrets)


async def test_the_key_is_used_and_shown_nowhere():
    async with service("https://x.example/v1", {"VAULT": KEY}.get, "none") as made:
        provider = made._engine.plugins.providers["openai"]
        assert provider.api_key() == KEY
        assert KEY not in repr(provider.settings)
        assert KEY not in repr(made.settings)
        assert KEY not in provider.errors.safe(f"wrong key {KEY}")


async def test_a_secret_that_is_not_set_leaves_the_provider_out(tmp_path):
    async with service("https://x.example/v1", None, "none") as made:
        record = next(record for record in made._engine.plugins.records if record.key == "provider:openai")
        assert (record.state, record.key in made._engine.plugins.providers) == ("failed", False)
        assert "VAULT is not set" in record.reason

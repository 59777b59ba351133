"""Keys never get into a text that is shown."""

import pytest

from intendant.hooks.redaction import redacted
from intendant.plugin import Hold, ModelReply, ModelRequest, StepError
from intendant.testing import ScriptedProvider, run_steps

from .test_bounds import Tell  # type: ignore[import-not-found]

SECRET = "my:own/secret+0123"  # of this test


@pytest.mark.parametrize("name", ["ACME_API_KEY", "ACME_TOKEN", "DB_PASSWORD", "CLIENT_SECRET", "KEY"])
def test_what_the_environment_calls_a_secret_is_taken_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRET)
    assert redacted(f"no such user {SECRET}, and {SECRET}x") == "no such user …, and …x"


@pytest.mark.parametrize("value", ["a", "on", "secret1"])
def test_a_short_secret_does_not_take_letters_out(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ACME_API_KEY", value)
    assert redacted("a salon, secret1 and all") == "a salon, secret1 and all"


def test_other_variables_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYBOARD_LAYOUT", "querty-layout")
    monkeypatch.setenv("LOCATION", "somewhere")
    assert redacted("a querty-layout somewhere") == "a querty-layout somewhere"
    assert redacted("somewhere", ["LOCATION"]) == "…", "unless they are named"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("try sk-abc123def456 instead", "try … instead"),
        ("Authorization: Bearer abc.def-123456==", "Authorization: …"),
        ("postgresql://me:pass@host/db is down", "postgresql://…@host/db is down"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("sk-8 is short, task-1234567 is none", "sk-8 is short, task-1234567 is none"),
    ],
)
def test_what_looks_like_a_key_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text) == shown


async def test_a_key_in_an_exception_of_a_plugin_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", SECRET)

    class Careless(ScriptedProvider):
        async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
            raise ValueError(f"no user has the key {SECRET}")

    result = await run_steps([{"id": "a", "intent": "tell", "input": "x"}], Tell(), Careless())
    assert "no user has the key …" in result.failures["a"].message


async def test_a_key_in_an_exception_of_a_handler_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", SECRET)

    class Raising(Tell):
        async def handle(self, request):
            raise self.kind_of_error(f"postgresql://me:pass@host refused {SECRET}")

    for raised in (ValueError, StepError):
        handler = Raising()
        handler.kind_of_error = raised
        result = await run_steps(
            [{"id": "a", "intent": "tell", "input": "x", "retry": {"attempts": 2, "delay": 0}}], handler
        )
        assert "postgresql://…@host refused …" in result.failures["a"].message

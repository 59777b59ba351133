"""A server that the provider takes for another maker's, one that stands where OpenAI's own is, and a meter."""

from collections.abc import AsyncIterator

import pytest

from intendant.testing import MeterLog, WireServer

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    """A server that the provider takes for another maker's."""
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    """A server that stands, as a proxy, where OpenAI's own is."""
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", "http://api.openai.com/v1")
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", url)
        yield made


@pytest.fixture
def told() -> type[MeterLog]:
    return MeterLog

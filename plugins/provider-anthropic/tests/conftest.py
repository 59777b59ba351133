"""A server that the provider takes for another maker's, one that stands where Anthropic's own is, and a meter."""

from collections.abc import AsyncIterator

import pytest

from intendant.testing import MeterLog, WireServer

KEY = "sk-ant-test-0123456789abcdef"


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    """A server that the provider takes for another maker's."""
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    """A server that stands, as a proxy, where Anthropic's own is."""
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://api.anthropic.com")
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", url)
        yield made


@pytest.fixture
def told() -> type[MeterLog]:
    return MeterLog

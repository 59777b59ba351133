"""What the notify connector promises, against a real service on this machine."""

import json
from contextlib import asynccontextmanager
from importlib.util import find_spec

import pytest
from pytest_httpserver import HTTPServer

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use, WireServer
from intendant_connector_notify import NotifyConnector

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Of a module that Apprise imports before Python 3.13."""
needs_apprise = pytest.mark.skipif(find_spec("apprise") is None, reason="Apprise is not installed: it is an extra")


@needs_apprise
class TestNotifyContract(ConnectorContract):
    plugin = NotifyConnector
    entry_point = "notify"

    @asynccontextmanager
    async def place(self):
        async with WireServer(lambda _sent: (200, {"ok": True}, {})).running() as url:
            targets = {"team": url.replace("http://", "json://")}
            yield Place(NotifyConnector({"targets": targets}), {"send": Use({"to": "team"}, "Hello")})


def made(server: HTTPServer, *paths: str) -> NotifyConnector:
    return NotifyConnector({"targets": {path: f"json://{server.host}:{server.port}/{path}" for path in paths}})


def call(value) -> ConnectorCall:
    return ConnectorCall(value, "key", "run", "step")


@needs_apprise
async def test_a_notice_reaches_all_its_targets(httpserver: HTTPServer) -> None:
    """Braces, backslashes and letters of any script arrive as they are."""
    for path in ("a", "b"):
        httpserver.expect_request(f"/{path}", method="POST").respond_with_data("ok")
    notify = made(httpserver, "a", "b")
    text = "drei Äpfel {x} \\n 数据"
    receipt = await notify.do("send", {"to": ["a", "b", "a"], "title": "T", "kind": "warning"}, call(text))
    assert receipt == {"sent": ["a", "b"]}
    bodies = [json.loads(request.get_data()) for request, _ in httpserver.log]
    assert [(body["title"], body["message"], body["type"]) for body in bodies] == [("T", text, "warning")] * 2


@needs_apprise
async def test_data_is_written_as_json(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_data("ok")
    await made(httpserver, "a").do("send", {"to": "a"}, call([{"n": 1}]))
    assert json.loads(json.loads(httpserver.log[0][0].get_data())["message"]) == [{"n": 1}]


@needs_apprise
async def test_a_target_that_fails_is_named_and_its_address_is_not(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_data("ok")
    httpserver.expect_request("/b").respond_with_data("no", status=500)
    with pytest.raises(ConnectorError) as caught:
        await made(httpserver, "a", "b").do("send", {"to": ["a", "b"]}, call("x"))
    assert caught.value.message == "the target 'b' has not taken the notice; a got it"
    assert httpserver.host not in caught.value.message + caught.value.hint


@needs_apprise
@pytest.mark.parametrize(
    ("targets", "to", "says"),
    [
        ({}, "team", "there is no target 'team'"),
        ({"team": "json://x"}, "json://127.0.0.1/", "there is no target 'json://127.0.0.1/'"),
        ({"team": "nonsense"}, "team", "is none that Apprise knows"),
    ],
)
async def test_workflows_name_targets_that_the_settings_have(targets, to, says) -> None:
    with pytest.raises(ConnectorError, match=says) as caught:
        await NotifyConnector({"targets": targets}).do("send", {"to": to}, call("x"))
    assert caught.value.delivered is False


async def test_nothing_is_not_told(httpserver: HTTPServer) -> None:
    with pytest.raises(ConnectorError, match="nothing to tell"):
        await made(httpserver, "a").do("send", {"to": "a"}, call("  "))


async def test_without_apprise_it_says_what_to_install(monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConnectorError, match="not installed") as caught:
        await NotifyConnector({"targets": {"a": "json://x"}}).do("send", {"to": "a"}, call("x"))
    assert caught.value.hint == "pip install intendant-connector-notify[apprise]"

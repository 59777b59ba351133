"""What the webhook connector promises, against a real receiver that verifies."""

import hmac
import json
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use, WireServer
from intendant_connector_webhook import WebhookConnector, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class TestWebhookContract(ConnectorContract):
    plugin = WebhookConnector
    entry_point = "webhook"

    @asynccontextmanager
    async def place(self):
        async with WireServer(lambda _sent: (200, {"ok": True}, {})).running() as url:
            yield Place(WebhookConnector({"allow": ["127.0.0.1"]}), {"post": Use({"url": url}, {"a": 1})})


def call(value):
    return ConnectorCall(value, "a" * 64, "r", "s")


@pytest.fixture
async def hook():
    connector = WebhookConnector({"allow": ["localhost"]})
    yield connector
    await connector.close()


def test_signs_as_the_specification_has_it():
    """The example that the specification's libraries are tested with."""
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


async def test_a_receiver_can_verify_it_and_knows_a_repetition(hook, httpserver):
    httpserver.expect_request("/hook", method="POST").respond_with_data("ok")
    for _ in range(2):
        receipt = await hook.do(
            "post", {"url": httpserver.url_for("/hook"), "secret": SECRET}, call({"a": "\u00fc"})
        )
    assert receipt["status"] == 200
    ids = set()
    for request, _ in httpserver.log:
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
        key = b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, signed + request.get_data(), sha256).digest()
        assert request.headers["webhook-signature"] == f"v1,{b64encode(digest).decode()}"
        assert json.loads(request.get_data()) == {"a": "\u00fc"}
        ids.add(request.headers["webhook-id"])
    assert ids == {receipt["id"]}


async def test_chats_get_the_text_in_a_field(hook, httpserver):
    httpserver.expect_request("/", json={"text": "Hello"}).respond_with_data("ok")
    await hook.do("post", {"url": httpserver.url_for("/"), "wrap": "text"}, call("Hello"))
    assert "webhook-signature" not in httpserver.log[0][0].headers


@pytest.mark.parametrize("secret", ["whsec_not base64!", "short", "whsec_c2hvcnQ="])
async def test_a_secret_that_cannot_sign_is_refused_without_showing_it(hook, httpserver, secret):
    with pytest.raises(ConnectorError, match="secret") as caught:
        await hook.do("post", {"url": httpserver.url_for("/"), "secret": secret}, call("x"))
    assert secret not in str(caught.value)
    assert caught.value.delivered is False


async def test_headers_of_the_signature_cannot_be_replaced(hook):
    with pytest.raises(ConnectorError, match="set by webhook"):
        await hook.do("post", {"url": "https://x.example", "headers": {"Webhook-Id": "1"}}, call("x"))

"""Posts webhooks, signed according to Standard Webhooks."""

import json
from time import time
from typing import Literal

from pydantic import Field

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    HttpAsk,
    Json,
    NetworkConnector,
    Options,
    check_url,
    operation,
    standard_signature,
    webhook_key,
)

__all__ = ["Post", "WebhookConnector", "sign"]

_RESERVED = ("webhook-id", "webhook-timestamp", "webhook-signature", "content-length", "host")


class Post(Options):
    """Where to post the step's input, and how to sign it."""

    url: str = Field(min_length=1)
    secret: str | None = Field(default=None, repr=False)
    """The key with which the receiver verifies the signature, as `"{{ secrets.NAME }}"`: `whsec_` followed by
    Base64, as receivers issue it, or any text. Without a key, nothing is signed."""
    format: Literal["json", "text"] = "json"
    """`text` sends a text unchanged."""
    wrap: str | None = Field(default=None, min_length=1)
    """The field in which to wrap the input, such as `text` for chats: `{"text": …}`."""
    headers: dict[str, str] = Field(default_factory=dict)


class WebhookConnector(NetworkConnector):
    """Posts webhooks that receivers can verify, and can deduplicate by their id."""

    name = "webhook"

    @operation(side_effects=True)
    async def post(self, parameters: Post, call: ConnectorCall) -> Json:
        """Post the step's input to an address, signed if a `secret` is given.

        The header `webhook-id` is the same for each attempt at a delivery, so that a receiver that stores ids
        accepts it only once. Declare that with `in_doubt: idempotent` in the step; otherwise an interrupted
        attempt is not repeated.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The receiver cannot be reached, or answers with an error.
        """
        check_url(parameters.url)
        if wrong := [name for name in parameters.headers if name.lower() in _RESERVED]:
            raise ConnectorError(f"the header {wrong[0]} is set by webhook.post itself", delivered=False)
        body, kind = _content(parameters, call.input)
        message, when = f"msg_{call.short_key()}", int(time())
        headers = {"content-type": kind, "webhook-id": message, "webhook-timestamp": str(when)}
        if parameters.secret is not None:
            headers["webhook-signature"] = sign(parameters.secret, message, when, body)
        found = await self.http(
            HttpAsk(url=parameters.url, method="POST", headers={**parameters.headers, **headers}, content=body)
        )
        return {"id": message, "status": found.status, "bytes": len(body)}


def _content(parameters: Post, value: Json) -> tuple[bytes, str]:
    if parameters.format == "text":
        if not isinstance(value, str):
            raise ConnectorError("`format: text` sends text, and the input is none", delivered=False)
        return value.encode("utf-8", "replace"), "text/plain; charset=utf-8"
    value = value if parameters.wrap is None else {parameters.wrap: value}
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), "application/json"


def sign(secret: str, message: str, when: int, body: bytes) -> str:
    """The signature of a webhook: HMAC-SHA256, as in the specification 1.0.0 of Standard Webhooks.

    Args:
        secret: `whsec_` and Base64, or any text.
        message: The webhook's id.
        when: Seconds since 1970.
        body: What is posted.

    Raises:
        ConnectorError: The secret is no Base64 after `whsec_`, or too short.
    """
    try:
        key = webhook_key(secret)
    except ValueError as error:
        hint = "take the secret that the receiver gave: `whsec_` and Base64 of its bytes, or a longer text"
        raise ConnectorError(str(error), hint=hint, delivered=False) from None
    return standard_signature(key, message, str(when), body)

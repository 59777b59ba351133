"""Signatures of webhooks: who sent what, and that it is not sent again by somebody else.

`standard` is https://www.standardwebhooks.com, specification 1.0.0; the others are what GitHub, Stripe and Slack
document. All are HMAC-SHA256 over the body and, except for GitHub's, the time.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal, NamedTuple

SignatureScheme = Literal["standard", "github", "stripe", "slack"]
PREFIX = "whsec_"
LEAST_KEY_BYTES = 16
"""Of a key of `standard`; its specification asks for 24 to 64."""
TOLERANCE_SECONDS = 300
"""By how much the time of a signature may be off: what is older may have been overheard."""
_SECONDS = re.compile(r"[0-9]{1,12}")


class SignatureWrong(Exception):
    """A webhook is not signed as it should be. Says why; a sender is told only that."""


class _Claim(NamedTuple):
    """What a webhook says of itself."""

    signatures: tuple[str, ...]
    signed: bytes
    sent_at: str | None
    message_id: str


def webhook_key(secret: str) -> bytes:
    """The key of `standard` that a secret stands for.

    Args:
        secret: `whsec_` and Base64, or any text.

    Raises:
        ValueError: It is no Base64 after `whsec_`, or too short.
    """
    if secret.startswith(PREFIX):
        try:
            key = b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError:
            raise ValueError(f"the webhook's secret is no Base64 after '{PREFIX}'") from None
    else:
        key = secret.encode()
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"the webhook's secret has {len(key)} bytes, fewer than {LEAST_KEY_BYTES}")
    return key


def standard_signature(key: bytes, message_id: str, sent_at: str, body: bytes) -> str:
    """The signature of `standard`, such as `v1,g0hM9SsE…`."""
    return _version_1(hmac.digest(key, _signed(message_id, sent_at, body), sha256))


def _version_1(digest: bytes) -> str:
    return f"v1,{b64encode(digest).decode()}"


def _signed(message_id: str, sent_at: str, body: bytes) -> bytes:
    """What a signature of `standard` is over."""
    return f"{message_id}.{sent_at}.".encode() + body


def verified(scheme: SignatureScheme, secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a webhook whose signature is right: the same for each attempt to deliver it.

    Args:
        scheme: How it is signed.
        secret: What both sides know.
        headers: Of the request; their names in lower case.
        body: As it was received.
        now: Seconds since 1970.

    Raises:
        SignatureWrong: It is not signed so, or too long ago.
        ValueError: The secret cannot be used.
    """
    claim = _CLAIMS[scheme](headers, body)
    if claim.sent_at is not None:
        if not _SECONDS.fullmatch(claim.sent_at):
            raise SignatureWrong("it does not say when it was sent")
        if abs(now - int(claim.sent_at)) > TOLERANCE_SECONDS:
            raise SignatureWrong(f"it was signed more than {TOLERANCE_SECONDS} seconds ago, or ahead")
    key = webhook_key(secret) if scheme == "standard" else secret.encode()
    digest = hmac.digest(key, claim.signed, sha256)
    expected = _version_1(digest) if scheme == "standard" else digest.hex()
    found = [hmac.compare_digest(one.encode(), expected.encode()) for one in claim.signatures]
    if not any(found):
        raise SignatureWrong("it has no signature that is right")
    return claim.message_id


def _standard(headers: Mapping[str, str], body: bytes) -> _Claim:
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id:
        raise SignatureWrong("it has no header webhook-id")
    signatures = tuple(headers.get("webhook-signature", "").split()[:10])
    return _Claim(signatures, _signed(message_id, sent_at, body), sent_at, message_id)


def _github(headers: Mapping[str, str], body: bytes) -> _Claim:
    said = headers.get("x-hub-signature-256", "").removeprefix("sha256=")
    # Its delivery's id is not signed: with another one, what was overheard would start another run.
    return _Claim((said,), body, None, sha256(body).hexdigest())


def _stripe(headers: Mapping[str, str], body: bytes) -> _Claim:
    parts = [part.partition("=") for part in headers.get("stripe-signature", "").split(",")[:20]]
    sent_at = next((value for name, _, value in parts if name.strip() == "t"), "")
    signatures = tuple(value for name, _, value in parts if name.strip() == "v1")
    return _Claim(signatures, f"{sent_at}.".encode() + body, sent_at, sha256(body).hexdigest())


def _slack(headers: Mapping[str, str], body: bytes) -> _Claim:
    sent_at = headers.get("x-slack-request-timestamp", "")
    said = headers.get("x-slack-signature", "").removeprefix("v0=")
    return _Claim((said,), f"v0:{sent_at}:".encode() + body, sent_at, sha256(body).hexdigest())


_CLAIMS = {"standard": _standard, "github": _github, "stripe": _stripe, "slack": _slack}

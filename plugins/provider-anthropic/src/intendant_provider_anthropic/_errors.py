"""The SDK's errors as ours: what was wrong, what to do, whether to try again, whether it may have been charged."""

import asyncio
import os
import re
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from intendant.plugin import ProviderError

if TYPE_CHECKING:
    from anthropic import APIStatusError

RETRYABLE = (408, 409, 429)
"""Besides all from 500 on; 529 is Anthropic's word for overload."""
AT_FAULT = (401, 402, 403, 404, 408, 429)
"""Besides all from 500 on: another call to the same model would fare no better. 400, 413 and 422 say that this
call is wrong."""
LONGEST = 300
"""Characters of the provider's message that are shown."""
TYPES: Mapping[str | None, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that goes with each type of error, for those that come in a stream or in a batch."""
_HINTS: Mapping[int, str] = {
    401: "check the key in ANTHROPIC_API_KEY",
    402: "check the account's credit",
    403: "the key in ANTHROPIC_API_KEY may not use this model",
    404: 'check the model\'s name; set another: plugins.settings."provider:anthropic".models',
    413: "send less: filter or summarize the input first",
    429: "send less at a time, or ask for a higher rate limit",
}
_KEY = re.compile(r"\bsk-[\w*-]+")
_SERVER = 500
_T = TypeVar("_T")


async def within(seconds: float, work: Awaitable[_T]) -> _T:
    """*work*, which may take this long in all, however often it gives a sign of life.

    Raises:
        ProviderError: It took longer; it may have been charged.
    """
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise _late() from None


def _late() -> ProviderError:
    return ProviderError("anthropic did not answer in time", retryable=True, billed=True)


def translated(error: Exception, *, begun: bool = False) -> ProviderError:
    """*error* as a `ProviderError`. Whatever it may be, it names no key.

    Args:
        error: What was raised.
        begun: True if an answer had begun, which is charged, and may come whole another time.
    """
    import anthropic
    import httpx2

    if isinstance(error, anthropic.APIStatusError):
        return _status(error, begun=begun)
    cause = error.__cause__ or error
    if not begun and isinstance(
        cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.UnsupportedProtocol
    ):
        # No connection was made, so that nothing was sent.
        message = f"anthropic cannot be reached: {safe(str(cause) or type(cause).__name__)}"
        return ProviderError(
            message, hint="check the network and ANTHROPIC_BASE_URL", retryable=True, billed=False
        )
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return _late()
    # While a stream is read, the SDK lets its HTTP library's errors through as they are.
    if isinstance(error, anthropic.APIConnectionError | httpx2.TransportError):
        message = f"the connection to anthropic broke off: {safe(str(cause) or type(cause).__name__)}"
        return ProviderError(message, retryable=True, billed=True)
    if isinstance(error, anthropic.CredentialsError):
        return ProviderError(f"anthropic: {safe(str(error))}", hint="set ANTHROPIC_API_KEY", billed=False)
    # Anything else, such as a reply that is no JSON, came after the call was sent.
    message = f"anthropic's reply cannot be read: {type(error).__name__}: {safe(str(error))}"
    return ProviderError(message, retryable=begun, billed=True)


def _status(error: "APIStatusError", *, begun: bool) -> ProviderError:
    """An error that the API answered with: nothing is charged, unless an answer had begun."""
    status = TYPES.get(error.type, _SERVER) if begun else error.status_code
    said = safe(error.api_message or error.message)
    headers = error.response.headers if not begun else {}
    wait = wait_of(headers)
    after = f" (it asks to wait {wait:g} s)" if wait is not None else ""
    kind = error.type or "an error"
    said = (
        f"broke the answer off with {kind}: {said}" if begun else f"refused the call with status {status}: {said}"
    )
    return refusal(
        f"anthropic {said}{after}", status, billed=begun, wait=wait, again=headers.get("x-should-retry")
    )


def refusal(
    message: str, status: int, *, billed: bool, wait: float | None = None, again: str | None = None
) -> ProviderError:
    """What a status means.

    Args:
        message: What was said.
        status: The status.
        billed: True if it may have been charged all the same.
        wait: Seconds to wait before the next call.
        again: The header `x-should-retry`, which overrules the status.
    """
    broke = "credit balance is too low" in message  # comes as 400, and does not pass
    passes = status in RETRYABLE or status >= _SERVER
    return ProviderError(
        message,
        hint=_HINTS[402] if broke else _HINTS.get(status, ""),
        retryable=not broke and (passes if again not in ("true", "false") else again == "true"),
        billed=billed,
        retry_after=wait,
        at_fault=broke or status in AT_FAULT or status >= _SERVER,
    )


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask to wait: milliseconds, seconds or a date; None if they do not say."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / scale
        except (KeyError, ValueError):
            continue
        if isfinite(seconds):
            return max(0.0, seconds)
    try:
        until = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def safe(text: str) -> str:
    """*text* in one line, shortened, with anything that looks like a key taken out."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        if key := os.environ.get(name):
            text = text.replace(key, "…")
    return _KEY.sub("sk-…", " ".join(text.split()))[:LONGEST]

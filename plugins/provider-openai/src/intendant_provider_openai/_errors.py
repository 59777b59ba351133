"""The SDK's errors as ours: what was wrong, what to do, whether to try again, whether it may have been charged."""

import asyncio
import os
import re
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from intendant.plugin import ProviderError

if TYPE_CHECKING:
    from openai import APIStatusError

RETRYABLE = (408, 409, 429)
"""Besides all from 500 on; those are the server's own faults."""
AT_FAULT = (401, 402, 403, 404, 408, 429)
"""Besides all from 500 on: another call to the same model would fare no better. 400, 413 and 422 say that this
call is wrong."""
LONGEST = 300
"""Characters of the provider's message that are shown."""
EMPTY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""What an account without credit is told; comes as 429, but does not pass."""
PASSING = ("server_error", "rate_limit_exceeded", "vector_store_timeout", "overloaded", "timeout")
"""Codes, without a status, of what may pass."""
_HINTS: Mapping[int, str] = {
    401: "check the key in OPENAI_API_KEY",
    402: "check the account's credit",
    403: "the key in OPENAI_API_KEY may not use this model",
    404: 'check the model\'s name; set another: plugins.settings."provider:openai".models',
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
    return ProviderError("openai did not answer in time", retryable=True, billed=True)


def translated(error: Exception, *, begun: bool = False) -> ProviderError:
    """*error* as a `ProviderError`. Whatever it may be, it names no key.

    Args:
        error: What was raised.
        begun: True if an answer had begun, which is charged, and may come whole another time.
    """
    import httpx2
    import openai

    if isinstance(error, openai.APIStatusError):
        return _status(error)
    cause = error.__cause__ or error
    if not begun and isinstance(
        cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.UnsupportedProtocol
    ):
        # No connection was made, so that nothing was sent.
        message = f"openai cannot be reached: {safe(str(cause) or type(cause).__name__)}"
        return ProviderError(message, hint="check the network and OPENAI_BASE_URL", retryable=True, billed=False)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return _late()
    if isinstance(error, openai.APIConnectionError | httpx2.TransportError):
        message = f"the connection to openai broke off: {safe(str(cause) or type(cause).__name__)}"
        return ProviderError(message, retryable=True, billed=True)
    if begun and isinstance(error, openai.APIError) and not isinstance(error, openai.APIResponseValidationError):
        return failure(f"openai broke the answer off: {error.message}", error.code or error.type, billed=True)
    # Anything else, such as a reply that is no JSON, came after the call was sent.
    message = f"openai's reply cannot be read: {type(error).__name__}: {safe(str(error))}"
    return ProviderError(message, retryable=begun, billed=True)


def _status(error: "APIStatusError") -> ProviderError:
    """A status that the server answered with: nothing is charged."""
    headers = error.response.headers
    wait = wait_of(headers)
    after = f" (it asks to wait {wait:g} s)" if wait is not None else ""
    said = f"openai refused the call with status {error.status_code}: {safe(_message(error))}{after}"
    again = headers.get("x-should-retry")
    return refusal(said, error.status_code, error.code, billed=False, wait=wait, again=again)


def refusal(
    message: str,
    status: int,
    code: str | None = None,
    *,
    billed: bool,
    wait: float | None = None,
    again: str | None = None,
) -> ProviderError:
    """What a status means.

    Args:
        message: What was said.
        status: The status.
        code: The API's own code of the error.
        billed: True if it may have been charged all the same.
        wait: Seconds to wait before the next call.
        again: The header `x-should-retry`, which overrules the status.
    """
    broke = code in EMPTY
    passes = status in RETRYABLE or status >= _SERVER
    return ProviderError(
        message,
        hint=_HINTS[402] if broke else _HINTS.get(status, ""),
        retryable=not broke and (passes if again not in ("true", "false") else again == "true"),
        billed=billed,
        retry_after=wait,
        at_fault=broke or status in AT_FAULT or status >= _SERVER,
    )


def failure(message: str, code: Any, *, billed: bool) -> ProviderError:
    """What an error without a status means: one that came in a stream, in a response, or in a batch."""
    if str(code).isdecimal():
        return refusal(safe(message), int(code), billed=billed)
    broke, passes = code in EMPTY, code is None or any(word in str(code) for word in PASSING)
    return ProviderError(
        safe(message),
        hint=_HINTS[402] if broke else "",
        retryable=passes,
        billed=billed,
        at_fault=broke or passes,
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


def _message(error: "APIStatusError") -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return said if isinstance(said, str) else error.message


def safe(text: str) -> str:
    """*text* in one line, shortened, with anything that looks like a key taken out."""
    if key := os.environ.get("OPENAI_API_KEY"):
        text = text.replace(key, "…")
    return _KEY.sub("sk-…", " ".join(text.split()))[:LONGEST]

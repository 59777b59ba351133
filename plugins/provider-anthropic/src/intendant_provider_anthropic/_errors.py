"""The SDK's errors as ours: what was wrong, what to do, whether to try again, whether it may have been charged."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from intendant import ProviderError

if TYPE_CHECKING:
    from anthropic import APIStatusError

RETRYABLE = (408, 409, 429)
"""Besides all from 500 on; 529 is Anthropic's word for overload."""
LONGEST = 300
"""Characters of the provider's message that are shown."""
_HINTS: Mapping[int, str] = {
    401: "check the key in ANTHROPIC_API_KEY",
    402: "check the account's credit",
    403: "the key in ANTHROPIC_API_KEY may not use this model",
    404: 'check the model\'s name; set another: plugins.settings."provider:anthropic".models',
    413: "send less: filter or summarize the input first",
    429: "send less at a time, or ask for a higher rate limit",
}
_KEY = re.compile(r"\bsk-[\w*-]+")


def translated(error: Exception) -> ProviderError:
    """*error* as a `ProviderError`. Whatever it may be, it names no key."""
    import anthropic
    import httpx2

    if isinstance(error, anthropic.APIStatusError):
        return _status(error)
    cause = error.__cause__ or error
    if isinstance(
        cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.UnsupportedProtocol
    ):
        # No connection was made, so that nothing was sent.
        message = f"anthropic cannot be reached: {_safe(str(cause) or type(cause).__name__)}"
        return ProviderError(
            message, hint="check the network and ANTHROPIC_BASE_URL", retryable=True, billed=False
        )
    if isinstance(error, anthropic.APITimeoutError):
        return ProviderError("anthropic did not answer in time", retryable=True, billed=True)
    if isinstance(error, anthropic.APIConnectionError):
        message = f"the connection to anthropic broke off: {_safe(str(cause) or type(cause).__name__)}"
        return ProviderError(message, retryable=True, billed=True)
    if isinstance(error, anthropic.CredentialsError):
        return ProviderError(f"anthropic: {_safe(str(error))}", hint="set ANTHROPIC_API_KEY", billed=False)
    # Anything else, such as a reply that is no JSON, came after the call was sent.
    return ProviderError(
        f"anthropic's reply cannot be read: {type(error).__name__}: {_safe(str(error))}", billed=True
    )


def _status(error: "APIStatusError") -> ProviderError:
    status = error.status_code
    said = error.api_message or error.message
    wait = error.response.headers.get("retry-after")
    after = f" (it asks to wait {wait} s)" if wait and wait.isdecimal() else ""
    return ProviderError(
        f"anthropic refused the call with status {status}: {_safe(said)}{after}",
        hint=_HINTS.get(status, ""),
        retryable=status in RETRYABLE or status >= 500,  # noqa: PLR2004  # the server's own faults
        billed=False,
    )


def _safe(text: str) -> str:
    """*text* in one line, shortened, with anything that looks like a key taken out."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        if key := os.environ.get(name):
            text = text.replace(key, "…")
    return _KEY.sub("sk-…", " ".join(text.split()))[:LONGEST]

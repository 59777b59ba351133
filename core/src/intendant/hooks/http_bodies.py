"""What vendors say in headers and in the bodies of errors, in the many forms in which they say it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any


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


def message_of(body: Any) -> str:
    """What an error's body says; empty if it says nothing.

    Servers write `{"error": {"message": …}}`, `{"error": "…"}`, `{"message": …}` or `{"detail": …}`.
    """
    if isinstance(body, str):
        return body
    if not isinstance(body, Mapping):
        return ""
    for name in ("error", "message", "detail", "error_msg"):
        if said := message_of(body.get(name)):
            return said
    return ""


def error_in(body: Mapping[str, Any]) -> tuple[str, Any] | None:
    """What an error that came with status 200 says, and its code; None if *body* is no error."""
    error = body.get("error")
    if error in (None, "", {}, False) and body.get("object") != "error" and body.get("type") != "error":
        return None
    parts = error if isinstance(error, Mapping) else body
    code = next(
        (parts[name] for name in ("code", "status", "type") if parts.get(name) not in (None, "", "error")), None
    )
    return message_of(body) or "it does not say why", code


_OVERFLOW = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum context|prompt is too long|input is too long"
    r"|exceeds? (?:the|its) (?:context|maximum number of (?:input )?tokens)|too (?:long|large) for model"
    r"|input token count|reduce the length of the (?:messages|prompt|input)|max_new_tokens`? must be",
    re.IGNORECASE,
)
_WINDOWS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"maximum context length (?:is|of) (\d[\d,]*)",
        r"(\d[\d,]*)[ -]token context",
        r"(\d[\d,]*) (?:tokens )?maximum",
        r"> (\d[\d,]*)\b",
        r"maximum number of (?:input )?tokens allowed \(?(\d[\d,]*)",
        r"must be <= (\d[\d,]*)",
        r"context (?:limit|size|window|length)\D{0,24}?(\d[\d,]*)",
    )
)
_WINDOW_FIELDS = ("n_ctx", "max_model_len", "max_context_length", "context_length", "context_window")


def is_overflow(message: str, code: Any, body: Any) -> bool:
    """True if an error says that the call is longer than the model's context window."""
    name = str(code or "").lower()
    kind = str(_part(body, "type") or "").lower()
    if any(
        "context" in word and ("length" in word or "size" in word or "window" in word) for word in (name, kind)
    ):
        return True
    return (
        name in ("", "400", "413", "422", "invalid_request_error", "none")
        and _OVERFLOW.search(message) is not None
    )


def window_of(message: str, body: Any) -> int | None:
    """Tokens of the context window that an error names; None if it names none."""
    for name in _WINDOW_FIELDS:
        value = _part(body, name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    found = next((match for pattern in _WINDOWS if (match := pattern.search(message))), None)
    return int(found[1].replace(",", "")) if found else None


def _part(body: Any, name: str) -> Any:
    """A field of an error, at its top or in its `error`."""
    if not isinstance(body, Mapping):
        return None
    inner = body.get("error")
    return body[name] if name in body else inner.get(name) if isinstance(inner, Mapping) else None

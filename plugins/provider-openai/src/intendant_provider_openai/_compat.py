"""How servers that speak OpenAI's protocol differ, as one table: what they refuse, and what they say otherwise.

A difference is found out by asking once: a server that refuses a field says so, the field is left out or renamed
for that server and model from then on, and the gateway sends the call again. The settings can state any of them
beforehand.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from intendant.plugin import Options, ProviderError

MaxTokens = Literal["max_tokens", "max_completion_tokens"]
StopReason = Literal["end", "length", "tool", "refusal", "other"]
SchemaForm = Literal["json_schema", "json_object", "words"]
_WEAKER: Mapping[SchemaForm, SchemaForm] = {"json_schema": "json_object", "json_object": "words"}


class CompatSettings(Options):
    """How a server that is not OpenAI's differs. What is not set is found out."""

    max_tokens: MaxTokens | None = None
    """The field that bounds an answer. By default `max_tokens`, which most servers know; `max_completion_tokens`
    at OpenAI."""
    schema_form: SchemaForm | None = None
    """How the shape of an answer is asked for: `json_schema`, `json_object` with the schema in words, or `words`
    alone."""
    stream_usage: bool | None = None
    """False if the server refuses `stream_options`; its streams are then charged with what was held."""
    system_role: bool | None = None
    """False if the model's template knows no system text; it is then put before the first message."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one model at one server is sent."""

    max_tokens: MaxTokens = "max_tokens"
    schema: SchemaForm = "json_schema"
    stream_usage: bool = True
    system_role: bool = True
    effort: bool = True
    """True if it may be said how much the model reasons."""
    temperature: bool = True
    tool_choice: bool = True
    most_output: int | None = None
    """The longest answer that the server admits; None if it has not said."""


def stated(settings: CompatSettings, *, own: bool) -> Dialect:
    """What the settings say, and what is usual where they do not."""
    return Dialect(
        max_tokens=settings.max_tokens or ("max_completion_tokens" if own else "max_tokens"),
        schema=settings.schema_form or "json_schema",
        stream_usage=settings.stream_usage is not False,
        system_role=settings.system_role is not False,
    )


# --- what is refused ---

Learn = Callable[[Dialect, re.Match[str]], Dialect]
_REFUSING = (400, 415, 422, 501)
_DENIAL = re.compile(
    r"un(?:supported|known|recogni[sz]ed|expected|available)|extra (?:fields?|inputs?)|additional propert|invalid"
    r"|not (?:be )?(?:supported|permitted|allowed|available|implemented|recogni[sz]ed|valid|found)"
    r"|does(?: not|n't) (?:support|accept)|forbidden|only (?:the )?(?:default|user|supports?)|instead"
    r"|must alternate|too large|at most|less than or equal|<=",
    re.IGNORECASE,
)
_FIELDS: tuple[tuple[str, re.Pattern[str], Learn], ...] = (
    (
        "an answer of that length",
        re.compile(
            r"max_(?:completion_)?tokens.{0,80}?"
            r"(?:at most|less than or equal to|<=|maximum(?: value)?(?: of| is)?)\D{0,12}(\d+)"
            r"|(?:at most|maximum(?: of)?)\D{0,4}(\d+) (?:completion|output)",
            re.IGNORECASE,
        ),
        lambda known, said: replace(known, most_output=int(said[1] or said[2])),
    ),
    (
        "max_tokens",
        re.compile(r"use 'max_completion_tokens'|max_completion_tokens' instead|max_tokens"),
        lambda known, _: replace(known, max_tokens="max_completion_tokens"),
    ),
    (
        "max_completion_tokens",
        re.compile(r"max_completion_tokens"),
        lambda known, _: replace(known, max_tokens="max_tokens"),
    ),
    (
        "response_format",
        re.compile(
            r"response_?format|json_?schema|json_?object|structured outputs?|guided|grammar", re.IGNORECASE
        ),
        lambda known, _: replace(known, schema=_WEAKER.get(known.schema, "words")),
    ),
    (
        "stream_options",
        re.compile(r"stream_options|include_usage"),
        lambda known, _: replace(known, stream_usage=False),
    ),
    (
        "reasoning_effort",
        re.compile(r"reasoning(?:_effort|\.effort)?|thinking", re.IGNORECASE),
        lambda known, _: replace(known, effort=False),
    ),
    ("temperature", re.compile(r"temperature", re.IGNORECASE), lambda known, _: replace(known, temperature=False)),
    ("tool_choice", re.compile(r"tool_choice"), lambda known, _: replace(known, tool_choice=False)),
    (
        "system",
        re.compile(
            r"system (?:role|messages?|prompts?|instructions?)|role.{0,12}system|roles must alternate",
            re.IGNORECASE,
        ),
        lambda known, _: replace(known, system_role=False),
    ),
)
"""A field that is sent, what an error about it says, and what is sent from then on."""


def learned(
    known: Dialect, error: ProviderError, sent: Mapping[str, Any], *, own: bool
) -> tuple[Dialect, str] | None:
    """What a refusal teaches about a server, and which field it was about; None if it teaches nothing.

    Args:
        known: What was known of the server and model.
        error: The refusal.
        sent: What was sent.
        own: True if OpenAI itself refused it; it knows schemas, and refuses wrong ones.
    """
    said = error.message
    if error.status not in _REFUSING or error.billed or _DENIAL.search(said) is None:
        return None
    for field, about, learn in _FIELDS:
        if (
            (own and field == "response_format")
            or not _is_sent(field, sent)
            or (found := about.search(said)) is None
        ):
            continue
        new = learn(known, found)
        if new != known:
            return new, field
    return None


def _is_sent(field: str, sent: Mapping[str, Any]) -> bool:
    if field == "an answer of that length":
        return bool({"max_tokens", "max_completion_tokens"} & sent.keys())
    if field == "system":
        return any(turn.get("role") == "system" for turn in sent.get("messages", ()))
    return field in sent


# --- what is said otherwise ---

STOPS: Mapping[str, StopReason] = {
    **dict.fromkeys(
        ("stop", "eos", "eos_token", "end_turn", "end", "stop_sequence", "complete", "completed"), "end"
    ),
    **dict.fromkeys(
        ("length", "max_tokens", "max_length", "model_length", "max_output_tokens", "incomplete"), "length"
    ),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool"),
    **dict.fromkeys(
        (
            "content_filter",
            "content_filtered",
            "refusal",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
        ),
        "refusal",
    ),
}
"""Why an answer ended, by what servers call it, in lower case."""
FAILED = ("error", "insufficient_system_resource", "aborted", "abort")
"""What servers call an answer that was not finished."""
CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_prompt_tokens")
"""What servers call the tokens that were read from their prompt cache, beside those of the input."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""What servers call reasoning that they show beside an answer."""


def stop_of(reason: Any) -> StopReason:
    """Why an answer ended."""
    return STOPS.get(str(reason).lower(), "other")


def text_in(content: Any) -> tuple[str, str]:
    """The text and the reasoning of an answer's content: a text, or a list of parts.

    Raises:
        TypeError: It is neither.
    """
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError(f"content of the type {type(content).__name__}")
    text: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, Mapping):
            kind = str(part.get("type", "text"))
            into = thoughts if kind in ("thinking", "reasoning") else text
            said = next((part[name] for name in ("text", "thinking", "reasoning", "refusal") if name in part), "")
            into.append(said if isinstance(said, str) else "".join(text_in(said)))
    return "".join(text), "".join(thoughts)

"""A reply where it enters: of the right type and size, with text that can be stored, and charged by figures that
can be true.
"""

from dataclasses import dataclass
from typing import Any

from intendant.hooks.providers import Hold
from intendant.hooks.reply_text import json_in, repaired, repaired_json, split_thoughts
from intendant.model.errors import ModelRefused, ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route
from intendant.spending.sizing import texts_of
from intendant.spending.usage_check import checked_usage

SHOWN = 200
"""Characters of a refusal that an error shows."""


@dataclass(frozen=True, slots=True)
class CheckedReply:
    """A reply that can be charged, stored and used."""

    reply: ModelReply
    corrected: str = ""
    """Why its usage is not what was reported; empty if it is."""
    answered_by: str = ""
    """The model that answered, where that is not the one that was asked."""


def checked_reply(
    reply: object,
    route: Route,
    request: ModelRequest,
    hold: Hold,
    *,
    max_bytes: int,
    charges: bool = True,
) -> CheckedReply:
    """A reply as the gateway goes on with it.

    Args:
        reply: What a provider returned.
        route: The model that was asked.
        request: What it was asked.
        hold: What is held for the call.
        max_bytes: The longest text that is taken, of the setting `calls.max_reply_bytes`.
        charges: False if the provider takes no tokens; what it reports is not looked at.

    Raises:
        ProviderError: It is no reply, too large, or reports what cannot be true. It may have been charged.
    """
    if not isinstance(reply, ModelReply):
        message = f"the provider '{route.provider}' returned {type(reply).__name__}, not a ModelReply"
        raise ProviderError(message, hint="this is a fault of the plugin; report it there")
    if (size := len(reply.text) + len(reply.reasoning)) > max_bytes:
        raise ProviderError(
            f"{route.provider}/{route.model} answered with {size} characters, more than are taken",
            hint=f"if such answers are meant, raise calls.max_reply_bytes ({max_bytes})",
            at_fault=True,
        )
    reply = _clean(reply, request)
    if not charges:
        return CheckedReply(reply)
    checked = checked_usage(reply, hold, texts_of(request))
    update: dict[str, Any] = {} if checked.usage == reply.usage else {"usage": checked.usage}
    if reply.stop_reason in ("end", "tool") and checked.usage.output_tokens >= hold.max_output_tokens:
        update["stop_reason"] = "length"  # Some servers say that an answer ended where it was cut.
    reply = reply.model_copy(update=update) if update else reply
    answered_by = "" if is_same_model(route.model, reply.answered_by) else reply.answered_by
    return CheckedReply(reply, checked.corrected, answered_by)


def _clean(reply: ModelReply, request: ModelRequest) -> ModelReply:
    """The reply with text that can be stored, reasoning told from the answer, and the answer's data read."""
    text, thoughts = split_thoughts(repaired(reply.text))
    reasoning = "\n".join(part for part in (repaired(reply.reasoning), thoughts) if part)
    data = reply.data
    if data is None and request.json_schema is not None and not reply.calls:
        data = json_in(text, request.json_schema)
    found = {
        "text": text,
        "reasoning": reasoning,
        "data": repaired_json(data),
        "raw": repaired_json(reply.raw),
        "calls": tuple(
            call.model_copy(
                update={
                    "arguments": repaired_json(dict(call.arguments)),
                    **{name: repaired(getattr(call, name)) for name in ("id", "name", "malformed")},
                }
            )
            for call in reply.calls
        ),
        **{
            name: repaired(getattr(reply, name))
            for name in ("request_id", "response_id", "batch_id", "answered_by")
        },
    }
    changed = {name: value for name, value in found.items() if value != getattr(reply, name)}
    return reply.model_copy(update=changed) if changed else reply


def refused(reply: ModelReply) -> ModelRefused:
    """The error for a reply in which the model refused to answer."""
    said = " ".join(reply.text.split())[:SHOWN]
    message = f"{reply.provider}/{reply.model} refused to answer" + (f": {said!r}" if said else "")
    return ModelRefused(message, hint="ask otherwise, or set calls.refusals to `keep` to use what it says")


def is_same_model(asked: str, answered: str) -> bool:
    """True if *answered* is a name of the model *asked*: the name itself, with a date or version after it, or with
    its maker's name, a path or a file's ending around it. True if it is not said who answered.
    """
    short, said = (_short(name) for name in (asked, answered))
    if not said or short == said:
        return True
    longer, start = max(short, said, key=len), min(short, said, key=len)
    rest = longer.removeprefix(start)
    return rest != longer and rest[:1] in "-@:_" and any(char.isdigit() for char in rest) and len(rest) > 1


def _short(name: str) -> str:
    base = name.strip().lower().replace("\\", "/").rpartition("/")[2]
    for ending in (".gguf", ".bin", ".safetensors", ":latest"):
        base = base.removesuffix(ending)
    return base

"""What is kept of a prompt, for later calls that begin with it."""

import json
from collections.abc import Collection
from hashlib import sha256
from typing import Any

from intendant_provider_openai._ask import Ask

BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}
"""Ends what is kept. It is kept for half an hour at least; for longer, there is no published price."""


def options(ask: Ask) -> dict[str, Any]:
    """What is said of keeping, apart from the places.

    Models that would keep any prompt, and charge for it, are told to keep only what is marked. Calls that belong
    together have one key, which brings them to the same machine.
    """
    said: dict[str, Any] = {}
    if ask.own and ask.request.cache_marks:
        said["prompt_cache_key"] = _key(ask)
    if ask.markable and not ask.implicit:
        said["prompt_cache_options"] = {"mode": "explicit"}
    return said


def places(ask: Ask) -> Collection[int]:
    """After which turns a breakpoint stands; 0: after the system text. A model's own turn can carry none, so that
    a mark there moves to the turn before it.
    """
    if not ask.markable:
        return ()
    turns = ask.request.messages
    found = set()
    for mark in ask.request.cache_marks:
        at = min(mark.messages, len(turns))
        while at and turns[at - 1].role == "assistant":
            at -= 1
        found.add(at)
    return found


def _key(ask: Ask) -> str:
    """The same for all calls that begin alike: tools, system text and, if it is marked, the first turn."""
    request = ask.request
    first = request.messages[:1] if any(mark.messages for mark in request.cache_marks) else ()
    parts = [request.system, *(tool.model_dump_json() for tool in request.tools)]
    parts += [turn.model_dump_json(include={"role", "content", "images"}) for turn in first]
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]

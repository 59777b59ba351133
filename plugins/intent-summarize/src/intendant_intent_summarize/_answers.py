"""A model's answer as JSON."""

import json

from intendant.plugin import Json, ModelReply, StepError

SHOWN = 120
"""Characters of a wrong answer that are shown."""


def parsed(reply: ModelReply) -> Json:
    """The answer as data.

    Raises:
        StepError: It is not JSON.
    """
    if reply.data is not None:
        return reply.data
    try:
        return json.loads(_bare(reply.text), parse_constant=_refuse)
    except (ValueError, RecursionError):
        beginning = " ".join(reply.text.split())[:SHOWN]
        hint = "give the step more tokens" if reply.stop_reason == "length" else "retry the step, or ask for text"
        raise StepError(f"the model was asked for JSON and answered: {beginning}", hint=hint) from None


def _bare(text: str) -> str:
    """The text without the fence that models like to put around JSON."""
    lines = text.strip().splitlines()
    fenced = len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else text


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")

"""A model's answer as JSON."""

from intendant.plugin import Json, ModelReply, StepError, json_in, why_no_json

SHOWN = 120
"""Characters of a wrong answer that are shown."""


def parsed(reply: ModelReply, hint: str) -> Json:
    """The answer as data.

    Args:
        reply: The answer.
        hint: What to do where it broke off.

    Raises:
        StepError: It is not JSON.
    """
    if reply.data is not None:
        return reply.data
    if (found := json_in(reply.text)) is not None or reply.text.strip() == "null":
        return found
    beginning = " ".join(reply.text.split())[:SHOWN]
    hint = hint if reply.stop_reason == "length" else "retry the step, or ask for text"
    why = why_no_json(reply.text)
    raise StepError(f"the model was asked for JSON and answered otherwise ({why}): {beginning}", hint=hint)

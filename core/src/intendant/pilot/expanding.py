"""Lets a model ask for parts of what compression left out, before it answers."""

from typing import Protocol

from intendant.model.requests import Message, ModelRequest, PromptReuse
from intendant.model.results import ModelReply, ToolCall
from intendant.planning import receipts
from intendant.spending.calls import OnText


class Expander(Protocol):
    """What sends the calls, and knows what was left out."""

    async def send(self, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """One call."""

    def expanded(self, handle: str, part: str, wanted: int) -> str:
        """A part of the original with this handle, of about so many tokens."""


async def complete_expanding(
    client: Expander, request: ModelRequest, expansions: int, on_text: OnText | None
) -> ModelReply:
    """Ask, and give parts of what was left out, at most *expansions* times; then the model has to answer."""
    messages = request.messages
    for left in range(expansions, -1, -1):
        choice = {"tools": (receipts.EXPAND,), "tool_choice": "auto" if left else "none"}
        reuse = PromptReuse(messages=len(messages), calls=left) if left else None
        asked = request.model_copy(update={"messages": messages, "reuse": reuse, **choice})
        # What a model says beside a tool call is no part of the answer.
        reply = await client.send(asked, None if left else on_text)
        if not reply.calls or reply.stop_reason == "length":
            break
        raw = None if any(call.malformed for call in reply.calls) else reply.raw
        said = Message(role="assistant", content=reply.text, calls=reply.calls, raw=raw)
        results = [Message(role="tool", content=_given(client, call), answers=call.id) for call in reply.calls]
        messages = (*messages, said, *results)
    return reply


def _given(client: Expander, call: ToolCall) -> str:
    handle, part, wanted = receipts.asked_of(call.arguments)
    if call.name != receipts.EXPAND.name:
        return f"[there is no tool '{call.name}']"
    return client.expanded(handle, part, wanted)

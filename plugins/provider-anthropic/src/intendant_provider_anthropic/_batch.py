"""Calls that may wait, for half the price: the Message Batches API."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from intendant.plugin import Hold, ModelReply, ModelRequest, ProviderError
from intendant_provider_anthropic._errors import TYPES, refusal, safe
from intendant_provider_anthropic._wire import parameters, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

Calls = Sequence[tuple[Hold, ModelRequest]]
Answer = ModelReply | ProviderError
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the API admits as `custom_id`."""


def id_of(key: str) -> str:
    """The same name for the same call each time, of a form that the API admits."""
    return key if _ID.fullmatch(key) else sha256(key.encode()).hexdigest()


async def submit(client: "AsyncAnthropic", calls: Calls, effort: str | None) -> str:
    """Send a batch; returns its id."""
    requests = [
        {"custom_id": id_of(hold.key), "params": parameters(hold, request, effort)} for hold, request in calls
    ]
    batch = await client.messages.batches.create(requests=requests)  # type: ignore[arg-type]
    return batch.id


async def answers(client: "AsyncAnthropic", batch: str, calls: Calls) -> Mapping[str, Answer] | None:
    """What became of each call; None while any is being worked on.

    Raises:
        ProviderError: The answers are gone, or came in part.
    """
    found = await client.messages.batches.retrieve(batch)
    if found.processing_status != "ended":
        return None
    if not found.results_url:
        raise ProviderError(f"anthropic keeps the answers of batch {batch} no longer", billed=True)
    named = {id_of(hold.key): (hold, request) for hold, request in calls}
    made: dict[str, Answer] = {}
    succeeded = 0
    lines = await client.messages.batches.results(batch)
    try:
        async for line in lines:
            succeeded += line.result.type == "succeeded"
            if line.custom_id in named:
                hold, request = named[line.custom_id]
                made[hold.key] = _answer(line.result, hold, request)
    finally:
        await lines.close()
    if succeeded < found.request_counts.succeeded:
        # A call that is missing counts as not charged, so that a list that was cut must not pass for the whole.
        message = f"anthropic sent {succeeded} of {found.request_counts.succeeded} answers of batch {batch}"
        raise ProviderError(message, retryable=True, billed=True)
    return made


def _answer(result: Any, hold: Hold, request: ModelRequest) -> Answer:
    if result.type == "succeeded":
        try:
            return reply_of(result.message, hold, request, lane="batch")
        except ProviderError as error:
            return error
    if result.type == "errored":
        said = result.error.error
        message = f"anthropic could not do a call of a batch: {safe(str(said.message))}"
        return refusal(message, TYPES.get(said.type, 500), billed=False)
    why = {"expired": "was not reached within a day", "canceled": "was given up"}.get(result.type, result.type)
    message = f"a call of a batch at anthropic {why}"
    return ProviderError(message, retryable=True, billed=False, at_fault=False)

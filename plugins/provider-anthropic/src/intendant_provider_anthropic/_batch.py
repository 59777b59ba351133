"""Calls that may wait, for half the price: the Message Batches API."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from intendant.plugin import Hold, ModelReply, ProviderError, batch_id_of
from intendant_provider_anthropic._ask import Ask
from intendant_provider_anthropic._vendor import ERRORS
from intendant_provider_anthropic._wire import parameters, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

Calls = Sequence[tuple[Hold, Ask]]
Answer = ModelReply | ProviderError


async def submit(client: "AsyncAnthropic", calls: Calls) -> str:
    """Send a batch; returns its id."""
    requests = [{"custom_id": batch_id_of(hold.key), "params": parameters(hold, ask)} for hold, ask in calls]
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
    named = {batch_id_of(hold.key): (hold, ask) for hold, ask in calls}
    made: dict[str, Answer] = {}
    succeeded = 0
    lines = await client.messages.batches.results(batch)
    try:
        async for line in lines:
            succeeded += line.result.type == "succeeded"
            if line.custom_id in named:
                hold, ask = named[line.custom_id]
                made[hold.key] = _answer(line.result, hold, ask, batch)
    finally:
        await lines.close()
    if succeeded < found.request_counts.succeeded:
        # A call that is missing counts as not charged, so that a list that was cut must not pass for the whole.
        message = f"anthropic sent {succeeded} of {found.request_counts.succeeded} answers of batch {batch}"
        raise ProviderError(message, retryable=True, billed=True)
    return made


def _answer(result: Any, hold: Hold, ask: Ask, batch: str) -> Answer:
    if result.type == "succeeded":
        try:
            return reply_of(result.message, hold, ask, lane="batch", batch=batch)
        except (ProviderError, AttributeError, TypeError, ValueError) as error:
            return ERRORS.of(error)
    if result.type == "errored":
        said = result.error.error
        message = f"anthropic could not do a call of a batch: {ERRORS.safe(str(said.message))}"
        return ERRORS.failure(message, said.type, billed=False)
    why = {"expired": "was not reached within a day", "canceled": "was given up"}.get(result.type, result.type)
    message = f"a call of a batch at anthropic {why}"
    return ProviderError(message, retryable=True, billed=False, at_fault=False)

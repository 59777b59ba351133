"""Calls that may wait, for half the price: the Batch API, which is given a file and gives two back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from intendant.plugin import Hold, ModelReply, ProviderError, batch_id_of
from intendant_provider_openai import _chat, _responses
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._vendor import ERRORS

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Calls = Sequence[tuple[Hold, Ask]]
Answer = ModelReply | ProviderError
KEPT_SECONDS = 3 * 24 * 3600
"""How long the files are kept at OpenAI; a batch takes a day at most."""
_UNFINISHED = ("validating", "in_progress", "finalizing", "cancelling")
_GIVEN_UP = ("batch_expired", "batch_cancelled", "batch_canceled")
"""What happened to a call that was not reached; by itself it may be answered."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of one of the two APIs."""

    client: "AsyncOpenAI"
    api: Literal["responses", "chat"]

    async def submit(self, calls: Calls) -> str:
        """Send a batch; returns its id."""
        path: Literal["/v1/chat/completions", "/v1/responses"]
        path = "/v1/chat/completions" if self.api == "chat" else "/v1/responses"
        words = _chat if self.api == "chat" else _responses
        lines: list[dict[str, Any]] = [
            {
                "custom_id": batch_id_of(hold.key),
                "method": "POST",
                "url": path,
                "body": words.parameters(hold, ask),
            }
            for hold, ask in calls
        ]
        for line in lines:
            line["body"].pop("service_tier", None)  # A batch is a tier of its own.
        file = await self.client.files.create(
            file=("calls.jsonl", "\n".join(map(json.dumps, lines)).encode()),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": KEPT_SECONDS},
        )
        batch = await self.client.batches.create(
            completion_window="24h",
            endpoint=path,
            input_file_id=file.id,
            output_expires_after={"anchor": "created_at", "seconds": KEPT_SECONDS},
        )
        return batch.id

    async def answers(self, batch: str, calls: Calls) -> Mapping[str, Answer] | None:
        """What became of each call; None while any is being worked on.

        Raises:
            ProviderError: The answers came in part.
        """
        found = await self.client.batches.retrieve(batch)
        if found.status in _UNFINISHED:
            return None
        if found.status == "failed":
            said = [
                ERRORS.safe(str(error.message)) for error in (found.errors.data if found.errors else None) or ()
            ]
            message = f"openai refused the batch: {'; '.join(said[:3]) or 'it does not say why'}"
            return {hold.key: ProviderError(message, billed=False, at_fault=False) for hold, _ in calls}
        answered = await self._lines(found.output_file_id)
        expected = found.request_counts.completed if found.request_counts else 0
        if len(answered) < expected:
            # A call that is missing counts as not charged: a list that was cut must not pass for the whole.
            message = f"openai sent {len(answered)} of {expected} answers of batch {batch}"
            raise ProviderError(message, retryable=True, billed=True)
        named = {batch_id_of(hold.key): (hold, ask) for hold, ask in calls}
        made: dict[str, Answer] = {}
        for line in [*answered, *await self._lines(found.error_file_id)]:
            if (name := line.get("custom_id")) in named:
                hold, ask = named[name]
                made[hold.key] = self._answer(line, hold, ask, batch)
        return made

    async def _lines(self, file: str | None) -> list[dict[str, Any]]:
        if file is None:
            return []
        content = await self.client.files.content(file)
        return [json.loads(line) for line in content.content.splitlines() if line.strip()]

    def _answer(self, line: Mapping[str, Any], hold: Hold, ask: Ask, batch: str) -> Answer:
        if error := _map(line.get("error")):
            code = error.get("code") or "unknown"
            message = f"openai could not do a call of a batch: {error.get('message') or code}"
            if code in _GIVEN_UP:
                return ProviderError(ERRORS.safe(message), retryable=True, billed=False, at_fault=False)
            return ERRORS.failure(message, code, billed=False)
        response = _map(line.get("response"))
        body, status = _map(response.get("body")), response.get("status_code")
        if status != 200:  # noqa: PLR2004  # done
            error = _map(body.get("error"))
            said = (
                f"openai refused a call of a batch with status {status}: {ERRORS.safe(str(error.get('message')))}"
            )
            return ERRORS.refusal(
                said, status if isinstance(status, int) else 500, error.get("code"), billed=False
            )
        try:
            return self._reply(body, hold, ask, response.get("request_id"), batch)
        except (ProviderError, AttributeError, TypeError, ValueError) as broken:
            return ERRORS.of(broken)

    def _reply(self, body: dict[str, Any], hold: Hold, ask: Ask, request_id: str | None, batch: str) -> ModelReply:
        from openai.types.chat import ChatCompletion
        from openai.types.responses import Response

        words: Any = _chat if self.api == "chat" else _responses
        kind: Any = ChatCompletion if self.api == "chat" else Response
        made: ModelReply = words.reply_of(
            kind.construct(**body), hold, ask, lane="batch", request_id=request_id, batch=batch
        )
        return made


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

"""Calls that may wait: collected for a moment, sent as one batch, and asked for until they are answered.

Batches cost half with the providers that take them, and are answered within hours, mostly within minutes. A call
that has no answer when its time is over is taken out of the lane; its caller sends it by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from intendant.config.logs import get_logger
from intendant.hooks.providers import BatchAnswers, Hold, Provider
from intendant.model.errors import ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply

GATHER_SECONDS = 2.0
"""How long a batch waits for more calls."""
MOST_CALLS = 1000
POLL_SECONDS = (1.0, 60.0)
"""Seconds between two questions whether a batch is done: the first time, and at most."""
CLOSING_SECONDS = 120.0
"""How long before the time of a batch is over it is given up, so that its provider can say what became of it."""
log = get_logger("intendant.batches")


Sending = Callable[[], Awaitable[None]]
"""Notes that a call is sent now; raises where it must not be."""


class _Waiting(NamedTuple):
    hold: Hold
    request: ModelRequest
    until: float
    answer: "asyncio.Future[ModelReply]"
    sending: Sending


class BatchLanes:
    """The batches of an engine, a lane for each provider.

    Args:
        gather_seconds: How long a batch waits for more calls.
        poll_seconds: Seconds between two questions whether it is done: the first time, and at most.
    """

    def __init__(
        self, gather_seconds: float = GATHER_SECONDS, poll_seconds: tuple[float, float] = POLL_SECONDS
    ) -> None:
        self._gather = gather_seconds
        self._poll = poll_seconds
        self._gathered: dict[str, list[_Waiting]] = {}
        self._out: set[asyncio.Task[None]] = set()

    async def answer(self, provider: Provider, hold: Hold, request: ModelRequest, sending: Sending) -> ModelReply:
        """The answer to a call that may wait `hold.timeout` seconds.

        Args:
            provider: Whose lane it goes in.
            hold: What is held for it.
            request: What is asked.
            sending: Called before the batch is handed in: until then nothing can have been charged.

        Raises:
            ProviderError: It was refused, or not answered in time (then it says so, and that nothing was charged).
        """
        waiting = self._gathered.setdefault(provider.name, [])
        answer = asyncio.get_running_loop().create_future()
        call = _Waiting(hold, request, monotonic() + hold.timeout, answer, sending)
        waiting.append(call)
        if len(waiting) >= MOST_CALLS:
            self._send(provider)
        elif len(waiting) == 1:
            self._start(self._gather_and_send(provider))
        return await call.answer

    async def close(self) -> None:
        """Stop asking. What is out stays held until its hold expires."""
        for task in list(self._out):
            task.cancel()
        await asyncio.gather(*self._out, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _gather_and_send(self, provider: Provider) -> None:
        await asyncio.sleep(self._gather)
        self._send(provider)

    def _send(self, provider: Provider) -> None:
        # Who gave up while the batch was gathered is not sent.
        calls = [call for call in self._gathered.pop(provider.name, ()) if not call.answer.done()]
        if calls:
            self._start(self._worked(provider, calls))

    async def _worked(self, provider: Provider, gathered: list[_Waiting]) -> None:
        noted = await asyncio.gather(*(call.sending() for call in gathered), return_exceptions=True)
        for call, error in zip(gathered, noted, strict=True):
            if error is not None and not call.answer.done():
                call.answer.set_exception(error)
        calls = [call for call in gathered if not call.answer.done()]
        if not calls:
            return
        try:
            answers = await self._answers(provider, calls)
        except ProviderError as error:
            # Refused as a whole, it may be that there are no batches: each call is sent by itself then.
            log.warning("batch_failed", provider=provider.name, calls=len(calls), error=error.message)
            answers = {call.hold.key: error for call in calls} if error.billed else {}
        except BaseException as error:
            failed = ProviderError(f"{provider.name}'s batch failed: {type(error).__name__}: {error}", billed=True)
            _tell(calls, {call.hold.key: failed for call in calls})
            raise
        _tell(calls, answers)

    async def _answers(self, provider: Provider, calls: list[_Waiting]) -> BatchAnswers:
        sent = [(call.hold, call.request) for call in calls]
        batch = await provider.submit_batch(sent)
        until = min(call.until for call in calls)
        closing = until - min(CLOSING_SECONDS, (until - monotonic()) / 4)
        wait, most = self._poll
        given_up = False
        while True:
            await asyncio.sleep(wait)
            wait = min(most, wait * 1.5)
            with suppress(ProviderError):  # it cannot be asked now; the next time it may
                answers = await provider.batch_answers(batch, sent)
                if answers is not None:
                    return answers
            if monotonic() > until:
                raise ProviderError(f"{provider.name}'s batch {batch} did not end in time", billed=True)
            if monotonic() > closing and not given_up:
                given_up, wait = True, self._poll[0]
                log.warning("batch_given_up", provider=provider.name, batch=batch, calls=len(calls))
                with suppress(ProviderError):
                    await provider.cancel_batch(batch)


def _tell(calls: list[_Waiting], answers: Mapping[str, ModelReply | ProviderError]) -> None:
    missing = ProviderError("it was not answered in its batch", retryable=True, billed=False, at_fault=False)
    for call in calls:
        if call.answer.done():
            continue
        found = answers.get(call.hold.key, missing)
        if isinstance(found, ProviderError):
            call.answer.set_exception(found)
        else:
            call.answer.set_result(found)

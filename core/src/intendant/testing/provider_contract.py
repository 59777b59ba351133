"""What providers promise, as tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pytest

from intendant.hooks.providers import Hold, Provider
from intendant.model.errors import ProviderError
from intendant.model.requests import Message, ModelRequest
from intendant.model.results import ModelReply
from intendant.testing.contract_base import PluginContract
from intendant.testing.watching import cancelled_within, watched

HELD_OUTPUT = 40
"""The longest answer, in tokens, that the contract's holds pay for."""
REQUEST = ModelRequest(messages=(Message(content="Which ships are late?"),), max_output_tokens=4000)
FREE = (400, 401, 404, 422, 429)
"""Statuses of answers for which no vendor charges."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the vendor does in a test."""

    model: str = "contract-model"
    """The only model that is asked."""
    text: str = "Two ships are late."
    input_tokens: int = 12
    """What it reports."""
    output_tokens: int = 6
    status: int = 200
    """The HTTP status of its answer."""
    hangs: bool = False
    """It accepts the request, and never answers."""


_HOLD = Hold("contract", 2000, 1_000_000, HELD_OUTPUT, Scenario().model, 20.0)


class Peer(NamedTuple):
    """A provider in front of a vendor's stand-in."""

    provider: Provider
    limit: Callable[[], int | None]
    """The longest answer, in tokens, that the last request asked for."""


class ProviderContract(PluginContract):
    """What providers promise.

    Example:
        ```python
        class TestAcme(ProviderContract):
            plugin = AcmeProvider

            @asynccontextmanager
            async def peer(self, scenario):
                server = WireServer()
                server.answer(HANG if scenario.hangs else acme_reply(scenario), scenario.status)
                async with server.running() as url:
                    yield Peer(AcmeProvider({"base_url": url}), lambda: server.asked()["max_tokens"])
        ```
    """

    plugin: ClassVar[type[Provider]]
    request: ClassVar[ModelRequest] = REQUEST
    """What it is asked. Providers that ask no model may need another request."""

    @asynccontextmanager
    async def peer(self, scenario: Scenario) -> AsyncIterator[Peer]:  # noqa: ARG002  # for subclasses
        """The provider, in front of something that does what *scenario* says. Providers that ask no model need not
        override it.
        """
        made: Provider = self.make()
        if made.charges:
            self.unsaid("override `peer`, so that the contract can call the provider")
        elif self.request is REQUEST and self.swept:
            self.unsaid("say a `request` that it answers")
        yield Peer(made, lambda: None)

    def test_tells_its_models_without_a_network(self) -> None:
        """Whether it can be used and which models it has is known at once."""
        made = self.make()
        assert isinstance(made.available(), bool)
        assert all(isinstance(tier, str) and isinstance(model, str) for tier, model in made.models().items())

    @watched
    async def test_answers_with_what_the_vendor_reports(self) -> None:
        """The text and the figures of an answer are the vendor's."""
        scenario = Scenario()
        async with self.peer(scenario) as (provider, _):
            reply = await self._call(provider)
        assert isinstance(reply, ModelReply), f"it gave {type(reply).__name__}, not a ModelReply"
        named = (reply.provider, reply.model)
        asked = (provider.name, scenario.model)
        assert named == asked, f"the reply names {named}, and {asked} were asked"
        if not provider.charges:
            return
        assert reply.text == scenario.text, f"it gave {reply.text!r} for {scenario.text!r}"
        said = (reply.usage.input_tokens, reply.usage.output_tokens)
        told = (scenario.input_tokens, scenario.output_tokens)
        assert said == told, f"the vendor reports {told} tokens in and out, and it says {said}"

    @watched
    async def test_asks_for_no_longer_answer_than_is_held(self) -> None:
        """The vendor is told the limit of the hold, whatever the request asks for."""
        async with self.peer(Scenario()) as (provider, limit):
            self._pass_if_free(provider)
            await self._call(provider)
            assert limit() == HELD_OUTPUT, f"the hold pays for {HELD_OUTPUT} tokens, and {limit()} were asked for"

    @pytest.mark.parametrize("status", [*FREE, 500, 503])
    @watched
    async def test_raises_provider_errors(self, status: int) -> None:
        """What the vendor refuses is a `ProviderError`, which says whether it may have been charged."""
        async with self.peer(Scenario(status=status)) as (provider, _):
            self._pass_if_free(provider)
            with pytest.raises(ProviderError) as raised:
                await self._call(provider)
        if status in FREE:
            assert not raised.value.billed, f"an answer with status {status} is not charged: say billed=False"
        if status in (429, 503):
            assert raised.value.retryable, f"status {status} passes: say retryable=True"

    @watched
    async def test_ends_when_it_is_cancelled(self) -> None:
        """A call that waits for the vendor ends at once when it is cancelled."""
        async with self.peer(Scenario(hangs=True)) as (provider, _):
            self._pass_if_free(provider)
            await provider.warm()
            call = asyncio.create_task(provider.complete(_HOLD, self.request))
            await asyncio.wait({call}, timeout=0.3)
            assert not call.done(), "it answered though the vendor did not"
            assert await cancelled_within(call), "it does not end when it is cancelled"
            await provider.close()

    def _pass_if_free(self, provider: Provider) -> None:
        if not provider.charges:
            pytest.skip(f"{provider.name} asks no model")

    async def _call(self, provider: Provider) -> ModelReply:
        try:
            await provider.warm()
            return await provider.complete(_HOLD, self.request)
        finally:
            await provider.close()

"""How many tokens a request takes, before it is sent: counted, or bounded."""

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from time import monotonic
from typing import NamedTuple

from intendant.config.logs import get_logger
from intendant.hooks.hints import install_hint
from intendant.hooks.providers import Bound, Provider, TokenCounting
from intendant.model.errors import PluginLoadError, ProviderError
from intendant.model.requests import Message, ModelRequest, Tool
from intendant.model.results import Route
from intendant.spending.tokens import CountCorrection, TokenCounter, counter_for, profile_of

ASK_ABOVE = 2048
"""A provider that counts is asked where the upper bound is above this: three quarters of it are most likely not
needed, and asking takes a round trip."""
ASK_FROM, ASK_SHARE = 512, 0.25
"""Also above this, where the bound is more than this share of the tokens that are left."""
REMEMBERED_COUNTS = 256
PAUSE_SECONDS = 30.0
"""How long a provider is not asked to count after it did not answer."""
PRETTY = 4
"""Columns by which templates indent JSON at most."""

log = get_logger("intendant.gateway")


class Counted(NamedTuple):
    """Input tokens of a request, and what that figure is."""

    tokens: int
    bound: Bound


class Sizes:
    """Counts for the models of an engine.

    Args:
        providers: By name. bound: `proven`: what cannot be counted is bounded. `likely`: it is estimated, and
        estimates are corrected by
            what providers report.
    """

    def __init__(self, providers: Mapping[str, Provider], bound: Bound = "likely") -> None:
        self._providers = providers
        self._proven = bound == "proven"
        self._corrections = CountCorrection()
        self._countings: dict[tuple[str, str], TokenCounting] = {}
        self._breaches: dict[str, float] = {}
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._silent_until: dict[str, float] = {}

    def provider(self, route: Route) -> Provider:
        """The provider of *route*.

        Raises:
            PluginLoadError: It is not installed.
        """
        try:
            return self._providers[route.provider]
        except KeyError:
            raise PluginLoadError(
                f"the provider '{route.provider}' is not installed",
                hint=install_hint("provider", route.provider, self._providers),
            ) from None

    def counting(self, route: Route) -> TokenCounting:
        """How tokens are counted for the model of *route*."""
        key = (route.provider, route.model)
        if key not in self._countings:
            self._countings[key] = self.provider(route).token_counting(route.model)
        return self._countings[key]

    @cached_property
    def _reference(self) -> Callable[[str], int] | None:
        """The tokenizer by which estimates are made: the first that a provider has here."""
        found = (provider.tokenizer() for provider in self._providers.values())
        return next((tokenizer for tokenizer in found if tokenizer is not None), None)

    # --- texts ---

    def counter(self, route: Route) -> TokenCounter:
        """Counts a text that is being fitted into what is left. An upper bound, unless the provider counts whole
        requests itself: then an estimate, because its count will decide.
        """
        if self._proven and self.provider(route).counts_tokens(route.model) is not True:
            return self.upper(route)
        return self._likely(route)

    def upper(self, route: Route) -> TokenCounter:
        """Counts what is held for a text."""
        return self._raised(route, self._counter(route, proven=True)) if self._proven else self._likely(route)

    def _likely(self, route: Route) -> TokenCounter:
        counter = self._counter(route, proven=False)
        if counter.exact:
            return counter
        name = _name(route)

        def count(text: str) -> int:
            return math.ceil(self._corrections.factor(name, profile_of(text)) * counter(text))

        return TokenCounter(count, exact=False)

    def _counter(self, route: Route, *, proven: bool) -> TokenCounter:
        how = self.counting(route)
        known = how.count is not None or proven
        return counter_for(how, None if known else self._reference, proven=proven)

    def _raised(self, route: Route, counter: TokenCounter) -> TokenCounter:
        """The counter, raised by as much as a model was seen to exceed its bound."""
        factor = self._breaches.get(_name(route), 1.0)
        if factor == 1.0 or counter.exact:
            return counter
        return TokenCounter(lambda text: math.ceil(factor * counter(text)), exact=False)

    # --- requests ---

    def input_tokens(self, route: Route, request: ModelRequest) -> int:
        """Tokens that are held for the input of a request where the provider does not count them."""
        count, how = self.upper(route), self.counting(route)
        total = how.request + sum(count(text) + how.message for text in texts_of(request) if text)
        if request.json_schema is not None:
            total += how.schema + self._structure(route, request.json_schema)
        if pictures := sum(len(message.images) for message in request.messages):
            total += pictures * how.image
        return total + self.tool_tokens(route, request.tools)

    def tool_tokens(self, route: Route, tools: Sequence[Tool]) -> int:
        """Tokens that are held in each call for offering *tools*."""
        if not tools:
            return 0
        return self.counting(route).tools + sum(self._structure(route, tool.model_dump()) for tool in tools)

    def _structure(self, route: Route, value: object) -> int:
        """Tokens of JSON that a provider writes into the prompt itself, in a form that is not known: at most
        indented, and with every character escaped that may be.
        """
        count, how = self.upper(route), self.counting(route)
        if count.bound != "proven":
            return count(json.dumps(value)) + how.message
        text = json.dumps(value, indent=PRETTY)
        return count(text) + 5 * sum(text.count(sign) for sign in "<>&'") + how.message

    async def measure(self, route: Route, request: ModelRequest, room: int | None) -> Counted:
        """Input tokens of a request. The provider is asked where it counts and the bound is high.

        Args:
            route: The model.
            request: What it is asked.
            room: Tokens that are left for the call; None if there is no limit.
        """
        bounded = self.input_tokens(route, request)
        counter = self.upper(route)
        if self._proven and counter.bound != "exact" and self._is_worth_asking(bounded, room):
            counted = await self.counted(route, request)
            if counted is not None and counted < bounded:
                return Counted(counted, "exact")
        return Counted(bounded, counter.bound)

    @staticmethod
    def _is_worth_asking(bounded: int, room: int | None) -> bool:
        if bounded > ASK_ABOVE:
            return True
        return room is not None and bounded > max(ASK_FROM, ASK_SHARE * room)

    async def counted(self, route: Route, request: ModelRequest) -> int | None:
        """Input tokens of a request as the provider counts them; None if it does not."""
        provider, name = self.provider(route), _name(route)
        if self.upper(route).exact or provider.counts_tokens(route.model) is False:
            return None
        key = _digest(name, request)
        if key in self._counts:
            self._counts.move_to_end(key)
            return self._counts[key]
        if self._silent_until.get(name, 0.0) > monotonic():
            return None
        try:
            found = await provider.count_tokens(route.model, request)
        except ProviderError as error:
            log.info("count_failed", provider=route.provider, model=route.model, error=error.message)
            found = None
        except Exception as error:  # a plugin's fault in counting leaves the bound
            log.warning("plugin_raised", plugin=provider.key, exc_info=error)
            found = None
        if found is None:
            self._silent_until[name] = monotonic() + PAUSE_SECONDS
            return None
        margin = self.counting(route).margin
        self._counts[key] = math.ceil(found * margin) + (margin > 1)
        if len(self._counts) > REMEMBERED_COUNTS:
            self._counts.popitem(last=False)
        return self._counts[key]

    # --- learning ---

    def observe(self, route: Route, counted: int, reported: int, request: ModelRequest | None = None) -> None:
        """Learn from a call.

        Args:
            route: The model.
            counted: Input tokens that were held.
            reported: Input tokens that were charged.
            request: What was asked; without it, only an excess is learned from.
        """
        name = _name(route)
        if reported > counted > 0 and self.upper(route).bound != "exact":
            log.warning("bound_exceeded", provider=route.provider, model=route.model, held=counted, took=reported)
            self._breaches[name] = self._breaches.get(name, 1.0) * reported / counted
        if self._proven or request is None:
            return
        texts = "\n".join(filter(None, texts_of(request)))
        profile = profile_of(texts)
        factor = self._corrections.factor(name, profile)
        self._corrections.observe(name, int(counted / factor), reported, profile)


def texts_of(request: ModelRequest) -> Sequence[str]:
    """What is sent of a request, apart from pictures, tools and a schema."""
    return (request.system, *map(_sent, request.messages))


def _name(route: Route) -> str:
    return f"{route.provider}/{route.model}"


def _sent(message: Message) -> str:
    """What is sent of a turn: its text and calls, or all of the provider's own form."""
    if message.raw is not None:
        return json.dumps(message.raw, ensure_ascii=False)
    if not message.calls:
        return message.content
    calls = [call.model_dump() for call in message.calls]
    return f"{message.content}{json.dumps(calls, ensure_ascii=False)}"


def _digest(name: str, request: ModelRequest) -> str:
    """The same for all requests that take the same tokens."""
    asked = request.model_dump(exclude={"max_output_tokens", "cache_marks", "reuse", "source", "task"})
    return sha256(f"{name}\x1f{json.dumps(asked, default=str)}".encode()).hexdigest()

"""How many tokens a request takes, counted before it is sent: exactly where that can be, else from above."""

import json
import math
from collections.abc import Mapping, Sequence

from intendant.hooks.hints import install_hint
from intendant.hooks.providers import Provider, TokenCounting
from intendant.model.errors import PluginLoadError
from intendant.model.requests import Message, ModelRequest, Tool
from intendant.model.results import Route
from intendant.spending.tokens import MESSAGE_OVERHEAD, CountCorrection, TokenCounter, counter_for


class Sizes:
    """Counts for the models of an engine, and learns from what providers report.

    Args:
        providers: By name.
    """

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._corrections = CountCorrection()
        self._countings: dict[tuple[str, str], TokenCounting] = {}

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

    def counter(self, route: Route) -> TokenCounter:
        """Counts tokens for the model of *route*."""
        counter = counter_for(self.counting(route))
        factor = 1.0 if counter.exact else self._corrections.factor(_name(route))
        if factor == 1.0:
            return counter
        return TokenCounter(lambda text: math.ceil(factor * counter(text)), exact=False)

    def input_tokens(self, route: Route, request: ModelRequest) -> int:
        """An upper bound of the tokens of a request."""
        return self.request_tokens(route, request)[0]

    def request_tokens(self, route: Route, request: ModelRequest) -> tuple[int, bool]:
        """The tokens of a request, and whether they are exact or an upper bound."""
        count = self.counter(route)
        texts = [request.system, *map(_sent, request.messages)]
        if request.json_schema:
            texts.append(json.dumps(request.json_schema))
        tokens = sum(count(text) + MESSAGE_OVERHEAD for text in texts if text)
        pictures = sum(len(message.images) for message in request.messages)
        if pictures:
            tokens += pictures * self.counting(route).image
        if request.tools:
            tokens += self.tool_tokens(route, request.tools)
        return tokens, count.exact

    def tool_tokens(self, route: Route, tools: Sequence[Tool]) -> int:
        """Tokens that offering *tools* takes in each call, counted from above."""
        if not tools:
            return 0
        count = self.counter(route)
        return self.counting(route).tools + sum(count(tool.model_dump_json()) + MESSAGE_OVERHEAD for tool in tools)

    def observe(self, route: Route, counted: int, reported: int) -> None:
        """Learn from a call of which *counted* input tokens were expected and *reported* were charged."""
        model = _name(route)
        self._corrections.observe(model, int(counted / self._corrections.factor(model)), reported)


def _name(route: Route) -> str:
    return f"{route.provider}/{route.model}"


def _sent(message: Message) -> str:
    """What is sent of a turn: its text, or all of the provider's own form."""
    return message.content if message.raw is None else json.dumps(message.raw, ensure_ascii=False)

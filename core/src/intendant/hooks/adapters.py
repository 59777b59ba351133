"""Connects plugins to the hooks, and checks what they answer: the one place for both.

There is an adapter for each kind that answers a question. It decides whether its plugin is meant, asks it, and
checks the answer's type and range; so a plugin's method has the name of the hook's verb and none of its rules. A
plugin that raises, or answers wrongly, has not answered: that is logged with its name, and the next plugin is
asked. A budget strategy's fault is an error instead, because no other strategy is asked.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from intendant.config.logs import get_logger
from intendant.hooks.bases import BudgetStrategy, Classifier, Compressor, IntentHandler, Tier
from intendant.hooks.specs import hookimpl
from intendant.model.errors import IntendantError, PluginError
from intendant.model.requests import (
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    RouteRequest,
    StepRequest,
)
from intendant.model.results import Allocation, Classification, Compression, Route, StepResult

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")
log = get_logger("intendant.plugins")


class HandlerAdapter:
    """Claims the steps of a handler's intent."""

    def __init__(self, plugin: IntentHandler[Any]) -> None:
        self._plugin = plugin

    @hookimpl
    def handle_intent(self, request: StepRequest[Any]) -> "Awaitable[StepResult] | None":
        """See `intendant.hooks.specs.handle_intent`."""
        return self._plugin.handle(request) if request.intent == self._plugin.spec.name else None


class CompressorAdapter:
    """Claims content that a compressor is asked for and has not tried.

    Attributes:
        compressor: The compressor.
    """

    def __init__(self, plugin: Compressor) -> None:
        self.compressor = plugin

    @hookimpl
    def compress(self, request: CompressRequest) -> "Compression | Awaitable[Compression | None] | None":
        """See `intendant.hooks.specs.compress`."""
        plugin = self.compressor
        asked = request.strategy in ("auto", plugin.name)
        if not asked or plugin.name in request.tried or (request.lossless_only and not plugin.lossless):
            return None
        return asked_of(plugin.key, plugin.compress, request, Compression)


class TierAdapter:
    """Claims steps for a tier that was not excluded."""

    def __init__(self, plugin: Tier) -> None:
        self._plugin = plugin

    @hookimpl
    def route(self, request: RouteRequest) -> Route | None:
        """See `intendant.hooks.specs.route`."""
        plugin = self._plugin
        if plugin.name in request.excluded:
            return None
        answer = asked_of(plugin.key, plugin.route, request, Route)
        return None if inspect.isawaitable(answer) else answer


class BudgetAdapter:
    """Answers where a budget strategy is the configured one."""

    def __init__(self, plugin: BudgetStrategy) -> None:
        self._plugin = plugin

    @hookimpl
    def allocate_budget(self, request: BudgetRequest) -> Allocation | None:
        """See `intendant.hooks.specs.allocate_budget`."""
        plugin = self._plugin
        if request.strategy != plugin.name:
            return None
        try:
            answer = plugin.allocate(request)
        except Exception as error:
            message = f"the budget strategy '{plugin.name}' failed: {type(error).__name__}: {error}"
            raise PluginError(message) from error
        if fault := fault_of(request, answer, Allocation):
            raise PluginError(f"{plugin.key} {fault}")
        return answer


class ClassifierAdapter:
    """Asks a classifier about every step."""

    def __init__(self, plugin: Classifier) -> None:
        self._plugin = plugin

    @hookimpl
    def classify(self, request: ClassifyRequest) -> "Classification | Awaitable[Classification | None] | None":
        """See `intendant.hooks.specs.classify`."""
        return asked_of(self._plugin.key, self._plugin.classify, request, Classification)


ADAPTERS: Mapping[str, Callable[[Any], object]] = {
    "intent": HandlerAdapter,
    "compress": CompressorAdapter,
    "tier": TierAdapter,
    "budget": BudgetAdapter,
    "classify": ClassifierAdapter,
}
"""By kind. Plugins of other kinds answer no question; an extension's own hook implementations are registered."""


def asked_of(
    plugin: str,
    ask: "Callable[[RequestT], AnswerT | Awaitable[AnswerT | None] | None]",
    request: RequestT,
    kind: type[AnswerT],
) -> "AnswerT | Awaitable[AnswerT | None] | None":
    """A plugin's answer if it is right, else None; an awaitable answer is checked when it is awaited."""
    try:
        answer = ask(request)
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised", plugin=plugin)
        return None
    if answer is None:
        return None
    return (
        _awaited(plugin, answer, request, kind)
        if inspect.isawaitable(answer)
        else (_right(plugin, answer, request, kind))
    )


async def _awaited(plugin: str, answer: Awaitable[Any], request: object, kind: type[AnswerT]) -> AnswerT | None:
    try:
        found = await answer
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised", plugin=plugin)  # it claimed the request, so no other plugin is asked
        return None
    return None if found is None else _right(plugin, found, request, kind)


def _right(plugin: str, answer: Any, request: object, kind: type[AnswerT]) -> AnswerT | None:
    fault = fault_of(request, answer, kind)
    if not fault:
        return answer  # type: ignore[no-any-return]  # `fault_of` has looked at its type
    log.error("plugin_answer_refused", plugin=plugin, reason=fault)
    return None


def fault_of(request: object, answer: Any, kind: type) -> str:
    """What is wrong with an answer; empty if nothing is.

    The compression chain counts a compressed text again and measures what survived, whatever a compressor says of
    `tokens_after`, `lossless` and `quality`; so only its type is checked here.
    """
    if not isinstance(answer, kind):
        return f"answered with {type(answer).__name__}, not with {kind.__name__}"
    match request, answer:
        case CompressRequest(lossless_only=True), Compression(lossless=False, preserving=False):
            return "answered in the lossless round with a text that is not lossless"
        case ClassifyRequest(threshold=threshold), Classification(confidence=sure) if sure < threshold:
            return f"answered with confidence {sure}, below the threshold {threshold}"
        case RouteRequest(), Route():
            return _fault_of_route(request, answer)
        case BudgetRequest(), Allocation():
            return _fault_of_allocation(request, answer)
    return ""


def _fault_of_route(request: RouteRequest, answer: Route) -> str:
    known = [offer.provider for offer in request.offers]
    if answer.provider not in known:
        return f"chose the provider '{answer.provider}', which is not among those that can be used: {known}"
    return "" if answer.max_output_tokens >= 1 else f"allows {answer.max_output_tokens} output tokens"


def _fault_of_allocation(request: BudgetRequest, answer: Allocation) -> str:
    lines = {line.step_id for line in request.lines}
    for step, tokens in answer.tokens.items():
        if step not in lines:
            return f"allocated tokens to '{step}', which is not a step that needs any"
        if tokens < 0:
            return f"allocated {tokens} tokens to '{step}'"
    return ""

"""Connects plugins to the hooks: one adapter for each kind that answers a question.

An adapter decides whether its plugin is meant, asks it, and checks the answer; so a plugin's method has the
same name as the hook and none of its rules. A plugin that raises something other than an `IntendantError`
declines, which is logged, and the next plugin is asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from intendant.config.logs import get_logger
from intendant.hooks.answers import check_allocation, check_classification, check_compression, check_route
from intendant.hooks.bases import BudgetStrategy, Classifier, Compressor, IntentHandler, Plugin, Tier
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

AnswerT = TypeVar("AnswerT")
log = get_logger("intendant.plugins")


def _contained(plugin: Plugin, ask: Callable[[], AnswerT]) -> AnswerT | None:
    """The plugin's answer; None where its own code fails."""
    try:
        return ask()
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised", plugin=plugin.key)
        return None


class HandlerAdapter:
    """Claims the steps of a handler's intent."""

    def __init__(self, plugin: IntentHandler[Any]) -> None:
        self._plugin = plugin

    @hookimpl
    def handle_intent(self, request: StepRequest[Any]) -> "Awaitable[StepResult] | None":
        """See `intendant.hooks.specs.handle_intent`."""
        return self._plugin.handle(request) if request.intent == self._plugin.spec.name else None


class CompressorAdapter:
    """Claims content that a compressor is asked for and has not tried."""

    def __init__(self, plugin: Compressor) -> None:
        self._plugin = plugin

    @hookimpl
    def compress(self, request: CompressRequest) -> "Compression | Awaitable[Compression | None] | None":
        """See `intendant.hooks.specs.compress`."""
        plugin = self._plugin
        asked = request.strategy in ("auto", plugin.name)
        if not asked or plugin.name in request.tried or (request.lossless_only and not plugin.lossless):
            return None
        answer = _contained(plugin, lambda: plugin.compress(request))
        return check_compression(plugin.key, request, answer)


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
        return check_route(plugin.key, request, _contained(plugin, lambda: plugin.route(request)))


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
        return check_allocation(plugin.key, request, answer)


class ClassifierAdapter:
    """Asks a classifier about every step."""

    def __init__(self, plugin: Classifier) -> None:
        self._plugin = plugin

    @hookimpl
    def classify(self, request: ClassifyRequest) -> "Classification | Awaitable[Classification | None] | None":
        """See `intendant.hooks.specs.classify`."""
        plugin = self._plugin
        answer = _contained(plugin, lambda: plugin.classify(request))
        return check_classification(plugin.key, request, answer)


ADAPTERS: Mapping[str, Callable[[Any], object]] = {
    "intent": HandlerAdapter,
    "compress": CompressorAdapter,
    "tier": TierAdapter,
    "budget": BudgetAdapter,
    "classify": ClassifierAdapter,
}
"""By kind. Plugins of other kinds answer no question; an extension's own hook implementations are registered."""

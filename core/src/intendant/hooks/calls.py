"""Asks the five questions. The only caller of the plugin manager's hooks, and their typed face."""

import inspect
from collections.abc import Awaitable
from typing import TypeVar

import pluggy

from intendant.model.errors import IntendantError
from intendant.model.logs import get_logger
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


class Questions:
    """The five questions, asked of the plugins of one engine."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._hook = manager.hook

    async def classify(self, request: ClassifyRequest) -> Classification | None:
        """Which intent has this step? None if nobody is sure."""
        return await _settled(self._hook.classify(request=request))

    def allocate_budget(self, request: BudgetRequest) -> Allocation | None:
        """How is this run's budget shared? None if the strategy is not installed."""
        answer: Allocation | None = self._hook.allocate_budget(request=request)
        return answer

    async def compress(self, request: CompressRequest) -> Compression | None:
        """Can this be made smaller? None if nobody can."""
        return await _settled(self._hook.compress(request=request))

    def route(self, request: RouteRequest) -> Route | None:
        """Which model does this step? None if no tier takes it."""
        answer: Route | None = self._hook.route(request=request)
        return answer

    def handle_intent(self, request: StepRequest) -> Awaitable[StepResult] | None:
        """Do this step. None if no handler claims it."""
        answer: Awaitable[StepResult] | None = self._hook.handle_intent(request=request)
        return answer


async def _settled(answer: AnswerT | Awaitable[AnswerT | None] | None) -> AnswerT | None:
    if not inspect.isawaitable(answer):
        return answer
    try:
        return await answer
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised")  # claimed, and then failed: nobody answers
        return None

"""Asks the five questions: the only caller of the plugin manager's hooks, and their typed face."""

import inspect
from collections.abc import Awaitable
from typing import Any, TypeVar

import pluggy

from intendant.hooks.answers import check_allocation, check_classification, check_route, check_type
from intendant.model.requests import (
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    RouteRequest,
    StepRequest,
)
from intendant.model.results import Allocation, Classification, Compression, Route, StepResult

AnswerT = TypeVar("AnswerT")
EXTENSION = "an extension"
"""Named in errors where a hook implementation without a base class answered."""


class Questions:
    """The five questions, asked of the plugins of one engine."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._hook = manager.hook

    async def classify(self, request: ClassifyRequest) -> Classification | None:
        """Which intent has this step? None if no classifier is sure."""
        return await _settled(check_classification(EXTENSION, request, self._hook.classify(request=request)))

    def allocate_budget(self, request: BudgetRequest) -> Allocation | None:
        """How is this run's budget shared? None if the strategy is not installed."""
        answer = self._hook.allocate_budget(request=request)
        return None if answer is None else check_allocation(EXTENSION, request, answer)

    async def compress(self, request: CompressRequest) -> Compression | None:
        """Can this be made smaller? None if no compressor can."""
        return await _settled(check_type(EXTENSION, self._hook.compress(request=request), Compression))

    def route(self, request: RouteRequest) -> Route | None:
        """Which model does this step? None if no tier takes it."""
        return check_route(EXTENSION, request, self._hook.route(request=request))

    def handle_intent(self, request: StepRequest[Any]) -> Awaitable[StepResult] | None:
        """Do this step. None if no handler claims it."""
        answer: Awaitable[StepResult] | None = self._hook.handle_intent(request=request)
        return answer


async def _settled(answer: AnswerT | Awaitable[AnswerT | None] | None) -> AnswerT | None:
    return await answer if inspect.isawaitable(answer) else answer

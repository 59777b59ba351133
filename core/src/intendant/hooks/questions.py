"""Asks the five questions: the only caller of the plugin manager's hooks, and their typed face."""

import asyncio
import inspect
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

import pluggy

from intendant.hooks.adapters import CompressorAdapter, fault_of
from intendant.hooks.bases import Compressor
from intendant.model.errors import PluginError
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
        return _right(request, await _settled(self._hook.classify(request=request)), Classification)

    def allocate_budget(self, request: BudgetRequest) -> Allocation | None:
        """How is this run's budget shared? None if the strategy is not installed."""
        return _right(request, self._hook.allocate_budget(request=request), Allocation)

    async def compress(self, request: CompressRequest, *, in_thread: bool = False) -> Compression | None:
        """Can this be made smaller? None if no compressor can.

        Args:
            request: The text, and how small it should be.
            in_thread: Ask in a thread, so that the event loop goes on; an answer to be awaited is awaited in it.
        """
        ask = partial(self._hook.compress, request=request)
        answer = await asyncio.to_thread(ask) if in_thread else ask()
        return _right(request, await _settled(answer), Compression)

    def compressors(self) -> tuple[Compressor, ...] | None:
        """Those that are asked, in order; None if something else answers too, or wraps their answers."""
        asked = [each.plugin for each in reversed(self._hook.compress.get_hookimpls())]
        found = tuple(each.compressor for each in asked if isinstance(each, CompressorAdapter))
        return found if len(found) == len(asked) else None

    def route(self, request: RouteRequest) -> Route | None:
        """Which model does this step? None if no tier takes it."""
        return _right(request, self._hook.route(request=request), Route)

    def handle_intent(self, request: StepRequest[Any]) -> Awaitable[StepResult] | None:
        """Do this step. None if no handler claims it."""
        answer: Awaitable[StepResult] | None = self._hook.handle_intent(request=request)
        return answer


def _right(request: object, answer: Any, kind: type[AnswerT]) -> AnswerT | None:
    """An answer, checked once more, because an extension's hook implementation may have given it.

    Raises:
        PluginError: It is of the wrong type or range.
    """
    if answer is None:
        return None
    if fault := fault_of(request, answer, kind):
        raise PluginError(f"{EXTENSION} {fault}", hint="this is a fault of the extension; report it there")
    return answer  # type: ignore[no-any-return]  # `fault_of` has looked at its type


async def _settled(answer: AnswerT | Awaitable[AnswerT | None] | None) -> AnswerT | None:
    return await answer if inspect.isawaitable(answer) else answer

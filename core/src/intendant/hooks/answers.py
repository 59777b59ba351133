"""Checks what plugins answer: type and range, in one place.

An answer of the wrong type or range is the plugin's fault. It is logged with the plugin's name, and counts as no
answer, so that the next plugin is asked; a budget strategy's wrong answer is an error, because no other one is
asked. An awaitable answer is checked when it is awaited.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from intendant.config.logs import get_logger
from intendant.model.errors import IntendantError, PluginError
from intendant.model.requests import BudgetRequest, ClassifyRequest, CompressRequest, RouteRequest
from intendant.model.results import Allocation, Classification, Compression, Route

AnswerT = TypeVar("AnswerT")
log = get_logger("intendant.plugins")


def _fault_logged(plugin: str, fault: str) -> None:
    log.error("plugin_answer_refused", plugin=plugin, reason=fault)


def _checked(
    plugin: str, answer: Any, kind: type[AnswerT], fault_of: Callable[[AnswerT], str]
) -> "AnswerT | Awaitable[AnswerT | None] | None":
    """The answer, or None where it is wrong; an awaitable answer is checked when it is awaited."""
    if answer is None:
        return None
    if inspect.isawaitable(answer):
        return _awaited(plugin, answer, kind, fault_of)
    return _valid(plugin, answer, kind, fault_of)


async def _awaited(
    plugin: str, answer: Awaitable[Any], kind: type[AnswerT], fault_of: Callable[[AnswerT], str]
) -> AnswerT | None:
    try:
        found = await answer
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised", plugin=plugin)  # it claimed the request and then failed: no answer
        return None
    return None if found is None else _valid(plugin, found, kind, fault_of)


def _valid(plugin: str, answer: Any, kind: type[AnswerT], fault_of: Callable[[AnswerT], str]) -> AnswerT | None:
    if not isinstance(answer, kind):
        _fault_logged(plugin, f"it answered with {type(answer).__name__}, not with {kind.__name__}")
        return None
    if fault := fault_of(answer):
        _fault_logged(plugin, fault)
        return None
    return answer


def check_type(plugin: str, answer: Any, kind: type[AnswerT]) -> "AnswerT | Awaitable[AnswerT | None] | None":
    """An answer, if it is of the right type."""
    return _checked(plugin, answer, kind, lambda _found: "")


def check_compression(
    plugin: str, request: CompressRequest, answer: Any
) -> "Compression | Awaitable[Compression | None] | None":
    """A compressor's answer, if it may be used.

    The chain counts the text again and measures what survived, whatever the compressor says of `tokens_after`,
    `lossless` and `quality`.
    """

    def fault_of(found: Compression) -> str:
        if request.lossless_only and not (found.lossless or found.preserving):
            return "it answered in the lossless round with a text that is not lossless"
        return ""

    return _checked(plugin, answer, Compression, fault_of)


def check_classification(
    plugin: str, request: ClassifyRequest, answer: Any
) -> "Classification | Awaitable[Classification | None] | None":
    """A classifier's answer, if it is sure enough."""

    def fault_of(found: Classification) -> str:
        if found.confidence < request.threshold:
            return f"it answered with confidence {found.confidence}, below the threshold {request.threshold}"
        return ""

    return _checked(plugin, answer, Classification, fault_of)


def check_route(plugin: str, request: RouteRequest, answer: Any) -> Route | None:
    """A tier's answer, if it names a provider that can be used."""

    def fault_of(found: Route) -> str:
        known = [offer.provider for offer in request.offers]
        if found.provider not in known:
            return f"it chose the provider '{found.provider}', which is not among {', '.join(known) or 'none'}"
        return "" if found.max_output_tokens >= 1 else f"it allows {found.max_output_tokens} output tokens"

    found = _checked(plugin, answer, Route, fault_of)
    if inspect.isawaitable(found):
        raise PluginError(f"{plugin} answered `route` with an awaitable", hint="answer with a Route or None")
    return found


def check_allocation(plugin: str, request: BudgetRequest, answer: Any) -> Allocation:
    """A budget strategy's answer.

    Raises:
        PluginError: It is not an Allocation, names a step that is not there, or has a share below 0.
    """
    if not isinstance(answer, Allocation):
        raise PluginError(f"{plugin} answered with {type(answer).__name__}, not with an Allocation")
    lines = {line.step_id for line in request.lines}
    for step, tokens in answer.tokens.items():
        if step not in lines:
            raise PluginError(f"{plugin} allocated tokens to '{step}', which is not a step that needs any")
        if tokens < 0:
            raise PluginError(f"{plugin} allocated {tokens} tokens to '{step}'")
    return answer

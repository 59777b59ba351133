"""Shadow mode: what sharing and routing would have decided, beside what is done."""

from collections.abc import Iterator, Mapping

from intendant.config.logs import get_logger
from intendant.hooks.sharing import share
from intendant.model.requests import BudgetRequest
from intendant.model.results import Allocation, Route
from intendant.planning.decided import ShadowDecision, StepPlan

log = get_logger("intendant.planning")


def acting(flags: Mapping[str, bool]) -> Mapping[str, bool]:
    """The flags that a run goes by: in shadow mode neither sharing nor routing is on."""
    return {**flags, "token_governance_enabled": False, "routing_enabled": False} if flags["shadow"] else flags


def equal_shares(request: BudgetRequest, strategy: str) -> Allocation:
    """The same for each step, as far as its cap allows: where sharing is off, or a strategy fails."""
    caps = {line.step_id: line.cap for line in request.lines}
    return Allocation(tokens=share(request.total, dict.fromkeys(caps, 1.0), caps=caps), strategy=strategy)


def compared(done: Mapping[str, StepPlan], wanted: Mapping[str, StepPlan]) -> Iterator[ShadowDecision]:
    """What would have been otherwise, step by step.

    Args:
        done: The plans that are carried out.
        wanted: Those that sharing and routing would have made.
    """
    for key, plan in done.items():
        other = wanted[key]
        if not plan.needs_model:
            continue
        if plan.tokens != other.tokens:
            yield ShadowDecision(
                step_id=key,
                what="sharing",
                wanted=f"{other.tokens} tokens",
                instead=f"{plan.tokens} tokens",
                saved_micro_usd=0,
            )
        if _model(plan.route) != _model(other.route):
            yield ShadowDecision(
                step_id=key,
                what="routing",
                wanted=_model(other.route),
                instead=_model(plan.route),
                saved_micro_usd=_saved(plan, other),
            )


def _model(route: Route | None) -> str:
    return "none" if route is None else f"{route.tier}: {route.provider}/{route.model}"


def _saved(plan: StepPlan, other: StepPlan) -> int | None:
    """What the other model would have saved, for as many tokens as the step has."""
    costs = (plan.estimated_micro_usd, other.estimated_micro_usd)
    if costs[0] is None or costs[1] is None or not other.tokens:
        return None
    return costs[0] - round(costs[1] * plan.tokens / other.tokens)


def shares_without(request: BudgetRequest, reason: str) -> Allocation:
    """Equal shares, where the strategy fails: a run that can be done is not lost because of it."""
    log.error("budget_strategy_failed", strategy=request.strategy, reason=reason)
    return equal_shares(request, f"{request.strategy} (failed)")

"""Watches a run's budget instead of enforcing it, where `budget.run_limit` is `watch`."""

from typing import Literal

from intendant import events
from intendant.planning.decided import Plan
from intendant.record.journal import Journal

CHARGED = ("answered", "in_doubt", "cut_off")


class LimitWatch:
    """Records each call with which a run is beyond its budget: it would have been refused.

    Args:
        journal: The run's journal.
        tokens: The run's limit; None for none.
        micro_usd: The same in micro-US$.
        spent: Tokens and micro-US$ that planning took.
    """

    def __init__(
        self, journal: Journal, tokens: int | None, micro_usd: int | None, spent: tuple[int, int] = (0, 0)
    ) -> None:
        self._journal = journal
        self._limits = (tokens, micro_usd)
        self._spent = spent

    def __call__(self, event: events.Event) -> None:
        """A listener."""
        if not isinstance(event, events.TokensSettled) or event.outcome not in CHARGED:
            return
        self._spent = (self._spent[0] + event.usage.tokens, self._spent[1] + event.usage.micro_usd)
        for unit, limit, spent in zip(("tokens", "micro_usd"), self._limits, self._spent, strict=True):
            if limit is not None and spent > limit:
                self._journal.append(
                    self._journal.event(
                        events.LimitWatched,
                        step_id=event.step_id,
                        scope=f"run:{self._journal.run_id}",
                        unit=unit,
                        limit=limit,
                        spent=spent,
                    )
                )
                return


def enforced_limits(
    plan: Plan, journal: Journal, mode: Literal["enforce", "watch"]
) -> tuple[int | None, int | None]:
    """The limits of a run in tokens and micro-US$ that are enforced; none where they are watched, which begins."""
    limits = (plan.budget_tokens, plan.budget_micro_usd)
    if mode == "enforce":
        return limits
    so_far = journal.metrics.result()  # of a run that is resumed, planning included
    planning = (plan.planning_tokens, plan.planning_micro_usd)
    spent = (so_far.tokens_used, so_far.micro_usd) if so_far.tokens_used else planning
    journal.listen(LimitWatch(journal, *limits, spent))
    return None, None

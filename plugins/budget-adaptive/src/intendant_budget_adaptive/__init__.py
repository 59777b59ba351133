"""Shares tokens by what steps of their intents took in this agent's past runs."""

import math
from collections.abc import Sequence

from pydantic import Field

from intendant.plugin import BudgetLine, BudgetRequest, Options, WeightedShares

__all__ = ["AdaptiveSettings", "AdaptiveStrategy", "expected_need"]


class AdaptiveSettings(Options):
    """Settings of the strategy `adaptive`."""

    quantile: float = Field(0.9, gt=0, lt=1)
    """The share of past steps that the estimate should have been enough for."""
    prior: float = Field(10.0, ge=0, allow_inf_nan=False)
    """How many past steps the baseline is worth (k)."""
    least: int = Field(5, ge=1)
    """With fewer past steps than this, the baseline alone counts."""
    window: int = Field(200, ge=1)
    """How many past steps of an intent are looked at, the newest."""


class AdaptiveStrategy(WeightedShares):
    """Each step's part is what steps of its intent are likely to take, times the critical factor.

    The estimate mixes a quantile of the intent's history with its baseline; see `expected_need`. What a step
    cannot take because of its cap flows to the others (water-filling), so nothing is stranded.
    """

    name = "adaptive"
    uses_history = True
    Settings = AdaptiveSettings

    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:
        """What the step is likely to take, times the critical factor."""
        settings: AdaptiveSettings = self.settings
        history = request.history.get(line.intent, ())[: settings.window]
        need = expected_need(
            history, line.baseline, quantile=settings.quantile, prior=settings.prior, least=settings.least
        )
        return max(need, 1.0) * (request.critical_factor if line.critical else 1.0)


def expected_need(
    history: Sequence[int], baseline: int, *, quantile: float = 0.9, prior: float = 10.0, least: int = 5
) -> float:
    """Tokens that a step is likely to take at most.

    Z · q + (1 - Z) · baseline, with Z = n / (n + k): the credibility formula of H. Bühlmann, "Experience rating
    and credibility", ASTIN Bulletin 4 (1967), 199-207. q is the smallest past value that at least the share
    *quantile* of the n past values do not exceed. A quantile and not mean plus two deviations, because token
    counts have long tails, which a deviation follows and a quantile does not.

    Args:
        history: Tokens that past steps took; those that took none are left out, they asked no model.
        baseline: What the intent's handler declares.
        quantile: The share of past steps that q covers.
        prior: How many past steps the baseline is worth (k).
        least: With fewer past steps than this, the baseline is the answer.
    """
    past = sorted(tokens for tokens in history if tokens > 0)
    if len(past) < least:
        return float(baseline)
    at_most = past[math.ceil(quantile * len(past)) - 1]
    trust = len(past) / (len(past) + prior)
    return trust * at_most + (1 - trust) * baseline

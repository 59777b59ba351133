"""What orchestration saved: an estimate of what the same calls would have cost without it.

Without it, each call that was answered would have been sent with its content uncompressed, without a provider's
prompt cache, at once, to the dearest model that its provider has for a tier; an answer that was used again would
have been asked for again. What orchestration itself had to call for (intents told by a model, texts rewritten by
one, parts of a text asked for again, tries and attempts that came to nothing) would not have been sent at all: it
is part of what was spent, and so counts against what was saved.

The journal is read in its order: it tells which call was what for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from intendant.config.settings import PriceSetting
from intendant.model.errors import ProviderError
from intendant.model.results import Usage
from intendant.record.rows import JournalRow, Scope
from intendant.spending.alternatives import SAMPLE
from intendant.spending.pricing import Prices

Reason = Literal["classification", "compression", "expansion", "retry", "cut_off"]
REASONS: tuple[Reason, ...] = ("classification", "compression", "expansion", "retry", "cut_off")
HOUR = 3600
"""Prices change on full hours only."""


@dataclass(slots=True)
class Saved:
    """An estimate of what would have been spent, and what it rests on."""

    micro_usd: int = 0
    """What the same calls would have cost."""
    calls: int = 0
    """How many they are, those that were not sent because an answer was used again among them."""
    reused: int = 0
    """Of them, those."""
    added_tokens: int = 0
    """Tokens that compression took away, and that were added again."""
    free: int = 0
    """Calls for which no model was asked; they cost nothing either way."""
    against: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    """Micro-US$ that were spent on what would not have been sent."""
    models: dict[str, str] = field(default_factory=dict)
    """The model that would have been asked, by provider."""
    missing: set[str] = field(default_factory=set)
    """Providers and models whose price is not known; if there are any, so is the sum."""


@dataclass(slots=True)
class _Call:
    provider: str
    usage: Usage
    at: float
    outcome: str
    free: bool
    reason: Reason | None = None


@dataclass(slots=True)
class _Step:
    calls: dict[str, _Call] = field(default_factory=dict)
    """By key, in the order in which they ended."""
    added: int = 0


class SavingsFold:
    """Adds up what the journals of runs say, one run after the other.

    Args:
        models: The models that each provider has for tiers.
        by_hand: Prices from the settings.
        scope: Which calls are meant.
        factors: What other prices are multiplied by, by provider.
    """

    def __init__(
        self,
        models: Mapping[str, Sequence[str]],
        by_hand: Mapping[str, PriceSetting],
        scope: Scope,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        self._factors = factors
        self._models = models
        self._by_hand = by_hand
        self._scope = scope
        self._prices: dict[int, Prices] = {}
        self._saved = Saved()
        self._run: str | None = None
        self._classifies = False
        self._steps: dict[str, _Step] = {}
        self._held_at: dict[str, float] = {}

    def add(self, row: JournalRow) -> None:
        """Take an event in; those of a run come together, in their order."""
        if row.run_id != self._run:
            self._close()
            self._run, self._classifies = row.run_id, row.classifies
        step = self._steps.setdefault(row.step_id, _Step())
        if row.type == "step_started":
            self._started(step)
            return
        data = json.loads(row.data)
        if row.type == "tokens_reserved":
            self._held_at[data["call"]] = row.at
        elif row.type == "tokens_settled":
            self._settled(step, data, row.at)
        elif row.type == "token_compressed":
            self._compressed(step, data)
        else:
            self._expanded(step, data)

    def result(self) -> Saved:
        """The estimate, when all events were added."""
        self._close()
        return self._saved

    # --- events ---

    def _started(self, step: _Step) -> None:
        """What an earlier attempt called for came to nothing, unless this one uses its answer again."""
        for call in step.calls.values():
            call.reason = call.reason or "retry"
        step.added = 0

    def _settled(self, step: _Step, data: Mapping[str, Any], at: float) -> None:
        key, outcome = data["call"], data["outcome"]
        known = step.calls.get(key)
        if outcome == "replayed":
            if known is not None and known.reason == "retry":
                known.reason = None
            return
        if outcome == "refused":
            step.calls.pop(key, None)
            return
        usage = Usage.model_validate(data["usage"])
        at = self._held_at.pop(key, at) if known is None else known.at
        free = data.get("produced_by", "model") != "model"
        step.calls[key] = _Call(data["provider"], usage, at, outcome, free)

    def _compressed(self, step: _Step, data: Mapping[str, Any]) -> None:
        if not data["saved"]:
            return  # nobody would have been charged for the difference
        less = data["tokens_before"] - data["tokens_after"]
        step.added += less
        self._mark(step, less - data["saved"])

    def _mark(self, step: _Step, spent: int) -> None:
        """Mark the calls that took *spent* tokens to rewrite a text: the last ones that come to just that."""
        found: list[_Call] = []
        for call in reversed(step.calls.values()):
            if sum(item.usage.tokens for item in found) >= spent:
                break
            if call.reason is None:
                found.append(call)
        if sum(item.usage.tokens for item in found) == spent:
            for call in found:
                call.reason = "compression"

    def _expanded(self, step: _Step, data: Mapping[str, Any]) -> None:
        """The call that asked for a part of a text would not have been made with all of it at hand."""
        step.added -= data["tokens"]
        last = next(reversed(step.calls.values()), None)
        if last is not None:
            last.reason = last.reason or "expansion"

    # --- a run's end ---

    def _close(self) -> None:
        for step in self._steps.values():
            self._close_step(step)
        self._steps.clear()
        self._held_at.clear()

    def _close_step(self, step: _Step) -> None:
        counted = [call for call in step.calls.values() if self._within(call) and self._counts(call)]
        for call in counted:
            # What was taken away is counted once, however often the step sent it.
            added = step.added if call is counted[-1] else 0
            self._saved.calls += 1
            self._saved.reused += call.outcome == "cached"
            self._saved.added_tokens += added
            self._saved.micro_usd += self._cost(call, added)

    def _within(self, call: _Call) -> bool:
        since, until = self._scope.since, self._scope.until
        return (since is None or call.at >= since) and (until is None or call.at < until)

    def _counts(self, call: _Call) -> bool:
        """True if the call would have been sent without orchestration, and charged."""
        if call.free:
            self._saved.free += 1
            return False
        if call.outcome == "in_doubt":
            return False
        reason = "classification" if self._classifies else call.reason
        if reason is None and call.outcome == "cut_off":
            reason = "cut_off"
        if reason is not None and call.outcome != "cached":
            self._saved.against[reason] += call.usage.micro_usd
        return reason is None

    def _cost(self, call: _Call, added: int) -> int:
        """Micro-US$ of the call as it would have been sent."""
        model = self._dearest(call.provider)
        if model is None:
            return 0
        usage = Usage(
            input_tokens=max(0, call.usage.input_tokens + added),
            output_tokens=call.usage.output_tokens,
            reasoning_tokens=call.usage.reasoning_tokens,
        )
        try:
            return self._prices_at(call.at).of(call.provider, model, usage).micro_usd
        except ProviderError:
            self._saved.missing.add(f"{call.provider}/{model}")
            return 0

    def _prices_at(self, at: float) -> Prices:
        hour = int(at // HOUR)
        if hour not in self._prices:
            moment = datetime.fromtimestamp(hour * HOUR, UTC)
            self._prices[hour] = Prices(self._by_hand, lambda: moment, self._factors)
        return self._prices[hour]

    def _dearest(self, provider: str) -> str | None:
        """The dearest model that a provider has for a tier; None if that is not known."""
        if provider in self._saved.models:
            return self._saved.models[provider]
        prices, costs = Prices(self._by_hand, factors=self._factors), dict[str, int]()
        known = self._models.get(provider, ())
        for model in known:
            try:
                costs[model] = prices.card(provider, model).worst(*SAMPLE)
            except ProviderError:
                self._saved.missing.add(f"{provider}/{model}")
        if not known:
            self._saved.missing.add(f"{provider} (not installed)")
        if not costs:
            return None
        self._saved.models[provider] = max(costs, key=lambda model: (costs[model], model))
        return self._saved.models[provider]

"""Budgets that no model call fits into: what a call of a step takes at least, whatever its input is."""

from collections.abc import Iterable, Iterator, Mapping

from intendant.config.settings import Settings
from intendant.hooks.providers import Provider
from intendant.model.errors import ProviderError, amount
from intendant.model.references import scan
from intendant.model.results import Route
from intendant.model.workflow import Placed, Step, Workflow
from intendant.planning.decided import StepPlan
from intendant.spending.admission import MIN_OUTPUT_TOKENS
from intendant.spending.alternatives import Alternatives
from intendant.spending.pricing import Prices
from intendant.spending.sizing import Sizes

RUN = "the run"


class LeastCalls:
    """Works out how small a call of a step can be, with the prices and providers of one engine."""

    def __init__(self, providers: Mapping[str, Provider], prices: Prices, settings: Settings) -> None:
        self._providers = providers
        self._prices = prices
        self._sizes = Sizes(providers, settings.calls.token_bound)
        self._alternatives = Alternatives(providers, prices, settings.routing.providers)

    def doubts(
        self,
        planned: StepPlan,
        workflow: Workflow,
        instructions: str,
        total: int,
        micro: int | None,
        others: Iterable[Route] = (),
    ) -> Iterator[str]:
        """What a plan warns of where a budget is smaller than any call of a step that asks a model.

        Args:
            planned: What was decided about the step.
            workflow: What it is part of.
            instructions: What its handler says in each call.
            total: Tokens that the run has.
            micro: Micro-US$ that the run may spend; None for no limit.
            others: The models among which it is routed when it runs.
        """
        if planned.route is None or not self._providers[planned.route.provider].charges:
            return
        placed = workflow.by_key[planned.step_id]
        routes = self._routes(placed.step, planned.route, others)
        texts = [text for text in (instructions, _written(placed.step.prompt or "")) if text]
        share = planned.max_tokens, "its share of tokens"
        tokens = _smallest([*_budgets(placed, "tokens"), (total, RUN), share])
        limits = [*_budgets(placed, "micro_usd"), *([] if micro is None else [(micro, RUN)])]
        if placed.step.max_wait:  # a batch lane may cost less
            limits = []
        for outcome, count in (("will", self._least), ("may", self._held)):
            read = min(count(route, texts) for route in routes)
            if tokens[0] < read + MIN_OUTPUT_TOKENS:
                yield _said(outcome, "tokens", read + MIN_OUTPUT_TOKENS, *tokens)
                return
            cost = self._cost(routes, read) if limits else None
            if cost is not None and _smallest(limits)[0] < cost:
                yield _said(outcome, "micro_usd", cost, *_smallest(limits))
                return

    def _routes(self, step: Step, route: Route, others: Iterable[Route]) -> list[Route]:
        """All models that may be asked: what one refuses, a cheaper one may do."""
        found = [route, *self._alternatives.fallbacks(route)]
        if step.tier is None and step.model is None:
            found += others
        found += [cheaper for each in found for cheaper in self._alternatives.cheaper(each)]
        return [each for each in found if each.provider in self._providers]

    def _least(self, route: Route, texts: Iterable[str]) -> int:
        """Tokens of texts at least, however they are counted."""
        counter = self._sizes.counter(route)
        return sum(counter.least(text) for text in texts)

    def _held(self, route: Route, texts: Iterable[str]) -> int:
        """Tokens that are held for texts, unless the provider is asked and counts fewer."""
        how, count = self._sizes.counting(route), self._sizes.counter(route)
        return how.request + sum(count(text) + how.message for text in texts)

    def _cost(self, routes: Iterable[Route], read: int) -> int | None:
        """Micro-US$ of the cheapest call; None if a price is not known."""
        try:
            cards = [self._prices.card(route.provider, route.model) for route in routes]
        except ProviderError:
            return None
        return min(card.worst(read, MIN_OUTPUT_TOKENS) for card in cards)


def _written(prompt: str) -> str:
    """A prompt without its references: what it says whatever they stand for."""
    text, at = "", 0
    for found in scan(prompt):
        text, at = text + prompt[at : found.start], found.end
    return text + prompt[at:]


def _budgets(placed: Placed, unit: str) -> Iterator[tuple[int, str]]:
    """What a step, and those around it, have as budgets, each with its name."""
    around: Placed | None = placed
    while around is not None:
        own = None if around.limits is None else getattr(around.limits, unit)
        if own is not None:
            yield own, "its `budget`" if around is placed else f"the `budget` of '{around.step.id}'"
        around = around.outer


def _smallest(limits: Iterable[tuple[int, str]]) -> tuple[int, str]:
    """The first of the smallest."""
    return min(limits, key=lambda limit: limit[0])


def _said(outcome: str, unit: str, least: int, admitted: int, whose: str) -> str:
    return (
        f"a call takes {amount(unit, least)} at least, for its instructions, its prompt and the shortest answer, "
        f"and {whose} admits {amount(unit, admitted)}: it {outcome} be refused; raise the budget"
    )

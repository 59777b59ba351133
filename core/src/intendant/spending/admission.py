"""In which shape a request may be sent: as asked, and what is tried when the budgets refuse that.

In order: the answer is shortened, but stays useful; the input is compressed further; a cheaper model is asked,
where money is what is missing; the answer is cut to the shortest that is worth its input.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from intendant.model.errors import BudgetExceeded
from intendant.model.requests import ModelRequest
from intendant.model.results import Route

MIN_OUTPUT_TOKENS = 16
"""A call that could not answer with at least this much is not worth its input."""
USEFUL_ANSWER = 0.25
"""An answer is shortened to this share of what was wanted before the input is compressed further for it; to less
only when nothing else helps.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which a request may be sent."""

    route: Route
    request: ModelRequest
    min_output: int
    """The shortest answer, in tokens, for which it is worth sending."""

    @property
    def max_output(self) -> int:
        """The longest answer that is wanted, in tokens."""
        limit = self.route.max_output_tokens
        return min(self.request.max_output_tokens or limit, limit)


class Shrunk(NamedTuple):
    """A request whose input was compressed further."""

    request: ModelRequest
    before: int
    """Input tokens."""
    after: int


class Reduction(NamedTuple):
    """How a shape was reduced, for the journal."""

    how: Literal["compressed", "cheaper_tier"]
    before: str
    after: str


Shrink = Callable[[ModelRequest, int, bool], Awaitable[Shrunk | None]]
"""Compresses a request's input further, by so many tokens, or by half where True; None if that cannot be."""


class Shapes:
    """The shapes of one call; it keeps to the one that the budgets admitted, also in retries and fallbacks.

    Args:
        route: The model that was planned.
        request: What it is asked.
        shrink: Compresses the input further; None if there is nothing to compress.
        cheaper: Returns the routes that cost less than one, dearest first.
    """

    def __init__(
        self,
        route: Route,
        request: ModelRequest,
        shrink: Shrink | None,
        cheaper: Callable[[Route], Sequence[Route]],
    ) -> None:
        whole = Shape(route, request, 0)
        self.current = replace(whole, min_output=max(MIN_OUTPUT_TOKENS, int(USEFUL_ANSWER * whole.max_output)))
        self._shrink = shrink
        self._cheaper = cheaper
        self._refused: BudgetExceeded | None = None
        self._reduced = self._reductions()

    def move_to(self, route: Route) -> None:
        """Ask another model in the same shape. What this provider wrote in its own form is left out for others."""
        request, foreign = self.current.request, route.provider != self.current.route.provider
        if foreign and any(turn.raw is not None for turn in request.messages):
            turns = tuple(turn.model_copy(update={"raw": None}) for turn in request.messages)
            request = request.model_copy(update={"messages": turns})
        self.current = replace(self.current, route=route, request=request)

    def with_request(self, request: ModelRequest) -> None:
        """Send another form of the same request."""
        self.current = replace(self.current, request=request)

    async def reduce(self, refused: BudgetExceeded) -> Reduction | Literal[False] | None:
        """Reduce the shape after the budgets refused it.

        Returns:
            What was reduced; None for a shorter answer only; False if nothing is left to try.
        """
        self._refused = refused
        return await anext(self._reduced, False)

    async def _reductions(self) -> AsyncIterator[Reduction | None]:
        if (shrunk := await self._shrunk()) is not None:
            self.current = replace(self.current, request=shrunk.request)
            yield Reduction("compressed", str(shrunk.before), str(shrunk.after))
        if self._needs_money:
            for route in self._cheaper(self.current.route):
                before, self.current = self.current, replace(self.current, route=route)
                yield Reduction("cheaper_tier", before.route.model, route.model)
        if self.current.min_output > MIN_OUTPUT_TOKENS:
            self.current = replace(self.current, min_output=MIN_OUTPUT_TOKENS)
            yield None

    @property
    def _needs_money(self) -> bool:
        return self._refused is not None and self._refused.unit == "micro_usd"

    async def _shrunk(self) -> Shrunk | None:
        if self._shrink is None or self._refused is None:
            return None
        shape, refused = self.current, self._refused
        excess = refused.asked - shape.max_output + shape.min_output - refused.left
        return await self._shrink(shape.request, excess, self._needs_money)

"""The shapes in which a request may be sent: as asked first, then smaller ones if the budgets refuse.

In order: a shorter answer that is still useful; a more compressed input; a cheaper model, if money is short; the
shortest answer that is worth its input.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from intendant.model.errors import BudgetExceeded
from intendant.model.requests import ModelRequest
from intendant.model.results import Route

MIN_OUTPUT_TOKENS = 16
"""A call whose answer must be shorter than this is not worth its input."""
USEFUL_ANSWER = 0.25
"""The answer is shortened to this share of the wanted length before the input is compressed further; to less only
as a last resort.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which a request may be sent."""

    route: Route
    request: ModelRequest
    min_output: int
    """The shortest answer, in tokens, that is worth sending the request."""

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
"""Compresses the input of a request further: by that many tokens, or by half if True; None if it cannot."""


class Shapes:
    """The shapes of one call. Retries and fallbacks keep the shape that the budgets have admitted.

    Args:
        route: The planned model.
        request: The request.
        shrink: Compresses the input further; None if there is nothing to compress.
        cheaper: Returns the routes that are cheaper than a route, most expensive first.
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
        """Move to another model in the same shape. Raw turns of one provider are not sent to another."""
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

"""What turns of a step with tools may take: whether there is room for another one, and how long results may be.

Two figures matter. What is held for an input has to fit, the answer's above all; it may be several times of what
is charged in the end. What is charged adds up over all turns, since each sends again what those before it sent.
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from intendant.model.requests import Message, ModelRequest
from intendant.model.results import ModelReply, Route
from intendant.spending.admission import MIN_OUTPUT_TOKENS, USEFUL_ANSWER
from intendant.spending.calls import OnText
from intendant.spending.tokens import estimate_tokens

MOST_RESULT = 8000
"""Tokens of one result, whatever the budget admits."""
FEW = 400
"""Tokens that a result may take where the budget does not admit as much in each turn that is left."""
MOST_CHARACTERS = 1_000_000
"""Characters of a result that are looked at; what comes after them is left out before it is compressed."""
MARGIN = 1.25
"""By which what is new in an input may turn out to take more than it is likely to."""
MAX_HELD = 1 << 40
"""More than is ever held."""
MOST_FACTOR = 8.0
"""A model's tokenizer is taken to make at most this many times the tokens of an estimate."""
LEAST_CALL = 100
"""Tokens without which a turn could hardly call anything."""
SPARE = 100
"""Tokens that are kept beside what is known."""


class Asker(Protocol):
    """What sends the calls of a step, and knows what is left for them."""

    @property
    def route(self) -> Route | None:
        """The model."""

    @property
    def room(self) -> int | None:
        """Tokens that a call may take; None for no limit."""

    def input_tokens(self, request: ModelRequest) -> int:
        """A bound of a request's input tokens, without asking the provider."""

    async def held_tokens(self, request: ModelRequest) -> int:
        """Tokens that will be held for a request's input."""

    def count(self, text: str) -> int:
        """Tokens of a text, counted as they are held."""

    async def send(self, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """One call."""

    async def fit_to(self, text: str, target: int) -> str:
        """The text, compressed as far as the policy admits where it takes more than *target* tokens."""

    @property
    def generation(self) -> int:
        """Raised where the answers before were no good, so that they are asked for anew."""


class Charged(NamedTuple):
    """What the turn before was charged."""

    tokens: int = 0
    """Of its input; 0 for none."""
    messages: int = 0
    """The messages that it had."""
    factor: float = 1.0
    """How many times an estimate that was, at least 1."""

    @classmethod
    def of(cls, request: ModelRequest, tokens: int) -> "Charged":
        """What a request was charged, beside what it was likely to be."""
        likely = estimate_tokens(_parts(request, 0))
        return cls(tokens, len(request.messages), min(MOST_FACTOR, max(1.0, tokens / max(1, likely))))


class Size(NamedTuple):
    """Input tokens of the next turn."""

    held: int
    likely: int
    """What will be charged of them."""


class ResultRoom(NamedTuple):
    """Tokens that the results of a turn may take together."""

    held: int
    likely: int
    """By estimate."""

    def part(self, parts: int) -> "ResultRoom":
        """An equal part of it."""
        return ResultRoom(self.held // parts, self.likely // parts)

    def without(self, text: str, asker: Asker) -> "ResultRoom":
        """What is left of it beside *text*."""
        return ResultRoom(
            max(0, self.held - asker.count(text)), max(0, self.likely - int(MARGIN * estimate_tokens(text)))
        )


def answer_tokens(asker: Asker, request: ModelRequest) -> tuple[int, int]:
    """The shortest useful answer and the longest that is wanted, in tokens."""
    limit = asker.route.max_output_tokens if asker.route is not None else MIN_OUTPUT_TOKENS
    most = min(request.max_output_tokens or limit, limit)
    return max(MIN_OUTPUT_TOKENS, int(USEFUL_ANSWER * most)), most


async def next_size(asker: Asker, request: ModelRequest, before: Charged) -> Size:
    """The size of the next turn.

    Args:
        asker: Sends it.
        request: What it sends.
        before: What the turn before was charged.
    """
    held = await asker.held_tokens(request)
    new = int(MARGIN * before.factor * estimate_tokens(_parts(request, before.messages)))
    return Size(held, min(held, before.tokens + new))


def _parts(request: ModelRequest, sent: int) -> str:
    """What a request sends besides its first messages; all of it where these are none."""
    parts = list(map(_written, request.messages[sent:]))
    if not sent:
        parts += [request.system, json.dumps([tool.model_dump() for tool in request.tools])]
    return "\n".join(parts)


def _written(turn: Message) -> str:
    return f"{turn.content}{''.join(map(str, turn.calls))}"


def admits_another(asker: Asker, request: ModelRequest, size: Size) -> bool:
    """True if an answer can still be paid for after one more turn that is no answer."""
    least, _ = answer_tokens(asker, request)
    return asker.room is None or asker.room >= size.likely + size.held + least + max(least, LEAST_CALL) + SPARE


def longest_turn(asker: Asker, request: ModelRequest, size: Size) -> int:
    """Tokens that a turn which may be no answer may write, such as the arguments of its calls: what the tier
    admits, whatever the longest answer is, as long as one can still be paid for.
    """
    limit = asker.route.max_output_tokens if asker.route is not None else MIN_OUTPUT_TOKENS
    if asker.room is None:
        return limit
    least, _ = answer_tokens(asker, request)
    return max(least, min(LEAST_CALL, limit), min(limit, asker.room - size.likely - size.held - least - SPARE))


def result_room(
    asker: Asker, request: ModelRequest, size: Size, charged: Charged, said: Message, calls: int, later: int
) -> ResultRoom:
    """What results may take: so much that all turns that are left can be paid for if each takes as much; a little
    also where fewer turns can be paid for then.

    Args:
        asker: Sends the turns.
        request: What the turn sent whose results these are.
        size: Its size.
        charged: What it was charged.
        said: What the model said in it.
        calls: How many results there are.
        later: Turns that are left, the answer's aside.
    """
    most = MOST_RESULT * calls
    if asker.room is None:
        return ResultRoom(MAX_HELD, most)
    longer = request.model_copy(update={"messages": (*request.messages, said)})
    more = asker.input_tokens(longer) - asker.input_tokens(request)
    least, _ = answer_tokens(asker, request)
    free = max(0, asker.room - size.held - more - least - SPARE)
    likely = (charged.tokens or size.likely) + min(more, int(charged.factor * estimate_tokens(_written(said))))
    even = int(((asker.room - least - SPARE) // (1 + later) - likely) / charged.factor)
    return ResultRoom(free, max(0, min(most, max(even, FEW * calls))))


async def fitted_result(asker: Asker, text: str, room: ResultRoom) -> str:
    """A result in about what it may take: compressed as the policy says, then cut in its middle."""
    text = text[:MOST_CHARACTERS]
    wider = max(1.0, asker.count(text) / max(1, estimate_tokens(text)))
    target = max(0, min(room.held, int(room.likely * wider)))
    return cut_to(await asker.fit_to(text, target), target, asker.count)


def cut_to(text: str, room: int, count: Callable[[str], int]) -> str:
    """The text, without its middle where it takes more than *room* tokens."""
    if count(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(_without_middle(text, middle)) <= room else (low, middle - 1)
    return _without_middle(text, low) if low else ""


def _without_middle(text: str, kept: int) -> str:
    first = kept - kept // 3
    last = text[len(text) - kept // 3 :]
    return f"{text[:first]}\n[… {len(text) - kept} characters left out …]\n{last}"


def with_line(messages: Sequence[Message], line: str) -> tuple[Message, ...]:
    """The messages with a line of ours at the end of the last one."""
    *rest, last = messages
    return (*rest, last.model_copy(update={"content": f"{last.content}\n{line}"}))

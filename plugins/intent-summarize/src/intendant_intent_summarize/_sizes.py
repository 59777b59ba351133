"""How long input is cut: into how many chunks, of which size, and what a model is shown of each.

All of it follows from the input, the options and what the step has in all, never from what is left at the time:
an attempt that repeats another asks the same, and is answered from the record.
"""

from dataclasses import dataclass
from math import ceil

from intendant.plugin import ModelClient

CHUNK_TOKENS = 8000
"""Tokens of a chunk where the step does not say."""
LONG = 12_000
"""Tokens of an input that is not cut unless the step says so."""
WINDOW = 100_000
"""Tokens of a call where the model's window is not known."""
POINTS = 8
"""Points of a chunk, at most."""
POINT_TOKENS = 50
"""Tokens of a point in the prompt that joins them."""
ANSWER_TOKENS = 110
"""Tokens of a point with its quotation, as an answer writes it."""
JOINED_TOKENS = 24_000
"""Tokens of all points together, at most."""
LEAST_TOKENS = 300
"""Tokens of a chunk that are worth a call."""
WORTH = 4000
"""Tokens of a call from which cutting pays, where the budget admits only a part of the input."""
LEAST_CALLS = 6
"""So many calls of that worth have to be admitted."""
USED = 0.85
"""Share of the step's tokens that is planned with; the rest is for answers that are sent back."""
ANSWER = 1000
"""Tokens of the summary, where the step does not say."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How input is cut."""

    chunk_tokens: int
    """Tokens of a chunk, before any compression."""
    shown_tokens: int
    """Tokens of it that a model is shown."""
    points: int
    """Points of a chunk, at most."""

    @property
    def answer_tokens(self) -> int:
        """The longest answer about a chunk."""
        return 100 + ANSWER_TOKENS * self.points


def cut_of(
    model: ModelClient, tokens: int, overhead: int, *, size: int | None, wanted: bool, answer: int | None
) -> Cut | None:
    """How an input is cut; None where one call does.

    Args:
        model: Who is asked.
        tokens: Tokens of the input.
        overhead: Tokens of a prompt besides the data.
        size: Tokens of a chunk, where the step says so.
        wanted: True to go by chunks however short the input is.
        answer: The longest summary, in tokens, where the step says so.
    """
    total, window = model.tokens_total, model.context_window or WINDOW
    if total is None:
        return None  # no model is asked that charges: the whole input is read
    wanted = wanted or (size is not None and tokens > size)
    if not wanted and (tokens <= LONG or tokens <= 0.75 * min(total, window) - overhead):
        return None
    most = min(size or CHUNK_TOKENS, window // 2)
    joined = min(JOINED_TOKENS, total // 4, window // 2)
    count = ceil(tokens / most)
    left = int(USED * total) - overhead - (answer or ANSWER) - min(joined, count * POINTS * POINT_TOKENS)
    least = overhead + 100 + ANSWER_TOKENS + LEAST_TOKENS
    worth = WORTH if left >= LEAST_CALLS * WORTH else least
    if left < count * worth:  # larger chunks, compressed, instead of many calls that see little
        if not wanted and worth < WORTH:
            return None
        least = worth
    admitted = min(left // least, joined // POINT_TOKENS)
    if admitted < (1 if wanted else 2):
        return None
    count = min(count, admitted)
    spare = (left // count - overhead - 100) // (3 * ANSWER_TOKENS)  # answers take a third at most
    points = max(1, min(POINTS, joined // (POINT_TOKENS * count), spare))
    shown = left // count - overhead - 100 - ANSWER_TOKENS * points
    chunk = max(most, ceil(tokens / count))
    return Cut(chunk, min(chunk, _rounded(shown)), points)


def _rounded(tokens: int) -> int:
    """A number of tokens with three significant bits, so that what differs a little comes to the same."""
    return tokens - tokens % (1 << max(0, tokens.bit_length() - 3)) if tokens > 0 else 1

"""What a stream that breaks off has cost: never nothing, and never more than was held."""

from collections.abc import Callable

from intendant.hooks.providers import Hold
from intendant.model.errors import ProviderError
from intendant.model.results import Usage
from intendant.spending.tokens import TokenCounter

GROWTH = 1.1
"""An answer that seems too long is counted as a whole, and again when it has grown by this."""


class LiveMeter:
    """Implements `StreamMeter`: counts an answer while it is written.

    Args:
        hold: What is held for the call.
        count: Counts tokens for the model, exactly or from an upper bound.
        listener: Told of each piece of the answer's text.
    """

    def __init__(self, hold: Hold, count: TokenCounter, listener: Callable[[str], object] | None = None) -> None:
        self._hold = hold
        self._count = count
        self._listener = listener
        self._pieces: list[str] = []
        self._seems = 0.0
        self._count_from = float(hold.max_output_tokens)
        self._reported: Usage | None = None
        self._hidden = False

    def text(self, piece: str) -> None:
        """See `StreamMeter.text`."""
        self.unseen(piece)
        if self._listener is not None:
            self._listener(piece)

    def unseen(self, piece: str) -> None:
        """See `StreamMeter.unseen`."""
        self._pieces.append(piece)
        # Pieces take more tokens one by one than the text that they make.
        self._seems += self._count.least_of_piece(piece)
        if self._seems <= self._count_from:
            return
        self._count_from = GROWTH * self._seems
        # Only a lower bound proves that an answer is longer than it may be.
        if self._count.least("".join(self._pieces)) > self._hold.max_output_tokens:
            raise ProviderError(
                f"{self._hold.model} wrote more than the {self._hold.max_output_tokens} tokens it was allowed",
                hint="this is a fault of the provider or its plugin; the stream was cut off",
                billed=True,
            )

    def hide(self) -> None:
        """See `StreamMeter.hide`."""
        self._hidden = True

    def used(self, usage: Usage) -> None:
        """See `StreamMeter.used`. Figures that are no numbers of tokens are left out."""
        if usage.input_tokens >= 0 and usage.output_tokens >= 0:
            self._reported = usage

    @property
    def charge(self) -> Usage | None:
        """What the call took until now, as far as that can be told; None if it cannot, or nothing has come.

        Output is what was reported or what came, whichever is more; input is what was reported, else all that was
        held for it. Neither is more than was held.
        """
        if self._hidden or (self._reported is None and not self._pieces):
            return None
        reported = self._reported or Usage()
        most = self._hold.max_output_tokens
        held = self._hold.tokens - most
        output = max(1, min(most, max(reported.output_tokens, self._count("".join(self._pieces)))))
        given = min(held, reported.input_tokens) or held
        return Usage(
            input_tokens=given,
            output_tokens=output,
            **_within(given, reported),
            reasoning_tokens=min(reported.reasoning_tokens, output),
        )


def _within(given: int, reported: Usage) -> dict[str, int]:
    """The parts of the input, the dearest first as far as there is input for them."""
    parts: dict[str, int] = {}
    for name in ("cache_write_1h_tokens", "cache_write_tokens", "cached_tokens"):
        parts[name] = min(getattr(reported, name), given)
        given -= parts[name]
    return parts

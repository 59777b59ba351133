"""Whether what a provider reports of a call can be true. Budgets are charged by it, and plugins and servers err.

- Figures that are no numbers of tokens, negative ones, and more than `ABSURD` times what was held are errors of
  the provider: the call is charged with all that was held.
- Less than what the texts take at least is not believed. Nobody knows how much it was, a model may have thought
  besides: the input, or the output, is charged as it was held.
- More than what was held is believed and charged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intendant.hooks.providers import Hold
from intendant.hooks.reported import false_usage, reported_tokens
from intendant.model.results import ModelReply, Usage
from intendant.spending.tokens import WORDS_PER_TOKEN, fewest_tokens

ABSURD, ABSURD_TOKENS = 10, 50_000
"""More than so many times what was held, and so many tokens beyond that, no model takes, not even one that ignores
how long its answer may be."""
SHORTEST = 40
"""Tokens of a text from which too low a figure is told from a short text."""
MOST_PER_TOKEN = 2 * WORDS_PER_TOKEN
"""Characters for each token that so many words take at least, each followed by a blank."""
FIGURES = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


@dataclass(frozen=True, slots=True)
class CheckedUsage:
    """What a call is charged with."""

    usage: Usage
    corrected: str = ""
    """Why that is not what was reported; empty if it is."""


def checked_usage(reply: ModelReply, hold: Hold, sent: Sequence[str]) -> CheckedUsage:
    """What a reply is charged with.

    Args:
        reply: What the provider returned.
        hold: What was held for the call.
        sent: The texts of its input.

    Raises:
        ProviderError: The figures cannot be those of any call; the call was charged, with what is not known.
    """
    who = f"{reply.provider}/{reply.model}"
    figures = {
        name: reported_tokens(getattr(reply.usage, name, 0), name.replace("_", " "), who) for name in FIGURES
    }
    total = figures["input_tokens"] + figures["output_tokens"]
    if total > ABSURD * hold.tokens + ABSURD_TOKENS:
        raise false_usage(who, f"{total} tokens were reported for a call that may take {hold.tokens}")
    if reply.produced_by != "model":
        return CheckedUsage(_consistent(figures))
    written = (reply.text, reply.reasoning, *(f"{call.name} {call.arguments}" for call in reply.calls))
    texts = {"input_tokens": sent, "output_tokens": written}
    least = {name: fewest for name in texts if (fewest := _missing(figures[name], texts[name]))}
    if not least:
        return CheckedUsage(_consistent(figures))
    held = {"input_tokens": hold.tokens - hold.max_output_tokens, "output_tokens": hold.max_output_tokens}
    charged = {name: max(fewest, held[name]) for name, fewest in least.items()}
    said = " and ".join(f"{figures[name]} {name.replace('_', ' ')} for at least {least[name]}" for name in least)
    return CheckedUsage(_consistent({**figures, **charged}), f"{who} reported {said}: charged as held")


def _missing(reported: int, texts: Sequence[str]) -> int:
    """What *texts* take at least, if so few tokens as are reported cannot have made them; else 0. Vocabularies
    whose tokens span several words are borne with.
    """
    if reported * MOST_PER_TOKEN >= sum(map(len, texts)):
        return 0  # Usual, and seen without counting words.
    least = sum(map(fewest_tokens, filter(None, texts)))
    too_low = reported == 0 or (least >= SHORTEST and reported < least / WORDS_PER_TOKEN)
    return least if too_low else 0


def _consistent(figures: Mapping[str, int]) -> Usage:
    """The figures, with no part larger than its whole: the dearest part first."""
    left = figures["input_tokens"]
    parts: dict[str, int] = {}
    for name in ("cache_write_1h_tokens", "cache_write_tokens", "cached_tokens"):
        parts[name] = min(figures[name], left)
        left -= parts[name]
    return Usage(
        input_tokens=figures["input_tokens"],
        output_tokens=figures["output_tokens"],
        **parts,
        reasoning_tokens=min(figures["reasoning_tokens"], figures["output_tokens"]),
    )

"""Tells prompts that are unlike those that something was learned from, by the words that they have in common."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

READ = 160
"""Characters of a prompt that are read at each end."""
LEAST_WORDS = 4
"""A prompt of fewer words is like any other."""
BITS_PER_WORD = 8
LEAST_BITS, MOST_BITS = 1 << 12, 1 << 18
NOVEL = 0.005
"""Share of prompts of the same kind that may be taken for novel."""
LEAST_LIMIT = 0.5
FOLDS = 5
_WORD = re.compile(r"[^\W\d_]{2,}")


def words_of(prompt: str) -> set[str]:
    """The distinct words of a prompt's two ends, in lower case."""
    text = prompt if len(prompt) <= 2 * READ else f"{prompt[:READ]} {prompt[-READ:]}"
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True, slots=True)
class Familiar:
    """The words of prompts that are known (a Bloom filter with one hash).

    Attributes:
        bits: One for each word, by its CRC-32.
        limit: A prompt with a larger share of unknown words is novel.
    """

    bits: bytes
    limit: float

    def unknown(self, prompt: str) -> float:
        """The share of a prompt's words that are not known."""
        found = words_of(prompt)
        return _unknown(self.bits, found) if len(found) >= LEAST_WORDS else 0.0

    def is_novel(self, prompt: str) -> bool:
        """True if a prompt is unlike those that are known."""
        return self.unknown(prompt) > self.limit

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"bits": b64encode(self.bits).decode(), "limit": round(self.limit, 4)}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Familiar":
        """What `document` wrote."""
        return cls(b64decode(data["bits"]), float(data["limit"]))


def learn(prompts: Sequence[str]) -> Familiar:
    """The words of *prompts*. The limit is set by leaving each fifth of them out in turn: hardly any of those is
    novel.
    """
    texts = sorted(set(prompts))
    found = [words_of(text) for text in texts]
    size = LEAST_BITS
    while size < min(MOST_BITS, BITS_PER_WORD * len(set().union(*found))):
        size *= 2
    shares = []
    for skip in range(FOLDS):
        bits = _bits((each for place, each in enumerate(found) if place % FOLDS != skip), size)
        shares += [_unknown(bits, each) for each in found[skip::FOLDS] if len(each) >= LEAST_WORDS]
    limit = sorted(shares)[min(len(shares) - 1, int((1 - NOVEL) * len(shares)))] if shares else 1.0
    return Familiar(_bits(found, size), min(1.0, max(LEAST_LIMIT, limit + 0.05)))


def _bits(found: Iterable[set[str]], size: int) -> bytes:
    bits = bytearray(size // 8)
    for words in found:
        for word in words:
            at = crc32(word.encode("utf-8", "surrogatepass")) % size
            bits[at >> 3] |= 1 << (at & 7)
    return bytes(bits)


def _unknown(bits: bytes, words: set[str]) -> float:
    size, known = 8 * len(bits), 0
    for word in words:
        at = crc32(word.encode("utf-8", "surrogatepass")) % size
        known += bits[at >> 3] >> (at & 7) & 1
    return 1 - known / len(words) if words else 0.0

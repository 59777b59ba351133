"""The chain of compressors: lossless ones first, then the others, until the content fits; never longer, and
never below the policy's floor of surviving facts, which is measured and not assumed.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from intendant.hooks.calls import Questions
from intendant.model.requests import CompressionPolicy, CompressRequest
from intendant.model.results import Compression
from intendant.model.workflow import Json
from intendant.planning.fidelity import recall

MAX_ROUNDS = 20
PROSE_LINE = 60
"""Mean characters a line above which text counts as prose."""
_HTML = re.compile(r"<!doctype html|<html|<(div|table|body|p)\b", re.IGNORECASE)
_MAIL = re.compile(r"(From|To|Subject|Date|Received): ")
_LINE_KINDS = (
    ("log", re.compile(r"\S*\d{2}:\d{2}:\d{2}|\d{4}-\d{2}-\d{2}[T ]|\[?(INFO|WARN|ERROR|DEBUG)\b"), 0.5),
    ("markdown", re.compile(r"(#{1,6} |[-*] |\|.*\||```)"), 0.3),
)
"""Kinds told by the share of lines that look like them."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Content made to fit, or not."""

    compression: Compression
    refused: bool = False
    """True if what would have fitted lost too many facts, so that less was done."""


def to_text(content: Json) -> str:
    """Content as the text a model would read: text as it is, data as compact JSON."""
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def kind_of(text: str) -> str:
    """What sort of content this is, from its first few thousand characters."""
    head = text[:4000].lstrip()
    if head[:1] in ("{", "[") and _is_json(text):
        return "json"
    if _HTML.match(head):
        return "html"
    if _MAIL.match(head):
        return "mail"
    lines = [line for line in head.splitlines() if line.strip()]
    for kind, pattern, share in _LINE_KINDS:
        if lines and sum(bool(pattern.match(line)) for line in lines) > share * len(lines):
            return kind
    return "prose" if lines and len(head) > PROSE_LINE * len(lines) else "text"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class CompressionChain:
    """Asks the installed compressors until content fits."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    async def fit(
        self,
        text: str,
        target_tokens: int,
        *,
        policy: CompressionPolicy,
        count: Callable[[str], int],
        query: str = "",
        intent: str = "",
        lossless_only: bool = False,
    ) -> Fitted:
        """Make *text* fit into *target_tokens*.

        Nothing is done to text that fits. If the target cannot be reached without losing more facts than the
        policy allows, the best that keeps them is returned, with `refused`.
        """
        before = count(text)
        best = _unchanged(text, before)
        if before <= target_tokens or policy.strategy == "none":
            return Fitted(best)
        refused = False
        for exact in (True,) if lossless_only else (True, False):
            tried: tuple[str, ...] = ()
            for _ in range(MAX_ROUNDS):
                if best.tokens_after <= target_tokens:
                    return Fitted(best)
                request = CompressRequest(
                    text=best.text,
                    tokens=best.tokens_after,
                    target_tokens=target_tokens,
                    count=count,
                    strategy=policy.strategy,
                    lossless_only=exact,
                    tried=tried,
                    query=query,
                    intent=intent,
                    kind=kind_of(best.text),
                )
                answer = await self._questions.compress(request)
                if answer is None:
                    break
                tried = (*tried, answer.strategy)
                better = _checked(text, best, answer, count)
                if better is None:
                    continue
                if better.quality < policy.floor and not better.preserving:
                    refused = True
                    continue
                best = better
        return Fitted(best, refused=refused and best.tokens_after > target_tokens)


def _unchanged(text: str, tokens: int) -> Compression:
    return Compression(text=text, tokens_before=tokens, tokens_after=tokens, strategy="none", lossless=True)


def _checked(
    original: str, best: Compression, answer: Compression, count: Callable[[str], int]
) -> Compression | None:
    """The answer with figures of our own, or None if it is no shorter than what we have."""
    after = count(answer.text)
    if after >= best.tokens_after:
        return None
    lossless = best.lossless and answer.lossless
    whole = (best.lossless or best.preserving) and (answer.lossless or answer.preserving)
    names = [name for name in (best.strategy, answer.strategy) if name != "none"]
    return Compression(
        text=answer.text,
        tokens_before=best.tokens_before,
        tokens_after=after,
        strategy="+".join(names),
        lossless=lossless,
        preserving=whole and not lossless,
        quality=1.0 if lossless else recall(original, answer.text),
        dropped=(*best.dropped, *answer.dropped),
    )

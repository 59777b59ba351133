"""The chain of compressors: select, then encode, until the content fits.

Exact re-encodings come first. Where they do not suffice, a compressor selects from the content as it was before
them, its selection is encoded, and the target is moved until the encoded selection fits: what encoding saves buys
back content. Nothing ever becomes longer, nor falls below the policy's floor of surviving facts, which is measured
and not assumed.
"""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import Any

from intendant.hooks.questions import Questions
from intendant.model.requests import CompressionPolicy, CompressRequest, ModelClient
from intendant.model.results import Compression
from intendant.model.workflow import Json
from intendant.planning.compressing_apart import compressed
from intendant.planning.fidelity import expected_retention
from intendant.planning.risk import SIZES, least_quality
from intendant.text.content_kinds import kind_of

MAX_ROUNDS = 20
LONG = 1000
"""Characters above which a text's tokens are remembered."""
AIMS = 5
"""How often a compressor is asked again with another target."""
ENOUGH = 0.98
"""Share of the target from which a selection is not made any larger."""
MISSED = 0.02
"""After each selection that was too large, the next aims this share of the target lower."""
MOST_PROTECTED = 5000
"""Matches of a policy's expressions that are looked after."""
RAISES = 4
"""How many targets are tried between one that loses too much and the whole."""
CLEARLY = 0.8
"""Share of the size of another selection that a later compressor's must come below: what is found is the smallest
only to within a step of the search."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Content made to fit, or not."""

    compression: Compression
    refused: bool = False
    """True if what would have fitted lost too many facts, so that less was done."""


@dataclass(frozen=True)
class _Task:
    """What is asked of the compressors, whatever of the content they are shown."""

    original: str
    kind: str
    before: int
    policy: CompressionPolicy
    count: Callable[[str], int]
    query: str
    intent: str
    dense: bool
    model: ModelClient | None
    context: tuple[tuple[str, str], ...] = ()

    @cached_property
    def protected(self) -> frozenset[str]:
        """What the policy's expressions match, and no compression may lose."""
        found = chain.from_iterable(re.finditer(each, self.original) for each in self.policy.protect)
        return frozenset(match[0] for match in islice(found, MOST_PROTECTED) if match[0])


@dataclass(frozen=True, slots=True)
class _State:
    """How far the content has come."""

    text: str
    tokens: int
    kind: str
    base: str
    """The content as it was before exact encodings, which selecting starts from."""
    names: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    lossless: bool = True
    whole: bool = True
    """Nothing but form went."""


PARTED = "\n\n---\n\n"
"""What stands between texts that have several lines each."""


def to_text(content: Json) -> str:
    """Content as the text a model would read: text as it is, a list of texts as lines, data as compact JSON.

    Texts of several lines each are separated by a rule.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(isinstance(item, str) for item in content):
        return ("\n" if all("\n" not in item for item in content) else PARTED).join(content)
    return "" if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def untouched(text: str, tokens: int) -> Compression:
    """A text that stays as it is."""
    return Compression(text=text, tokens_before=tokens, tokens_after=tokens, strategy="none", lossless=True)


class CompressionChain:
    """Asks the installed compressors until content fits.

    Args:
        questions: The engine's hooks.
        shadow: What it would have done is recorded, and the content stays as it is.
        calibration: The file by which floors that have a risk are held; by default that of the project.
        executor: Where large texts are compressed; by default in a thread.

    Attributes:
        shadow: As given.
    """

    def __init__(
        self,
        questions: Questions,
        *,
        shadow: bool = False,
        calibration: str = "",
        executor: Executor | None = None,
    ) -> None:
        self._questions = questions
        self._executor = executor
        self._calibration = calibration
        self.shadow = shadow

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
        dense: bool = False,
        model: ModelClient | None = None,
        context: Sequence[tuple[str, str]] = (),
    ) -> Fitted:
        """Make *text* fit into *target_tokens*.

        Nothing is done to text that fits. If the target cannot be reached without losing more facts than the
        policy allows, *model* is asked to rewrite the text, if there is one; else the least that keeps the facts
        is returned, with `refused`.
        """
        count = remembering(count)
        before = count(text)
        if before <= target_tokens or policy.strategy == "none":
            return Fitted(untouched(text, before))
        if policy.risk is not None:
            told = {"count": count, "query": query, "intent": intent, "dense": dense, "context": context}
            return await self._held(text, before, target_tokens, policy, lossless_only=lossless_only, **told)
        task = _Task(text, kind_of(text), before, policy, count, query, intent, dense, model, tuple(context))
        start = _State(text, before, task.kind, text)
        exact = await self._encoded(task, start, target_tokens)
        if exact.tokens <= target_tokens or lossless_only:
            return Fitted(self._compression(task, exact))
        return await self._selected(task, exact, target_tokens)

    async def _held(
        self, text: str, before: int, target: int, policy: CompressionPolicy, *, lossless_only: bool, **told: Any
    ) -> Fitted:
        """The smallest of the calibrated sizes, from the target on, whose quality is what floor and risk ask for;
        else the content with nothing left out. Just as the calibration chose, or it would not hold.
        """
        least = least_quality(policy.floor, policy.risk or 0.0, self._calibration)
        plain = policy.model_copy(update={"risk": None, "floor": 0.0})
        first = max((size for size in SIZES if size * before <= target), default=SIZES[0])
        for size in () if lossless_only else (size for size in SIZES if size >= first):
            fitted = await self.fit(text, int(before * size), policy=plain, **told)
            done = fitted.compression
            if done.quality >= least and not fitted.refused:
                return Fitted(done, refused=done.tokens_after > target)
        exact = await self.fit(text, target, policy=plain, lossless_only=True, **told)
        return Fitted(exact.compression, refused=exact.compression.tokens_after > target)

    async def _encoded(self, task: _Task, state: _State, target: int) -> _State:
        """The content re-encoded, by one compressor after the other, as far as needed."""
        tried: tuple[str, ...] = ()
        for _ in range(MAX_ROUNDS):
            if state.tokens <= target:
                break
            answer = await self._ask(task, state.text, state.kind, state.tokens, target, tried, exact=True)
            if answer is None:
                break
            tried = (*tried, answer.strategy)
            state = self._next(task, state, answer) or state
        return state

    async def _selected(self, task: _Task, exact: _State, target: int) -> Fitted:
        """What the compressors select, the first that keeps enough; else the least that does, or all."""
        tried = tuple(dict.fromkeys(exact.names))
        ahead = len(tried)
        best, refused = self._compression(task, exact), False
        for _ in range(MAX_ROUNDS):
            state = await self._aimed(task, exact, target, tried)
            if state is None:
                break
            tried = (*tried, state.names[0])
            done = self._compression(task, state)
            enough = self._keeps_enough(task, state, done)
            if enough and done.tokens_after <= target:
                return Fitted(done)
            if enough:  # It cannot be made to fit, but what is smaller is still better.
                best = _smaller(best, done, first=len(tried) == ahead + 1)
                continue
            refused = True
            raised = await self._raised(task, exact, target, state.names[0])
            if raised is not None:
                best = _smaller(best, raised, first=len(tried) == ahead + 1)
        rewritten = await self._rewritten(task, exact, target) if refused and task.model is not None else None
        return Fitted(rewritten) if rewritten is not None else Fitted(best, refused=refused)

    async def _rewritten(self, task: _Task, exact: _State, target: int) -> Compression | None:
        """The content in a model's words, if those fit and keep enough."""
        tokens = task.count(exact.base)
        answer = await self._ask(
            task, exact.base, exact.kind, tokens, target, exact.names, exact=False, model=task.model
        )
        if answer is None or not answer.spent:
            return None
        state = self._selection(task, exact.kind, answer)
        done = self._compression(task, state).model_copy(update={"spent": answer.spent})
        return done if done.tokens_after <= target and self._keeps_enough(task, state, done) else None

    async def _raised(self, task: _Task, exact: _State, target: int, name: str) -> Compression | None:
        """The smallest selection found that keeps enough."""
        low, high = target, exact.tokens
        best = None
        for _ in range(RAISES):
            middle = (low + high) // 2
            state = await self._aimed(task, exact, middle, (), name)
            if state is None:
                break
            done = self._compression(task, state)
            if self._keeps_enough(task, state, done):
                best, high = done, middle
            else:
                low = middle
        return best

    async def _aimed(
        self, task: _Task, exact: _State, target: int, tried: tuple[str, ...], name: str = ""
    ) -> _State | None:
        """The largest selection found that fits once it is encoded, or else the smallest found; None if no
        compressor
        is left or none can select.
        """
        tokens = task.count(exact.base)
        # A compressor that selects from the text of a page needs to know that it was one.
        kind = "html" if task.kind == "html" else exact.kind
        # Both ends of what may be aimed at, each with the size that its encoded selection has.
        low, high = (0, 0), (tokens, exact.tokens)
        best: _State | None = None
        missed = 0
        for left in reversed(range(AIMS)):
            aim = _between(low, high, int(target * (1 - MISSED * missed))) if left or low[0] else target
            answer = await self._ask(task, exact.base, kind, tokens, aim, tried, exact=False, name=name)
            if answer is None:
                break
            name, tried = answer.strategy, ()
            state = self._selection(task, exact.kind, answer)
            for each in exact.names:  # What saved nothing on the whole is not worth its time on a part.
                answer = await self._ask(task, state.text, state.kind, state.tokens, 0, (), exact=True, name=each)
                state = (answer and self._next(task, state, answer)) or state
            if best is None or _nearer(state.tokens, best.tokens, target):
                best = state
            if ENOUGH * target <= state.tokens <= target:
                break
            missed += state.tokens > target
            low, high = ((aim, state.tokens), high) if state.tokens <= target else (low, (aim, state.tokens))
            if high[0] - low[0] <= 1:
                break
        return self._after(exact, best)

    @staticmethod
    def _selection(task: _Task, kind: str, answer: Compression) -> _State:
        whole = answer.lossless or answer.preserving
        tokens = task.count(answer.text)
        return _State(
            answer.text, tokens, kind, answer.text, (answer.strategy,), answer.dropped, answer.lossless, whole
        )

    @staticmethod
    def _after(exact: _State, state: _State | None) -> _State | None:
        """A selection from a base that had itself been rewritten: what was done before counts too."""
        if state is None or exact.lossless:
            return state
        return replace(state, dropped=(*exact.dropped, *state.dropped), lossless=False)

    async def _ask(
        self,
        task: _Task,
        text: str,
        kind: str,
        tokens: int,
        target: int,
        tried: tuple[str, ...],
        *,
        exact: bool,
        name: str = "",
        model: ModelClient | None = None,
    ) -> Compression | None:
        request = CompressRequest(
            text=text,
            tokens=tokens,
            target_tokens=target,
            count=task.count,
            strategy=name or task.policy.strategy,
            lossless_only=exact,
            tried=tried,
            query=task.query,
            intent=task.intent,
            kind=kind,
            protect=task.policy.protect,
            model=model,
            context=task.context,
            dense=task.dense,
        )
        return await compressed(self._questions, request, self._executor)

    @staticmethod
    def _next(task: _Task, state: _State, answer: Compression) -> _State | None:
        """The state after an exact *answer*, or None if it is no shorter."""
        after = task.count(answer.text)
        if after >= state.tokens:
            return None
        return _State(
            text=answer.text,
            tokens=after,
            kind=kind_of(answer.text) if not answer.lossless else state.kind,
            base=state.base if answer.lossless else answer.text,
            names=(*state.names, answer.strategy),
            dropped=(*state.dropped, *answer.dropped),
            lossless=state.lossless and answer.lossless,
            whole=state.whole,
        )

    @staticmethod
    def _keeps_enough(task: _Task, state: _State, done: Compression) -> bool:
        if done.preserving:
            return True
        # Looked for before the selection was encoded: an encoding says the same in other letters.
        lost = any(match not in state.base for match in task.protected)
        return done.quality >= task.policy.floor and not lost

    @staticmethod
    def _compression(task: _Task, state: _State) -> Compression:
        return Compression(
            text=state.text,
            tokens_before=task.before,
            tokens_after=state.tokens,
            strategy="+".join(state.names) or "none",
            lossless=state.lossless,
            preserving=state.whole and not state.lossless,
            quality=1.0
            if state.lossless
            else expected_retention(task.original, state.text, query=task.query, kind=task.kind),
            dropped=state.dropped,
        )


def remembering(count: Callable[[str], int]) -> Callable[[str], int]:
    """*count*, which is asked about the same long texts by the chain and by its compressors."""
    remembered = lru_cache(maxsize=8)(count)
    return lambda text: remembered(text) if len(text) > LONG else count(text)


def _smaller(best: Compression, other: Compression, *, first: bool) -> Compression:
    """The smaller of two; what another compressor selects, unless it is the *first*, has to be clearly smaller, as
    compressors are asked in the order in which they know what matters.
    """
    return other if other.tokens_after < best.tokens_after * (1.0 if first else CLEARLY) else best


def _nearer(tokens: int, than: int, target: int) -> bool:
    """True if a text of so many tokens is better than the other: one that fits, and of those the one that says
    most;
    where none fits, the smaller.
    """
    if tokens > target:
        return tokens < than
    return than > target or tokens > than


def _between(low: tuple[int, int], high: tuple[int, int], wanted: int) -> int:
    """Where a line through two points (aim, size) has the size that is wanted, a little below, between the two."""
    rise = max(1, high[1] - low[1])
    aim = low[0] + int((high[0] - low[0]) * (0.995 * wanted - low[1]) / rise)
    return max(low[0] + 1, aim)  # Below the high end, whose size is above what is wanted.

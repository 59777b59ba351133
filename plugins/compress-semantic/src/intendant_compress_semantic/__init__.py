"""Keeps the sentences, lines or values that answer what the step asks, or carry facts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from intendant.plugin import Compression, Compressor, CompressRequest, Json, Options, TextUnit, text_units
from intendant_compress_semantic._index import A_TOKEN, SHARE, index
from intendant_compress_semantic._near import nearness
from intendant_compress_semantic._outliers import outlying_rows
from intendant_compress_semantic._rewriting import rewritten
from intendant_compress_semantic._scores import Worth, worths
from intendant_compress_semantic._select import fitting, ranked
from intendant_compress_semantic._talk import written_down
from intendant_compress_semantic._tree import tree_in

__all__ = ["SemanticCompressor", "SemanticSettings"]

TRIES = 5
ENOUGH = 0.99
"""Share of the target from which a selection is not made any larger."""
STORIES = frozenset({"prose", "passages", "transcript", "mail", "markdown", "html", "text", "log", "shell"})
"""Kinds in which what stands beside an answer belongs to it."""
INDEXED = frozenset({"mail", "markdown"})
"""Kinds that are read for names and addresses."""


class SemanticSettings(Options):
    """Settings of the compressor `semantic`."""

    mark: bool = True
    """Say in the text how much was left out. JSON stays JSON and gets no mark."""
    index: bool = True
    """Name the persons, things and addresses that stand in what was left out of mails and manuals."""
    nearness: float = 3.0
    """What nearness to the question counts for; a unit full of facts that nobody asked for is worth about 1."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Content in units, with what each is worth, and how it is written with some of them."""

    units: Sequence[TextUnit]
    kind: str
    worth: Sequence[Worth]
    what: str
    written: Callable[[list[int], int], str]
    """With those units, and so many characters of an index of the others."""
    indexed: bool = False


class SemanticCompressor(Compressor):
    """Selects units by nearness to the step's question, by the part they play and the facts they carry.

    Nothing is rewritten: what is kept stands as it stood, in its order, below the headings it stood under; but of
    talk, hesitations and words that are said twice go.
    """

    name = "semantic"
    Settings = SemanticSettings

    def __init__(self, settings: Mapping[str, Json] | None = None) -> None:
        super().__init__(settings)
        # The chain asks again about the same content with another target, until its encoded form fits.
        self._weighed = lru_cache(maxsize=2)(self._weigh)

    def compress(self, request: CompressRequest) -> Compression | Awaitable[Compression | None] | None:
        """The best units that fit the target, or a model's rewriting; None if all fits, or nothing does."""
        if request.tokens <= request.target_tokens:
            return None
        return self._selected(request) if request.model is None else rewritten(request, request.model)

    def _selected(self, request: CompressRequest) -> Compression | None:
        parts, sizes, order = self._weighed(
            request.text, request.kind, request.query, request.protect, request.count
        )
        best = None
        if parts.indexed:
            best = self._fitted(request, parts, (sizes, order), int(request.target_tokens * (1 - SHARE)))
            best = self._with_index(request, parts, *best) if best is not None else None
        if best is None:
            best = self._fitted(request, parts, (sizes, order), request.target_tokens)
        return self._answer(request, parts, *best) if best else None

    @staticmethod
    def _fitted(
        request: CompressRequest, parts: _Parts, ranked_units: tuple[list[int], list[int]], limit: int
    ) -> tuple[int, str, list[int]] | None:
        """The most that was found to fit: tokens, text and units."""
        room = limit - request.count(parts.written([], 0))
        best: tuple[int, str, list[int]] | None = None
        for _ in range(TRIES):
            kept = fitting(parts.units, *ranked_units, room)
            if not kept:
                break
            text = parts.written(kept, 0)
            tokens = request.count(text)
            if tokens <= limit and (best is None or tokens > best[0]):
                best = tokens, text, kept
            if ENOUGH * limit <= tokens <= limit:
                break
            # Tokens of parts do not quite add up to those of the whole.
            room += limit - tokens - (tokens > limit)
        return best

    @staticmethod
    def _with_index(
        request: CompressRequest, parts: _Parts, tokens: int, text: str, kept: list[int]
    ) -> tuple[int, str, list[int]] | None:
        """The same with as much of an index as there is room for; None if that is none."""
        room = A_TOKEN * (request.target_tokens - tokens)
        for characters in (room, room // 2):
            indexed = parts.written(kept, characters)
            more = request.count(indexed)
            if more <= request.target_tokens and indexed != text:
                return more, indexed, kept
        return None

    def _weigh(
        self, text: str, kind: str, query: str, protect: tuple[str, ...], count: Callable[[str], int]
    ) -> tuple[_Parts, list[int], list[int]]:
        """The content in units, their tokens, and the order in which they are kept."""
        parts = self._parts(text, kind, query, protect)
        sizes = [max(1, count(unit.text)) for unit in parts.units]
        return parts, sizes, ranked(sizes, parts.worth, parts.kind)

    def _parts(self, text: str, kind: str, query: str, protect: tuple[str, ...]) -> _Parts:
        settings: SemanticSettings = self.settings
        tree = tree_in(text)
        if tree is not None:
            near = nearness(tree.units, query, story=False)
            worth = worths(tree.units, near, tree.outlying(), settings.nearness, "json", protect)
            return _Parts(tree.units, "json", worth, tree.what, lambda kept, _: tree.written(kept))
        # What is protected stands as it was said, or it could not be found again.
        content = text_units(written_down(text) if kind == "transcript" and not protect else text, kind)
        units = content.units
        near = nearness(units, query, story=kind in STORIES, spoken=kind == "transcript")
        rare: frozenset[int] = frozenset()
        if kind == "table":
            heads = sum(unit.role == "head" for unit in units)
            rare = frozenset(index + heads for index in outlying_rows([unit.text for unit in units[heads:]]))
        worth = worths(units, near, rare, settings.nearness, kind, protect)

        def written(kept: list[int], room: int) -> str:
            body = content.written(kept)
            if not settings.mark or len(kept) == len(units):
                return body
            line_end = "" if body.endswith("\n") or not body else "\n"
            body += line_end + index(units, kept, body, room)
            return f"{body}[{len(units) - len(kept)} of {len(units)} {content.what} left out]"

        indexed = settings.index and settings.mark and kind in INDEXED
        return _Parts(units, kind, worth, content.what, written, indexed)

    def _answer(
        self, request: CompressRequest, parts: _Parts, tokens: int, text: str, kept: list[int]
    ) -> Compression:
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=False,
            quality=tokens / request.tokens,
            dropped=(f"{len(parts.units) - len(kept)} of {len(parts.units)} {parts.what}",),
        )

"""Folds lines of the same shape, such as those of a log, and keeps repeated blocks once, without losing one."""

from collections.abc import Sequence
from typing import ClassVar

from intendant.plugin import Compression, Compressor, CompressRequest, Options
from intendant_compress_template._context import Context, referred, referring, refers
from intendant_compress_template._dense import HEAD as SIGNS, condensed, spelled_out
from intendant_compress_template._fold import foldings
from intendant_compress_template._form import expand as expand_lines, is_folded
from intendant_compress_template._kinds import laid_out
from intendant_compress_template._paths import HEAD as PATHS, by_directory, whole_paths
from intendant_compress_template._repeats import is_shortened, keep_once, put_back
from intendant_compress_template._trees import is_undrawn, redrawn, undrawn

__all__ = ["TemplateCompressor", "TemplateSettings", "expand"]

LEFT_ALONE = ("code", "diff", "config")
"""Kinds that are read by their lay-out."""
MAX_TEXT = 10_000_000
"""Characters above which content is left as it is."""
NEAR = 1.15
"""How much longer than the shortest a candidate may be that is counted."""
MOST_LINES = 400_000


def expand(text: str, context: Context = ()) -> str:
    """The text that was folded.

    Args:
        text: Folded, shortened, or with references.
        context: Names and texts that stood in the prompt already, where references were made to these.

    Raises:
        ValueError: This is no such text.
    """
    before = text
    if text.startswith(SIGNS):
        text = spelled_out(text)
    if text.startswith(PATHS):
        text = whole_paths(text)
    elif is_undrawn(text):
        text = redrawn(text)
    else:
        text = expand_lines(text) if is_folded(text) else text
        text = put_back(text) if is_shortened(text) else text
    if context and refers(text):
        text = referred(text, context)
    if text is before:
        raise ValueError("this is no folded text")
    return text


class TemplateSettings(Options):
    """Settings of the compressor `template`."""

    least_saved: float = 0.03
    """Share of the tokens that folding has to save; less is not worth the reader's trouble."""


class TemplateCompressor(Compressor):
    """Writes the shape of similar lines once, and for each line what is its own, in the order of the lines.

    Blocks of lines that were there before, quoted or not, are kept once. Equal lines that follow each other are
    written once with their number. What is written is expanded and compared before it is used.
    """

    name = "template"
    lossless: ClassVar[bool] = True
    Settings = TemplateSettings

    def compress(self, request: CompressRequest) -> Compression | None:
        """The folded text, or None if folding saves too little."""
        text = request.text
        if len(text) > MAX_TEXT or text.count("\n") > MOST_LINES:
            return None
        context: Context = request.context
        shared = referring(text, context) if context else None
        candidates = [] if shared is None else [shared]
        foldable = request.kind not in LEFT_ALONE and not laid_out(text)
        if foldable:
            candidates += _candidates(text if shared is None else shared)
        tokens, best = _fewest(request, candidates)
        if request.dense and foldable and (signs := condensed(best)) is not None:
            tokens, best = min((tokens, best), (request.count(signs), signs))
        settings: TemplateSettings = self.settings
        most = min(request.tokens - 1, int(request.tokens * (1 - settings.least_saved)))
        if tokens > most or _expanded(best, context) != text:
            return None
        return Compression(
            text=best,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=shared is None,
            preserving=shared is not None,
            dropped=() if shared is None else ("what stands in the prompt already",),
        )


def _fewest(request: CompressRequest, candidates: Sequence[str]) -> tuple[int, str]:
    """The candidate of the fewest tokens, or the text itself."""
    # The shortest has the fewest tokens, or one that is not much longer has.
    most = min([len(request.text) - 1, *(int(NEAR * len(one)) for one in candidates)])
    shorter = [(request.count(one), one) for one in candidates if len(one) <= most]
    return min([(request.tokens, request.text), *shorter], key=lambda pair: pair[0])


def _expanded(text: str, context: Context) -> str | None:
    try:
        return expand(text, context)
    except ValueError:
        return None


def _candidates(text: str) -> list[str]:
    """*text* with repeated blocks kept once, that folded, and its paths by directory; or the tree that it is."""
    if is_folded(text) or text.startswith((PATHS, SIGNS)) or is_undrawn(text):
        return []
    tree = undrawn(text)
    if tree is not None:
        return [tree]
    once = keep_once(text)
    return [
        one for one in (once, *foldings(text if once is None else once), by_directory(text)) if one is not None
    ]

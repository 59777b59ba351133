"""Folds lines of the same shape, such as those of a log, and keeps repeated blocks once, without losing one."""

from typing import ClassVar

from intendant import Compression, Compressor, CompressRequest, Options
from intendant_compress_template._fold import foldings
from intendant_compress_template._form import expand as _expand_lines
from intendant_compress_template._form import is_folded
from intendant_compress_template._kinds import laid_out
from intendant_compress_template._paths import HEAD as PATHS
from intendant_compress_template._paths import by_directory, whole_paths
from intendant_compress_template._repeats import is_shortened, keep_once, put_back
from intendant_compress_template._trees import is_undrawn, redrawn, undrawn

__all__ = ["TemplateCompressor", "TemplateSettings", "expand"]

LEFT_ALONE = ("code", "diff", "config")
"""Kinds that are read by their lay-out."""
MAX_TEXT = 20_000_000
"""Characters above which content is left as it is."""


def expand(text: str) -> str:
    """The text that was folded.

    Raises:
        ValueError: This is no folded text.
    """
    if text.startswith(PATHS):
        return whole_paths(text)
    if is_undrawn(text):
        return redrawn(text)
    if not is_folded(text) and not is_shortened(text):
        raise ValueError("this is no folded text")
    return put_back(_expand_lines(text) if is_folded(text) else text)


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

    def shrink(self, request: CompressRequest) -> Compression | None:
        """The folded text, or None if folding saves too little."""
        if request.kind in LEFT_ALONE or len(request.text) > MAX_TEXT or laid_out(request.text):
            return None
        settings: TemplateSettings = self.settings
        most = min(request.tokens - 1, int(request.tokens * (1 - settings.least_saved)))
        counted = [(request.count(text), text) for text in _candidates(request.text)]
        tokens, text = min(counted, key=lambda pair: pair[0], default=(request.tokens, ""))
        if tokens > most or _expanded(text) != request.text:
            return None
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=True,
        )


def _expanded(text: str) -> str | None:
    try:
        return expand(text)
    except ValueError:
        return None


def _candidates(text: str) -> list[str]:
    """*text* with repeated blocks kept once, and that folded; only what is shorter."""
    if is_folded(text) or text.startswith(PATHS) or is_undrawn(text):
        return []
    tree = undrawn(text)
    if tree is not None:
        return [tree]
    paths = by_directory(text)
    once = keep_once(text)
    folded = foldings(once if once is not None else text)
    return [
        candidate for candidate in (once, *folded, paths) if candidate is not None and len(candidate) < len(text)
    ]

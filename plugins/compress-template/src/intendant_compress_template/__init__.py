"""Folds lines of the same shape, such as those of a log, without losing one."""

from typing import ClassVar

from intendant import Compression, Compressor, CompressRequest, Options
from intendant_compress_template._fold import expand, fold

__all__ = ["TemplateCompressor", "TemplateSettings", "expand"]

LEFT_ALONE = ("json", "code", "html", "diff")
"""Kinds that are read by their lay-out."""


class TemplateSettings(Options):
    """Settings of the compressor `template`."""

    least_saved: float = 0.1
    """Share of the tokens that folding has to save; less is not worth the reader's trouble."""


class TemplateCompressor(Compressor):
    """Writes the shape of similar lines once, and for each line what is its own, in the order of the lines.

    Equal lines that follow each other are written once with their number. What is written is expanded and compared
    before it is used.
    """

    name = "template"
    lossless: ClassVar[bool] = True
    Settings = TemplateSettings

    def shrink(self, request: CompressRequest) -> Compression | None:
        """The folded text, or None if folding saves too little."""
        if request.kind in LEFT_ALONE:
            return None
        settings: TemplateSettings = self.settings
        text = fold(request.text)
        if text is None or expand(text) != request.text:
            return None
        tokens = request.count(text)
        if tokens >= request.tokens or tokens > request.tokens * (1 - settings.least_saved):
            return None
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=True,
        )

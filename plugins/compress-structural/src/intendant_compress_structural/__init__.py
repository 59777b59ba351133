"""Writes content in fewer tokens without losing a value."""

import re
from typing import ClassVar

from intendant import Compression, Compressor, CompressRequest
from intendant_compress_structural._table import decode, encodings

__all__ = ["StructuralCompressor", "decode"]

PROSE = ("prose", "text", "mail")
"""Kinds in which trailing spaces and runs of empty lines mean nothing, outside fences."""
_FENCE = re.compile(r"\s*(```|~~~)")
BLANK = 2
"""Empty lines in a row that are kept."""


class StructuralCompressor(Compressor):
    """Re-encodes JSON as whatever takes the fewest tokens: minified, or header and rows.

    Whatever it writes is decoded and compared before it is used. From prose it takes trailing spaces and runs of
    empty lines, which is not called lossless. Markdown, code, YAML, tables, logs and diffs are left as they are.
    """

    name = "structural"
    lossless: ClassVar[bool] = True

    def shrink(self, request: CompressRequest) -> Compression | None:
        """The shortest encoding by the request's own count, or None if none is shorter."""
        candidates = encodings(request.text)
        lossless = bool(candidates)
        if not candidates and request.kind in PROSE and not request.lossless_only:
            candidates = [tidied(request.text)]
        counted = [(request.count(text), text) for text in candidates if text != request.text]
        tokens, text = min(counted, key=lambda pair: pair[0], default=(request.tokens, ""))
        if tokens >= request.tokens:
            return None
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=lossless,
            dropped=() if lossless else ("trailing spaces and runs of empty lines",),
        )


def tidied(text: str) -> str:
    """*text* without trailing spaces and with at most two empty lines in a row, except between fences.

    Text in which a line is indented like code, or which looks like a diff, is left as it is.
    """
    lines = text.split("\n")
    if any(line.startswith(("    ", "\t", "@@ ", "diff --git")) for line in lines):
        return text
    kept: list[str] = []
    fenced, blank = False, 0
    for line in lines:
        if _FENCE.match(line):
            fenced = not fenced
        if fenced:
            kept.append(line)
            blank = 0
            continue
        bare = line.rstrip()
        blank = 0 if bare else blank + 1
        if blank <= BLANK:
            kept.append(bare)
    return "\n".join(kept)

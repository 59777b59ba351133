"""Writes content in fewer tokens without losing a value."""

import re
from collections.abc import Callable
from typing import ClassVar, Literal

from intendant.plugin import Compression, Compressor, CompressRequest, Options
from intendant_compress_structural._grids import ungridded
from intendant_compress_structural._html import to_markdown
from intendant_compress_structural._loading import MAX_TEXT
from intendant_compress_structural._parts import with_smaller_parts
from intendant_compress_structural._reading import decode
from intendant_compress_structural._writing import encodings

__all__ = ["StructuralCompressor", "StructuralSettings", "decode"]

PROSE = ("prose", "text", "mail")
"""Kinds in which trailing spaces and runs of empty lines mean nothing, outside fences."""
GRIDS = ("prose", "text", "mail", "table", "markdown")
"""Kinds in which tables are looked for."""
GONE = ("markup of HTML", "targets of links outside running text", "paragraphs that come again")
"""Of pages."""
BLANK = 2
"""Empty lines in a row that are kept."""
_FENCE = re.compile(r"\s*(```|~~~)")
_HTML = re.compile(
    r"\ufeff?\s*+(?:<\?xml[^>]*>\s*+)?(?:<!--[^>]*-->\s*+)*+<(?:!doctype html|html|head|body)\b", re.IGNORECASE
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class StructuralSettings(Options):
    """Settings of the compressor `structural`."""

    links: Literal["content", "all"] = "content"
    """Which links of HTML keep their targets: those in running text, or all."""


class StructuralCompressor(Compressor):
    """Re-encodes content as whatever takes the fewest tokens by the model's own count.

    JSON, whole or among other text, becomes header and rows, or minified; what is written is decoded and compared
    before it is used. HTML becomes text with headings, lists, tables and links, tables lose their pads, and prose
    its trailing spaces: these keep the content and not the form, so they are not called lossless, and `dropped`
    says what went.
    """

    name = "structural"
    lossless: ClassVar[bool] = True
    Settings = StructuralSettings

    def compress(self, request: CompressRequest) -> Compression | None:
        """The shortest encoding by the request's own count, or None if none is shorter."""
        text = request.text
        if len(text) > MAX_TEXT:
            return None
        candidates = encodings(text, dense=request.dense)
        dropped: tuple[str, ...] = ()
        if not candidates:
            rewritten, dropped = self._rewritten(request)
            candidates = [rewritten]
        counted = [(request.count(one), one) for one in candidates if one != text and len(one) <= len(text)]
        tokens, best = min(counted, key=lambda pair: pair[0], default=(request.tokens, ""))
        if tokens >= request.tokens:
            return None
        return Compression(
            text=best,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=not dropped,
            preserving=bool(dropped),
            dropped=dropped,
        )

    def _rewritten(self, request: CompressRequest) -> tuple[str, tuple[str, ...]]:
        """The text of a document that is not JSON, and what of its form went."""
        text = request.text
        settings: StructuralSettings = self.settings
        if request.kind == "html" or _HTML.match(text):
            page = to_markdown(text, all_links=settings.links == "all")
            return (text, ()) if page is None else (page, GONE)
        text = with_smaller_parts(text, request.count) or text
        dropped = []
        for what, rewrite in _rewriters(request.kind):
            shorter = rewrite(text)
            if shorter is not None and len(shorter) < len(text):
                text = shorter
                dropped.append(what)
        return text, tuple(dropped)


def _rewriters(kind: str) -> list[tuple[str, Callable[[str], str | None]]]:
    """What may be done to texts of that *kind*, each with what it drops."""
    found: list[tuple[str, Callable[[str], str | None]]] = [("colours", uncoloured)]
    if kind in GRIDS:
        found.append(("pads and rules of tables", ungridded))
    if kind in PROSE:
        found.append(("trailing spaces and runs of empty lines", tidied))
    return found


def uncoloured(text: str) -> str | None:
    """*text* without the control sequences that colour it in a terminal; None if it has none."""
    return _COLOUR.sub("", text) if "\x1b" in text else None


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

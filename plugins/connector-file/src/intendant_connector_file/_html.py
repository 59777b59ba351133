"""Text of HTML in linear time: the standard library's parser takes minutes for some hostile mails."""

import html
import re

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)|<[!?]")
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style")}
"""The ends of what holds no tags."""
_BLOCKS = frozenset(
    ("br", "p", "div", "tr", "li", "table", "ul", "ol", "blockquote", "hr", "h1", "h2", "h3", "h4")
)
_UNSEEN = frozenset(("script", "style", "head", "title", "template"))


def strip_html(source: str) -> str:
    """The text of HTML: blocks on lines of their own, scripts, styles and comments left out."""
    scanner = _Scanner(source)
    while scanner.at < len(source):
        scanner.advance()
    lines = [" ".join(line.split()) for line in "".join(scanner.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Scanner:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.pieces: list[str] = []
        self._unseen = 0
        self._comment_ends = source.rfind("-->")
        self._unclosed: set[str] = set()

    def advance(self) -> None:
        """Past the next text, and the tag or comment after it."""
        start = self.source.find("<", self.at)
        self._text(self.at, len(self.source) if start < 0 else start)
        if start < 0:
            self.at = len(self.source)
            return
        tag = _TAG.match(self.source, start)
        if tag is None:  # a less-than sign in the text
            self._text(start, start + 1)
            self.at = start + 1
        elif self.source.startswith("<!--", start) and start + 4 <= self._comment_ends:
            self.at = self.source.find("-->", start + 4) + 3
        else:
            self._tag(tag, start)

    def _text(self, start: int, end: int) -> None:
        if start < end and not self._unseen:
            self.pieces.append(re.sub(r"\s+", " ", html.unescape(self.source[start:end])))

    def _tag(self, tag: re.Match[str], start: int) -> None:
        end = self.source.find(">", start)
        if end < 0:  # no tag is closed any more: what is left is text
            self._text(start, len(self.source))
            self.at = len(self.source)
            return
        self.at = end + 1
        name = (tag[2] or "").lower()
        if name == "body":
            self._unseen = 0
        elif name in _UNSEEN:
            self._unseen = max(0, self._unseen - 1) if tag[1] else self._unseen + 1
            if not tag[1] and name in _RAW and name not in self._unclosed:
                self._skip(name)
        elif name in _BLOCKS:
            self.pieces.append("\n")

    def _skip(self, name: str) -> None:
        """To the end of a script or style."""
        end = _RAW[name].search(self.source, self.at)
        if end is None:
            self._unclosed.add(name)
        else:
            self.at = end.start()

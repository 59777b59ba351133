"""A mail's parts: which of them are its text, and which are attachments."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import compat32
from hashlib import sha256
from typing import cast

from intendant.model.workflow import Json
from intendant.text.charsets import decode
from intendant.text.html_text import charset_of, strip_html
from intendant.text.watch import Watch

PLAIN, HTML, OTHER = 3, 2, 1
"""Which of several alternatives is preferred: the highest of those that hold anything."""
FORWARDED = "---------- Forwarded message ----------"
ENDINGS = {
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/vcard": ".vcf",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "image/jpeg": ".jpg",
    "image/png": ".png",
}
"""How the names of attachments without a name end."""
MOST_NESTED = 50
"""Parts within each other of which the text is read; the parser itself admits more."""


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of a part."""

    text: str
    rank: int
    damaged: int = 0


class Parts:
    """The text and the attachments of a mail.

    Parts of one `multipart/alternative` stand for one another, and the best that holds anything is taken. All
    others follow each other. A mail within the mail is an attachment, and its text follows.

    Args:
        message: The mail.
        heading: Writes the lines that say what a mail within it is.
        watch: Looked at between parts.
        links: Whether the addresses of links follow their texts.
        content: Whether attachments have their content.
    """

    def __init__(
        self,
        message: EmailMessage,
        heading: Callable[[EmailMessage], list[str]],
        watch: Watch,
        *,
        links: bool,
        content: bool = False,
    ) -> None:
        self._heading, self._watch, self._links, self._content = heading, watch, links, content
        self._inside = 0
        self.attachments: list[Json] = []
        """`name`, `type`, `size` each; with content also `content` (Base64) and `file`, a name to save it as."""
        self._named: list[EmailMessage] = []
        found = self._of(message, 0)
        if not found.text and not any(_disposition(part) == "attachment" for part in self._named):
            # Some programs give the only text a name.
            found = _joined([self._plain(part) for part in self._named])
        self.text = found.text
        self.damaged = found.damaged

    def _of(self, part: EmailMessage, depth: int) -> _Text:
        self._watch.look()
        kind = part.get_content_type()
        if kind == "message/rfc822":
            return self._within(part, depth)
        children = _children(part)
        if children is None:
            return self._leaf(part)
        if depth > MOST_NESTED:
            return _Text("", OTHER, 1)
        if kind == "multipart/alternative":
            return self._best([self._of(child, depth + 1) for child in children])
        return _joined([self._of(child, depth + 1) for child in children])

    def _best(self, texts: list[_Text]) -> _Text:
        """The one of the alternatives that is read; the others say the same in another form."""
        there = [text for text in texts if text.text]
        return max(there, key=lambda text: text.rank, default=_joined(texts))

    def _leaf(self, part: EmailMessage) -> _Text:
        named = filename(part)
        if part.get_content_maintype() == "multipart":  # none of its boundaries was found
            return self._plain(part)
        if _disposition(part) == "attachment" or named is not None or not _is_body(part):
            self._attach(part, named)
            if part.get_content_maintype() == "text" and _is_body(part):
                self._named.append(part)
            return _Text("", OTHER)
        return self._plain(part)

    def _attach(self, part: EmailMessage, named: str | None) -> None:
        about = _attachment(part, named)
        if self._content and about["size"] is not None:
            held = payload_of(part)
            _held(about, held)
        self.attachments.append(about)

    def _plain(self, part: EmailMessage) -> _Text:
        data = payload_of(part)
        is_html = part.get_content_subtype() == "html"
        charset = _charset(part) or (charset_of(data) if is_html else None)
        text, damaged = decode(data, charset)
        text = strip_html(text, links=self._links) if is_html else text.replace("\r\n", "\n")
        subtype = part.get_content_subtype()
        return _Text(text.strip(), {"plain": PLAIN, "html": HTML}.get(subtype, OTHER), damaged)

    def _within(self, part: EmailMessage, depth: int) -> _Text:
        """A mail within the mail. Its content has that of mails within it, which are not given again."""
        self._attach(part, filename(part))
        inner = _inner(part)
        if self._content and inner is not None and not self._inside and (held := _written(inner)) is not None:
            about = self.attachments[-1]
            _held(about, held)
        if inner is None or depth > MOST_NESTED:
            return _Text("", OTHER, int(depth > MOST_NESTED))
        self._inside += 1
        found = self._of(inner, depth + 1)
        self._inside -= 1
        text = "\n".join([FORWARDED, *self._heading(inner), "", found.text]).strip()
        return _Text(text, PLAIN, found.damaged)


def _joined(texts: list[_Text]) -> _Text:
    there = [text for text in texts if text.text]
    return _Text(
        "\n".join(text.text for text in there),
        min((text.rank for text in there), default=OTHER),
        sum(text.damaged for text in texts),
    )


def _children(part: EmailMessage) -> Iterator[EmailMessage] | None:
    """The parts of a multipart; None of any other."""
    if part.get_content_maintype() != "multipart" or not part.is_multipart():
        return None
    return (child for child in part.get_payload() if isinstance(child, EmailMessage))


def _inner(part: EmailMessage) -> EmailMessage | None:
    """The mail that a part holds. Some programs encode it, though that is not allowed."""
    inner = next(iter(part.get_payload()), None) if part.is_multipart() else None
    if not isinstance(inner, EmailMessage):
        return None
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64" and not inner.keys():
        inner["Content-Transfer-Encoding"] = "base64"
        return cast("EmailMessage", BytesParser(policy=part.policy).parsebytes(payload_of(inner)))
    return inner


def _is_body(part: EmailMessage) -> bool:
    """True for text that people read; calendars, style sheets and tables are attachments."""
    return part.get_content_maintype() == "text" and part.get_content_subtype() in (
        "plain",
        "html",
        "enriched",
        "markdown",
        "richtext",
        "x-amp-html",
        "watch-html",
    )


def _disposition(part: EmailMessage) -> str:
    return str(part.get("Content-Disposition", "")).partition(";")[0].strip().lower()


def _attachment(part: EmailMessage, name: str | None) -> dict[str, Json]:
    from intendant.text.mails import decoded

    size = None if part.is_multipart() else len(payload_of(part))
    return {"name": None if name is None else decoded(name), "type": part.get_content_type(), "size": size}


def _held(about: dict[str, Json], content: bytes) -> None:
    """Say what an attachment holds, and a name to save it under."""
    about["file"] = safe_name(str(about["name"] or f"attachment{ENDINGS.get(str(about['type']), '')}"), content)
    about["content"] = b64encode(content).decode("ascii")


def _written(mail: EmailMessage) -> bytes | None:
    """A mail as it came; None for one that cannot be written again."""
    try:
        return mail.as_bytes(policy=compat32)  # which leaves headers as they are
    except (LookupError, ValueError, TypeError, AttributeError):
        return None


def safe_name(name: str, content: bytes) -> str:
    """A name for a file with an attachment's content: without folders and signs that systems refuse, and with the
    beginning of the content's digest, as mails may have several attachments of one name.
    """
    last = re.split(r"[/\\\\]", name)[-1]
    plain = re.sub(r"[^\w.() +,=@-]", "_", last).strip(". ")
    stem, dot, ending = plain.rpartition(".")
    ending = ending[:20] if dot and stem else ""
    kept = (stem if ending else plain)[:80].strip(". ") or "attachment"
    return f"{sha256(content).hexdigest()[:8]}-{kept}{'.' if ending else ''}{ending}"


def filename(part: EmailMessage) -> str | None:
    """The name that a part gives the file it holds."""
    try:
        return part.get_filename()
    except (LookupError, ValueError):  # the standard library raises on some malformed parameters
        return None


def _charset(part: EmailMessage) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError):
        return None


def payload_of(part: EmailMessage) -> bytes:
    """The bytes that a part holds."""
    try:
        payload = part.get_payload(decode=True)
    except (LookupError, ValueError):  # of a charset that is none
        payload = None
    return payload if isinstance(payload, bytes) else b""

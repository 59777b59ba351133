"""Reads mails. Whatever is broken in one is replaced and counted, and never stops the others."""

import re
from email.feedparser import BytesFeedParser
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any, cast

from intendant.model.errors import ConnectorError
from intendant.model.workflow import Json
from intendant.text.charsets import REPLACED, decode
from intendant.text.mail_addresses import addresses
from intendant.text.mail_parts import Parts
from intendant.text.watch import UNWATCHED, Watch

_ENVELOPE = re.compile(rb"^From [^\n]*(?:\n|\Z)", re.MULTILINE)
MOST_HEADER = 10_000
"""Characters of a header that is decoded; a longer one stays as it is, because decoding takes quadratic time."""
PIECE = 1 << 14
"""Bytes that the parser is given at once."""
_CLOCK = re.compile(rb"\d\d:\d\d")
LONGEST_DATE = 200
_ZONES = {
    "CET": "+0100",
    "CEST": "+0200",
    "MEZ": "+0100",
    "MESZ": "+0200",
    "BST": "+0100",
    "WET": "+0000",
    "WEST": "+0100",
    "EET": "+0200",
    "EEST": "+0300",
    "MSK": "+0300",
    "JST": "+0900",
    "KST": "+0900",
    "AEST": "+1000",
    "AEDT": "+1100",
    "NZST": "+1200",
    "NZDT": "+1300",
}
"""Names of time zones that programs write and the standard library does not read; only those with one meaning."""
_ZONE = re.compile(rf"\b({'|'.join(_ZONES)})\b")
_CALENDAR = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def read_mbox(
    data: bytes, watch: Watch = UNWATCHED, *, links: bool = True, content: bool = False
) -> list[dict[str, Json]]:
    """The mails of an mbox file. Each begins with a line `From somebody … 10:00 …`, after an empty line.

    Raises:
        ConnectorError: It is no mbox file.
    """
    data = data.replace(b"\r\n", b"\n").lstrip(b"\n")
    if data and not data.startswith(b"From "):
        raise ConnectorError(
            "this is no mbox: its first line does not begin with 'From '", hint="see `format: eml`"
        )
    starts = [match for match in _ENVELOPE.finditer(data) if match.start() == 0 or _begins(data, match)]
    ends = [match.start() for match in starts[1:]] + [len(data)] * bool(data)
    spans = zip(starts, ends, strict=True)
    return [
        read_mail(_unquoted(data[match.end() : end]), watch, links=links, content=content) for match, end in spans
    ]


def _begins(data: bytes, envelope: re.Match[bytes]) -> bool:
    """True for an envelope; false for a sentence that begins with From."""
    return data.endswith(b"\n\n", 0, envelope.start()) and _CLOCK.search(envelope[0]) is not None


def _unquoted(data: bytes) -> bytes:
    """Lines that begin with `From ` are written `>From ` in an mbox."""
    return re.sub(rb"^>(>*From )", rb"\1", data, flags=re.MULTILINE)


def read_mail(
    data: bytes, watch: Watch = UNWATCHED, *, links: bool = True, content: bool = False
) -> dict[str, Json]:
    """One mail.

    Args:
        data: The mail as it came.
        watch: Looked at between its parts.
        links: Whether the addresses of an HTML part's links follow their texts.
        content: Whether attachments have their content, in Base64, and a name under which it may be saved.

    Returns:
        `id`, `from`, `from_address` (in lower case, to look senders up by), `to`, `cc`, `date` (ISO 8601, or
        null), `subject`, `text`, `attachments` (name, type, and size, which is null for an attached mail),
        `in_reply_to`, and `damaged`: how many characters and parts could not be decoded.
    """
    try:
        message = _parsed(data, watch)
        found = Parts(message, heading, watch, links=links, content=content)
        text, damaged, attachments = found.text, found.damaged, found.attachments
    except RecursionError:  # parts within parts, hundreds deep
        from email.parser import BytesHeaderParser

        message = cast("EmailMessage", BytesHeaderParser(policy=POLICY).parsebytes(data))
        text, damaged, attachments = "", 1, []
    fields: dict[str, Json] = {
        "id": header(message, "Message-ID"),
        "from": header(message, "From"),
        "from_address": _bare(message),
        "to": _addresses(message, "To"),
        "cc": _addresses(message, "Cc"),
        "date": date_of(header(message, "Date")),
        "subject": header(message, "Subject") or "",
        "text": text,
        "attachments": attachments,
        "in_reply_to": header(message, "In-Reply-To"),
    }
    shown = "".join(str(value) for value in (fields["from"], fields["subject"], *fields["to"], *fields["cc"]))
    return {**fields, "damaged": damaged + shown.count(REPLACED)}


class _Lenient(EmailPolicy):
    """Reads headers as they are: the strict parser of the standard library raises on some malformed ones."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:  # noqa: ARG002  # an override
        return value

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if (
            name.lower() == "content-transfer-encoding"
        ):  # the standard library takes "base64 " for another encoding
            value = value.partition(";")[0].partition("(")[0].strip()
        # The parameters of such a header are split in quadratic time.
        return name, value[:MOST_HEADER] if name.lower().startswith("content-") else value


POLICY = _Lenient()


def _parsed(data: bytes, watch: Watch) -> EmailMessage:
    """The mail's structure. The parser is fed in pieces: with hundreds of open parts a line takes it long."""
    parser = BytesFeedParser(policy=POLICY)
    for start in range(0, len(data), PIECE):
        watch.look()
        parser.feed(data[start : start + PIECE])
    return cast("EmailMessage", parser.close())


def header(message: EmailMessage, name: str) -> str | None:
    """A header, decoded, on one line; None if there is none."""
    raw = message.get(name)
    return None if raw is None else decoded(" ".join(str(raw).split())) or None


def decoded(raw: str) -> str:
    """A header's text with its encoded words decoded (RFC 2047)."""
    from email.errors import HeaderParseError
    from email.header import decode_header

    clean, _ = decode(raw.encode("utf-8", "surrogateescape"), None)  # bytes that are not ASCII
    if len(raw) > MOST_HEADER or "=?" not in raw:
        return clean
    try:
        chunks = decode_header(clean)
    except (HeaderParseError, ValueError):
        return clean
    texts = (chunk if isinstance(chunk, str) else decode(chunk, charset)[0] for chunk, charset in chunks)
    return " ".join("".join(texts).split())


def heading(message: EmailMessage) -> list[str]:
    """The lines that say what a mail within another one is."""
    names = ("From", "Date", "Subject", "To")
    return [f"{name}: {value}" for name in names if (value := header(message, name)) is not None]


def _addresses(message: EmailMessage, name: str) -> list[str]:
    """The addresses of a header, each as `Name <address>` or the address alone."""
    lines = (" ".join(str(value).split()) for value in message.get_all(name, []))
    found = ((decoded(entry.name), decoded(entry.address)) for line in lines for entry in addresses(line))
    return [f"{name} <{address}>" if name and address else name or address for name, address in found]


def _bare(message: EmailMessage) -> str | None:
    """The sender's address without its name, in lower case; None if the mail has none."""
    lines = (" ".join(str(value).split()) for value in message.get_all("From", []))
    found = (decoded(entry.address).lower() for line in lines for entry in addresses(line))
    return next((address for address in found if "@" in address), None)


def date_of(text: str | None) -> str | None:
    """ISO 8601; None where the date is missing or cannot be read. Never a date of ours."""
    from datetime import datetime
    from email.utils import parsedate_to_datetime

    plain = _ZONE.sub(lambda match: _ZONES[match[1]], (text or "")[:LONGEST_DATE])
    try:
        if _CALENDAR.match(plain):
            return datetime.fromisoformat(plain).isoformat()
        return parsedate_to_datetime(plain).isoformat()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None

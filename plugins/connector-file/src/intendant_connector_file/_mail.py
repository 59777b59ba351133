"""Reads mails. Whatever is broken in one is replaced and counted, and never stops the others."""

import codecs
import email
import email.policy
import email.utils
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import EmailPolicy
from typing import Any, cast

from intendant.plugin import ConnectorError, Json
from intendant_connector_file._html import strip_html

_ENVELOPE = re.compile(rb"^From [^\n]*(?:\n|\Z)", re.MULTILINE)
REPLACED = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
MOST_HEADER = 10_000
"""Characters of a header that is decoded; a longer one stays as it is, because decoding takes quadratic time."""
_CLOCK = re.compile(rb"\d\d:\d\d")
LONGEST_DATE = 200
_ODD_CODECS = frozenset(("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"))
"""Codecs of Python that are no charsets; some take quadratic time."""


def read_mbox(data: bytes) -> list[Json]:
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
    return [read_mail(_unquoted(data[match.end() : end])) for match, end in zip(starts, ends, strict=True)]


def _begins(data: bytes, envelope: re.Match[bytes]) -> bool:
    """True for an envelope; false for a sentence that begins with From."""
    return data.endswith(b"\n\n", 0, envelope.start()) and _CLOCK.search(envelope[0]) is not None


def _unquoted(data: bytes) -> bytes:
    """Lines that begin with `From ` are written `>From ` in an mbox."""
    return re.sub(rb"^>(>*From )", rb"\1", data, flags=re.MULTILINE)


def read_mail(data: bytes) -> dict[str, Json]:
    """One mail.

    Returns:
        `id`, `from`, `from_address` (in lower case, to look senders up by), `to`, `cc`, `date` (ISO 8601, or
        null), `subject`, `text`, `attachments` (name, type, and size, which is null for an attached mail),
        `in_reply_to`, and `damaged`: how many characters and parts could not be decoded.
    """
    try:
        message = cast("EmailMessage", email.message_from_bytes(data, policy=_POLICY))
        text, damaged = _text(message)
    except RecursionError:  # parts within parts, hundreds deep
        message = cast("EmailMessage", BytesHeaderParser(policy=_POLICY).parsebytes(data))
        del message["Content-Type"]
        text, damaged = "", 1
    fields: dict[str, Json] = {
        "id": _header(message, "Message-ID"),
        "from": _header(message, "From"),
        "from_address": _bare(_addresses(message, "From")),
        "to": _addresses(message, "To"),
        "cc": _addresses(message, "Cc"),
        "date": _date(_header(message, "Date")),
        "subject": _header(message, "Subject") or "",
        "text": text,
        "attachments": [_attachment(part) for part in _parts(message) if _is_attachment(part)],
        "in_reply_to": _header(message, "In-Reply-To"),
    }
    shown = "".join(str(value) for value in (fields["from"], fields["subject"], *fields["to"], *fields["cc"]))
    return {**fields, "damaged": damaged + shown.count(REPLACED)}


class _Lenient(EmailPolicy):
    """Reads headers as they are: the strict parser of the standard library raises on some malformed ones."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:  # noqa: ARG002  # an override
        return value


_POLICY = _Lenient()


def _header(message: EmailMessage, name: str) -> str | None:
    """A header, decoded, on one line; None if there is none."""
    raw = message.get(name)
    return None if raw is None else _decoded(" ".join(str(raw).split())) or None


def _decoded(raw: str) -> str:
    from email.errors import HeaderParseError
    from email.header import decode_header

    clean = _utf8(raw)
    if len(raw) > MOST_HEADER or "=?" not in raw:
        return clean
    try:
        chunks = decode_header(clean)
    except (HeaderParseError, ValueError):
        return clean
    texts = (chunk if isinstance(chunk, str) else _bytes(chunk, charset)[0] for chunk, charset in chunks)
    return " ".join("".join(texts).split())


def _utf8(raw: str) -> str:
    """Bytes that are not ASCII come as surrogates; most are UTF-8."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _addresses(message: EmailMessage, name: str) -> list[str]:
    """The addresses of a header, each as `Name <address>` or the address alone."""
    lines = (" ".join(str(value).split()) for value in message.get_all(name, []))
    return [_address(entry.strip()) for line in lines for entry in _entries(line) if entry.strip()]


def _entries(line: str) -> Iterator[str]:
    """The parts between commas, those in quotes not counted."""
    start, quoted = 0, False
    for at, character in enumerate(line):
        if character == '"' and not line.endswith("\\", 0, at):
            quoted = not quoted
        elif character == "," and not quoted:
            yield line[start:at]
            start = at + 1
    yield line[start:]


def _address(entry: str) -> str:
    label, bracket, address = entry.rpartition("<")
    if not bracket or not address.endswith(">"):
        return _decoded(entry)
    name = _decoded(label.strip().strip('"'))
    return f"{name} <{address}" if name else address[:-1].strip()


def _bare(addresses: list[str]) -> str | None:
    """The first of the addresses without its name; None if none is an address."""
    found = (entry.rpartition("<")[2].rstrip(">").strip().lower() for entry in addresses)
    return next((address for address in found if "@" in address), None)


def _date(text: str | None) -> str | None:
    """ISO 8601; None where the date is missing or cannot be read. Never a date of ours."""
    try:
        found = email.utils.parsedate_to_datetime((text or "")[:LONGEST_DATE])
        return found.isoformat()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that have content, those of attached mails left out: an attached mail is one attachment."""
    if message.get_content_type() == "message/rfc822":
        yield message
    elif message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, EmailMessage):
                yield from _parts(part)
    else:
        yield message


def _disposition(part: EmailMessage) -> str:
    return str(part.get("Content-Disposition", "")).partition(";")[0].strip().lower()


def _is_attachment(part: EmailMessage) -> bool:
    return (
        _disposition(part) == "attachment" or _filename(part) is not None or part.get_content_maintype() != "text"
    )


def _attachment(part: EmailMessage) -> dict[str, Json]:
    name = _filename(part)
    size = None if part.is_multipart() else len(_payload(part))
    return {"name": None if name is None else _decoded(name), "type": part.get_content_type(), "size": size}


def _filename(part: EmailMessage) -> str | None:
    try:
        return part.get_filename()
    except (LookupError, ValueError):  # the standard library raises on some malformed parameters
        return None


def _charset(part: EmailMessage) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError):
        return None


def _payload(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(message: EmailMessage) -> tuple[str, int]:
    """The mail's text, plain if it has that, else its HTML without the markup; and how much was damaged."""
    texts = [part for part in _parts(message) if not _is_attachment(part)]
    chosen = [part for part in texts if part.get_content_subtype() == "plain"] or texts
    pieces, damaged = [], 0
    for part in chosen:
        text, lost = _bytes(_payload(part), _charset(part))
        damaged += lost
        pieces.append(strip_html(text) if part.get_content_subtype() == "html" else text)
    return "\n".join(piece.replace("\r\n", "\n").strip() for piece in pieces).strip(), damaged


def _bytes(data: bytes, charset: str | None) -> tuple[str, int]:
    """The text of *data*, and how many characters of it could not be decoded."""
    codec = _codec(charset)
    for name in dict.fromkeys((codec, "utf-8")):
        try:
            return _SURROGATES.sub(REPLACED, data.decode(name)), 0
        except UnicodeError:
            continue
    text = _SURROGATES.sub(REPLACED, data.decode(codec, "replace"))
    return text, text.count(REPLACED)


def _codec(charset: str | None) -> str:
    """The codec of a charset that a mail names; UTF-8 for one that is unknown or no charset of mails."""
    try:
        name = codecs.lookup(charset or "utf-8").name
        b"a".decode(name, "replace")
    except (LookupError, ValueError, UnicodeError):
        return "utf-8"
    return "utf-8" if name in _ODD_CODECS else name

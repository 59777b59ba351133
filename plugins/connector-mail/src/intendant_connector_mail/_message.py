"""Composes a mail."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses, parseaddr
from typing import TYPE_CHECKING

from intendant.plugin import ConnectorCall, ConnectorError

if TYPE_CHECKING:
    from intendant_connector_mail import Send

_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]{3,990}>")


def address_of(text: str) -> str:
    """The bare address of `Ada <ada@example.org>`.

    Raises:
        ConnectorError: It is none, or several.
    """
    found = getaddresses([text])
    address = found[0][1] if len(found) == 1 else ""
    if "\n" in text or "\r" in text or not _ADDRESS.fullmatch(address):
        several = text.count("@") > 1 and "\n" not in text
        hint = (
            "write several as a list: [ada@example.org, bo@example.org]" if several else "such as ada@example.org"
        )
        raise ConnectorError(f"{text[:80]!r} is no mail address", hint=hint, delivered=False)
    return address


def compose(parameters: "Send", call: ConnectorCall) -> EmailMessage:
    """The mail. Its `Message-ID` is the same for each attempt at a delivery.

    Raises:
        ConnectorError: There is no text, or a header cannot hold what it is given.
    """
    text = parameters.text if parameters.text is not None else call.input
    if not isinstance(text, str):
        raise ConnectorError(
            f"a mail's text is text, and the input is {type(text).__name__}",
            hint="write it in a generate step, or give `text`",
            delivered=False,
        )
    message = EmailMessage()
    domain = address_of(parameters.from_).rpartition("@")[2]
    try:
        message["From"] = _header(parameters.from_)
        for name, value in (("To", parameters.to), ("Cc", parameters.cc)):
            people = [value] if isinstance(value, str) else value
            if people:
                message[name] = [_header(person) for person in people]
        if parameters.reply_to is not None:
            message["Reply-To"] = _header(parameters.reply_to)
        message["Subject"] = parameters.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{call.short_key()}@{domain}>"
        if parameters.in_reply_to is not None:
            _reply(message, parameters.in_reply_to)
        message.set_content(_clean(text))
        if parameters.html is not None:
            message.add_alternative(_clean(parameters.html), subtype="html")
    except ValueError as error:
        raise ConnectorError(f"a header cannot hold what it is given: {error}", delivered=False) from None
    return message


def _header(text: str) -> Address:
    name, _ = parseaddr(text)
    address = address_of(text)
    return Address(display_name=name, username=address.rpartition("@")[0], domain=address.rpartition("@")[2])


def _reply(message: EmailMessage, to: str) -> None:
    if not _ID.fullmatch(to.strip()):
        raise ConnectorError("`in_reply_to` is no id of a mail", hint="such as <abc@example.org>", delivered=False)
    message["In-Reply-To"] = to.strip()
    message["References"] = to.strip()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

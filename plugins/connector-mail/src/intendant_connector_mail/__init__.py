"""Fetches mails by IMAP, and sends them by SMTP."""

import asyncio
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    Json,
    NetworkConnector,
    NetworkSettings,
    Options,
    day_of,
    operation,
)
from intendant_connector_mail._connection import Server, Watcher
from intendant_connector_mail._message import address_of, compose

__all__ = ["Fetch", "MailConnector", "MailSettings", "Search", "Send"]

T = TypeVar("T")
Security = Literal["tls", "starttls", "none"]


class MailSettings(NetworkSettings):
    """Settings of the connector."""

    max_bytes: int = Field(default=50_000_000, ge=1)
    """Maximum total size in bytes of the mails that one step fetches."""
    max_mails: int = Field(default=1000, ge=1)
    """Maximum number of mails that one step may fetch."""
    max_recipients: int = Field(default=50, ge=1)
    """Maximum number of recipients of one mail."""
    recipients: tuple[str, ...] = ()
    """Allowed recipients, such as `*@example.org`; by default anybody."""


class _Account(Options):
    host: str = Field(min_length=1)
    """The server's name."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """By default the standard port for the protocol and `security`."""
    security: Security = "tls"
    """`tls` from the beginning, `starttls`, or `none`, which sends the password unencrypted."""
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    """`"{{ secrets.NAME }}"`."""


class Search(Options):
    """Which mails: all conditions must hold."""

    unseen: bool = False
    """Only unread mails."""
    flagged: bool = False
    since: str | None = None
    """Only mails from this day on, such as `2026-11-01`."""
    before: str | None = None
    """Only mails from before this day."""
    from_: str | None = Field(default=None, alias="from")
    """Text that the sender's name or address contains."""
    to: str | None = None
    subject: str | None = None
    text: str | None = None
    """Text that the headers or the body contain."""

    @field_validator("since", "before")
    @classmethod
    def _is_a_day(cls, value: str | None) -> str | None:
        found = None if value is None else day_of(value)
        if value is not None and (found is None or found.value is None):
            raise ValueError(f"'{value[:40]}' is no day: write 2026-11-01")
        return None if found is None else str(found.value)


class Fetch(_Account):
    """Which mails to fetch."""

    folder: str = Field(default="INBOX", min_length=1)
    search: Search = Search()
    max: int = Field(default=50, ge=1)
    """Maximum number of mails; the newest are fetched."""
    links: bool = True
    """HTML mails: whether the address of a link is added after its text."""
    attachments: Literal["names", "content"] = "names"
    """`content` adds to each attachment its content in Base64, and as `file` a name to save it under."""


class Send(_Account):
    """The recipients and the mail. By default its text is the step's input."""

    from_: str = Field(alias="from", min_length=3)
    """The sender: `ada@example.org` or `Ada <ada@example.org>`."""
    to: str | list[str] = Field(default_factory=list)
    """One recipient, or a list."""
    cc: str | list[str] = Field(default_factory=list)
    bcc: str | list[str] = Field(default_factory=list)
    reply_to: str | None = None
    subject: str = Field(max_length=1000)
    text: str | None = None
    """The text of the mail; by default the step's input."""
    html: str | None = None
    """The same text as HTML, for mail programs that display it."""
    in_reply_to: str | None = None
    """The `id` of the mail to which this one replies."""


class MailConnector(NetworkConnector):
    """Fetches mails by IMAP, and sends them by SMTP."""

    name = "mail"
    Settings = MailSettings

    def needs_input(self, name: str, given: Mapping[str, Json]) -> bool:
        """True for a mail without `text`."""
        return name == "send" and "text" not in given

    @operation(side_effects=False)
    async def fetch(self, parameters: Fetch, call: ConnectorCall) -> Json:
        """Fetch mails from a folder, oldest first. The mails are neither moved nor marked as read.

        Returns:
            For each mail what `file.read` gives of one (`id`, `from`, `from_address`, `to`, `cc`, `date`,
            `subject`, `text`, `attachments`, …), `uid` and `folder`.

        Raises:
            AddressRefused: The server may not be reached.
            ConnectorError: It cannot be reached, refuses the account, or the mails are too large.
        """
        from intendant_connector_mail._imap import fetch

        if parameters.max > self.settings.max_mails:
            raise ConnectorError(f"`max` is at most {self.settings.max_mails}", hint=self.setting("max_mails"))
        port = parameters.port or (993 if parameters.security == "tls" else 143)
        server = await self._server(parameters, port)
        bytes_left = self.settings.max_bytes
        return await self._threaded(
            server, lambda watcher: fetch(server, parameters, bytes_left, watcher, call.notes)
        )

    @operation(side_effects=True)
    async def send(self, parameters: Send, call: ConnectorCall) -> Json:
        """Send the step's input as a mail, to all recipients or to none.

        The header `Message-ID` is made of the delivery's key, so it is the same for each attempt. An attempt that
        broke off after the text was sent is not repeated, unless the step says `in_doubt: idempotent`: the server
        knows a mail again by that header.

        Raises:
            AddressRefused: The server may not be reached.
            ConnectorError: It cannot be reached, or refuses the account, a recipient or the text.
        """
        from intendant_connector_mail._smtp import deliver

        people = [
            address_of(item) for item in (*_many(parameters.to), *_many(parameters.cc), *_many(parameters.bcc))
        ]
        self._check_recipients(people)
        message = compose(parameters, call)
        port = parameters.port or {"tls": 465, "starttls": 587, "none": 25}[parameters.security]
        server = await self._server(parameters, port)
        await self.turn(parameters.host)
        sender = address_of(parameters.from_)
        await self._threaded(server, lambda watcher: deliver(server, sender, people, message, watcher))
        receipt: dict[str, Json] = {"id": message["Message-ID"], "to": list(people), "subject": parameters.subject}
        return receipt

    def _check_recipients(self, people: list[str]) -> None:
        if not people:
            raise ConnectorError("there is no recipient: give `to`, `cc` or `bcc`", delivered=False)
        if len(people) > self.settings.max_recipients:
            raise ConnectorError(
                f"{len(people)} recipients are more than {self.settings.max_recipients}",
                hint=f"see {self.setting('max_recipients')}",
                delivered=False,
            )
        allowed = [pattern.lower() for pattern in self.settings.recipients]
        for person in people:
            if allowed and not any(fnmatchcase(person.lower(), pattern) for pattern in allowed):
                raise ConnectorError(
                    f"{person} may not be written to", hint=f"see {self.setting('recipients')}", delivered=False
                )

    async def _server(self, account: _Account, port: int) -> Server:
        """The server, with its allowed addresses.

        Raises:
            ConnectorError: A password would be sent unencrypted.
        """
        if (account.user is None) != (account.password is None):
            raise ConnectorError("`user` and `password` go together", delivered=False)
        found = await self.addresses.find(account.host, port)
        if account.security == "none" and account.password and not all(map(_is_here, found)):
            raise ConnectorError(
                "`security: none` would send the password in the open", hint="use tls or starttls", delivered=False
            )
        return Server(
            account.host,
            port,
            tuple(found),
            account.security,
            account.user,
            account.password,
            self.settings.seconds,
        )

    async def _threaded(self, server: Server, work: Callable[[Watcher], T]) -> T:
        """Work in a thread; its connection is closed on a timeout or a cancellation."""
        watcher = Watcher()
        task = asyncio.ensure_future(asyncio.to_thread(work, watcher))
        try:
            async with self.within(f"the exchange with {server.host}"):
                return await asyncio.shield(task)
        except BaseException:
            watcher.cut()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # it is told already
            raise


def _is_here(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _many(value: str | list[str]) -> list[Any]:
    return [value] if isinstance(value, str) else value

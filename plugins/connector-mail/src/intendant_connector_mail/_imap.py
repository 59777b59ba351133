"""Fetches mails by IMAP."""

import imaplib
import re
import socket
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any

from intendant.plugin import ConnectorError, Json, read_mail
from intendant_connector_mail._connection import Server, Watcher, broken, connect, context

if TYPE_CHECKING:
    from intendant_connector_mail import Fetch

_UID = re.compile(rb"UID (\d{1,10})")
_SIZE = re.compile(rb"RFC822\.SIZE (\d{1,12})")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905
_BATCH = 200
_SAID = 300


class _Client(imaplib.IMAP4):
    """Connects to addresses that were checked, and reads no more than is admitted."""

    def __init__(self, server: Server, watcher: Watcher, most: int) -> None:
        self._server, self._watcher, self._left = server, watcher, most
        super().__init__(server.host, server.port, server.seconds)

    def _create_socket(self, timeout: float | None) -> socket.socket:  # noqa: ARG002
        made = connect(self._server, self._watcher)
        if self._server.security == "tls":
            made = context().wrap_socket(made, server_hostname=self._server.host)
            self._watcher.watch(made)
        return made

    def read(self, size: int) -> bytes:
        """A literal, if it is not too large."""
        self._left -= size
        if self._left < 0:
            raise ConnectorError(
                "the mails are larger than admitted", hint="fetch fewer, or raise max_bytes of connector:mail"
            )
        return super().read(size)


def fetch(server: Server, parameters: "Fetch", most: int, watcher: Watcher, notes: list[str]) -> list[Json]:
    """The mails, oldest first. Where there are more than were asked for, *notes* get that.

    Raises:
        ConnectorError: The server cannot be reached or refuses, or the mails are too large.
    """
    criteria = _criteria(parameters)
    try:
        client = _Client(server, watcher, most)
        try:
            if server.security == "starttls":
                client.starttls(context())
            if server.user is not None and server.password is not None:
                _told(client.login(_quoted(server.user), server.password), server, "the account")
            _told(
                client.select(_folder(parameters.folder), readonly=True),
                server,
                f"the folder '{parameters.folder}'",
            )
            found = _told(client.uid("SEARCH", *criteria), server, "the search")
            matching = (found[0] or b"").split()
            uids = matching[-parameters.max :]
            if len(matching) > len(uids):
                notes.append(
                    f"{len(matching)} mails match, of which the newest {len(uids)} were fetched: see `max`"
                )
            _check_sizes(client, server, uids, most)
            return [mail for uid in uids if (mail := _one(client, server, uid, parameters)) is not None]
        finally:
            with suppress(OSError, imaplib.IMAP4.error, ConnectorError):
                client.logout()
            with suppress(OSError):
                client.shutdown()  # where logging out broke off
    except imaplib.IMAP4.abort as error:
        raise broken(server, error, delivered=False) from None
    except imaplib.IMAP4.error as error:
        raise ConnectorError(f"{server.host} refused: {_said(error.args)}", delivered=False) from None
    except UnicodeError:
        raise ConnectorError("IMAP takes an account of ASCII characters only", delivered=False) from None
    except (OSError, EOFError) as error:
        raise broken(server, error, delivered=False) from None


def _check_sizes(client: _Client, server: Server, uids: list[bytes], most: int) -> None:
    total = 0
    for start in range(0, len(uids), _BATCH):
        answer = _told(
            client.uid("FETCH", b",".join(uids[start : start + _BATCH]).decode(), "(RFC822.SIZE)"), server
        )
        total += sum(int(match[1]) for line in answer if (match := _SIZE.search(_flat(line))))
    if total > most:
        raise ConnectorError(
            f"the {len(uids)} mails have {total} bytes, more than {most}",
            hint="fetch fewer with `max` or `search`, or raise max_bytes of connector:mail",
        )


def _one(client: _Client, server: Server, uid: bytes, parameters: "Fetch") -> dict[str, Json] | None:
    answer = _told(client.uid("FETCH", uid.decode(), "(UID BODY.PEEK[])"), server)
    for item in answer:
        if (
            isinstance(item, tuple)
            and len(item) > 1
            and (match := _UID.search(item[0] + b" " + _flat(answer[-1])))
        ):
            mail = read_mail(item[1], links=parameters.links, content=parameters.attachments == "content")
            return {**mail, "uid": int(match[1]), "folder": parameters.folder}
    return None  # it was moved since the search


def _told(answer: tuple[str, list[Any]], server: Server, what: str = "the command") -> list[Any]:
    """What a command gave.

    Raises:
        ConnectorError: The server refused it.
    """
    status, data = answer
    if status != "OK":
        raise ConnectorError(f"{server.host} refused {what}: {_said(data)}", delivered=False)
    return data


def _said(data: Any) -> str:
    text = b" ".join(_flat(item) for item in data).decode("utf-8", "replace")
    return " ".join(text.split())[:_SAID]


def _flat(item: Any) -> bytes:
    if isinstance(item, tuple):
        return b" ".join(_flat(part) for part in item)
    return item if isinstance(item, bytes) else str(item or "").encode()


def _criteria(parameters: "Fetch") -> list[str]:
    search = parameters.search
    found = ["UNSEEN"] * search.unseen + ["FLAGGED"] * search.flagged
    for key, day in (("SINCE", search.since), ("BEFORE", search.before)):
        if day is not None:
            when = date.fromisoformat(day)
            found += [key, f"{when.day}-{_MONTHS[when.month - 1]}-{when.year}"]
    named = (("FROM", search.from_), ("TO", search.to), ("SUBJECT", search.subject), ("TEXT", search.text))
    for key, text in named:
        if text is not None:
            found += [key, _quoted(text)]
    return found or ["ALL"]


def _quoted(text: str) -> str:
    """A string of the protocol; nothing in it is taken for a command."""
    if not text.isascii() or any(character < " " for character in text):
        raise ConnectorError(
            f"{text[:40]!r} has characters that IMAP does not search for", hint="use ASCII", delivered=False
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _folder(name: str) -> str:
    """A folder's name as the protocol writes it: modified UTF-7 (RFC 3501, 5.1.3)."""
    made: list[str] = []
    wide = ""
    for character in name + "\0":
        if " " <= character <= "~" or character == "\0":
            if wide:
                made.append("&" + _utf7(wide) + "-")
                wide = ""
            made.append("&-" if character == "&" else character)
        else:
            wide += character
    return _quoted("".join(made)[:-1])


def _utf7(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode("utf-16-be", "surrogatepass")).decode().rstrip("=").replace("/", ",")

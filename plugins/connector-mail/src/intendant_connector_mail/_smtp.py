"""Sends a mail by SMTP."""

import smtplib
import socket
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP

from intendant.plugin import ConnectorError
from intendant_connector_mail._connection import Server, Watcher, broken, connect, context

_SAID = 300
_LATER = (400, 500)
"""Codes from the first and below the second ask to come back later."""


class _Client(smtplib.SMTP):
    """Connects to addresses that were checked."""

    def __init__(self, server: Server, watcher: Watcher) -> None:
        self._server, self._watcher = server, watcher
        super().__init__(server.host, server.port, local_hostname="localhost", timeout=server.seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        made = connect(self._server, self._watcher)
        if self._server.security == "tls":
            made = context().wrap_socket(made, server_hostname=self._server.host)
            self._watcher.watch(made)
        return made


def deliver(server: Server, sender: str, people: list[str], message: EmailMessage, watcher: Watcher) -> None:
    """Send a mail to all of *people*, or to none.

    Raises:
        ConnectorError: It was not sent; `delivered` is False unless the connection broke off after the text.
    """
    data = message.as_bytes(policy=SMTP)
    text_is_out = False
    try:
        client = _Client(server, watcher)
        try:
            _open(client, server)
            _take(client.mail(sender, _options(client, message)), server, f"the sender {sender}")
            for person in people:
                _take(client.rcpt(person), server, f"the recipient {person}")
            text_is_out = True
            code, said = client.data(data)
            text_is_out = False  # it was answered
            _take((code, said), server, "the mail")
        finally:
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
    except smtplib.SMTPAuthenticationError as error:
        raise _refusal(server, "the account", error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(server, "the mail", error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPServerDisconnected as error:
        raise broken(server, error, delivered=None if text_is_out else False) from None
    except smtplib.SMTPNotSupportedError as error:
        raise ConnectorError(f"{server.host}: {error}", hint="see `security`", delivered=False) from None
    except (OSError, smtplib.SMTPException) as error:
        raise broken(server, error, delivered=None if text_is_out else False) from None


def _open(client: _Client, server: Server) -> None:
    """Greet, encrypt and log in."""
    if server.security == "starttls":
        client.ehlo()
        client.starttls(context=context())
    client.ehlo_or_helo_if_needed()
    if server.user is not None and server.password is not None:
        client.login(server.user, server.password)


def _options(client: _Client, message: EmailMessage) -> list[str]:
    """Addresses of other scripts need a server that takes them."""
    wide = any(not str(message.get(name, "")).isascii() for name in ("From", "To", "Cc"))
    return ["SMTPUTF8"] if wide and client.has_extn("smtputf8") else []


def _take(answer: tuple[int, bytes], server: Server, what: str) -> None:
    code, said = answer
    if not 200 <= code < 300:  # noqa: PLR2004  # RFC 5321, 4.2.1
        raise _refusal(server, what, code, said)


def _refusal(server: Server, what: str, code: int, said: bytes | str) -> ConnectorError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    text = " ".join(text.split())[:_SAID]
    later = _LATER[0] <= code < _LATER[1]
    return ConnectorError(f"{server.host} refused {what}: {code} {text}", retryable=later, delivered=False)

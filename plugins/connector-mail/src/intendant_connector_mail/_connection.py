"""Connections of mail programs: to addresses that were checked, encrypted, and cut from outside."""

import socket
import ssl
from contextlib import suppress
from typing import NamedTuple

from intendant.plugin import ConnectorError

CONNECT_SECONDS = 10.0


class Server(NamedTuple):
    """Where to, and with which account."""

    host: str
    port: int
    addresses: tuple[str, ...]
    """Those that were checked. Nothing looks the name up again."""
    security: str
    user: str | None
    password: str | None
    seconds: float


class Watcher:
    """Cuts a connection that a thread waits on."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._is_cut = False

    def watch(self, connection: socket.socket) -> None:
        """From now on, `cut` cuts this one."""
        self._socket = connection
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        """Cut it."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def connect(server: Server, watcher: Watcher) -> socket.socket:
    """A connection to the first address that answers.

    Raises:
        ConnectorError: None does.
    """
    reason = "no address"
    for address in server.addresses:
        try:
            made = socket.create_connection((address, server.port), min(CONNECT_SECONDS, server.seconds))
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        made.settimeout(server.seconds)
        watcher.watch(made)
        return made
    raise ConnectorError(
        f"{server.host}:{server.port} cannot be reached: {reason}", retryable=True, delivered=False
    )


def context() -> ssl.SSLContext:
    """How connections are encrypted: certificates and names are checked."""
    return ssl.create_default_context()


def broken(server: Server, error: Exception, *, delivered: bool | None) -> ConnectorError:
    """An error of a connection."""
    if isinstance(error, ssl.SSLError):
        message = f"{server.host} cannot be trusted: {getattr(error, 'verify_message', '') or error.reason}"
        return ConnectorError(message, delivered=delivered)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ConnectorError(f"{server.host} broke off: {reason}", retryable=True, delivered=delivered)

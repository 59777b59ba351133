"""Where servers that extensions bring listen."""

import socket

from intendant.model.errors import SettingsError

LOOPBACK_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound
_WAITING = 128
"""Connections that wait to be accepted."""


def listen_at(host: str, port: int) -> tuple[socket.socket, str]:
    """A socket that listens, and its URL as a person may open it on this machine, such as `http://127.0.0.1:8710`.

    Args:
        host: A name or an address.
        port: 0 takes a free one.

    Raises:
        SettingsError: Another program has the port, or there is no such address here.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(
            f"a server cannot listen at {host}, port {port}: {error.strerror or error}",
            hint="another program may use it: choose another with --port, or 0 for a free one",
        ) from None
    made.listen(_WAITING)
    shown = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    return made, f"http://{shown}:{made.getsockname()[1]}"

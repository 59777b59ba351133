"""How a process is known to others: by its host, and its number there.

A process of one's own host can be looked up, and is known to be dead where it is not there. Two machines, or two
containers, may have the same host name, and their numbers mean other processes: so the name of a host has a part
that tells them apart, made of the id of the system's start and of the process's own space of numbers.
"""

import getpass
import os
import socket
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path


def host_name() -> str:
    """The name of this host, such as `web1-3fa2c1`; where the system does not say more, its host name alone."""
    space = _space()
    return f"{socket.gethostname()}-{space}" if space else socket.gethostname()


def process_name() -> str:
    """The name of this process: `host:pid`."""
    return f"{host_name()}:{os.getpid()}"


def has_ended(name: str | None) -> bool:
    """True if it is the name of a process of this host that is not there any more."""
    host, _, pid = (name or "").rpartition(":")
    if host != host_name() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is another user's
    return False


@lru_cache(maxsize=1)
def _space() -> str:
    """Within which numbers of processes mean the same; empty where the system does not say."""
    said = []
    with suppress(OSError):  # not Linux
        said.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        said.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256("\n".join(said).encode()).hexdigest()[:6] if said else ""


def user_name() -> str:
    """The name of the user of the machine, for records of who decided; `unknown` where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may execute this under a number alone
        return "unknown"

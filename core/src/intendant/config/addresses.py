"""Which network addresses connectors may reach: public ones, and those that a setting allows.

What is checked is the address that a connection is really made to, not the name it was looked up by. So neither
other notations (`2130706433`, `0x7f.1`, `::ffff:127.0.0.1`) nor a name whose address changes between the check and
the connection (DNS rebinding) get past it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol
from urllib.parse import urlsplit

from intendant.model.errors import AddressRefused, ConnectorError

Address = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
LOCAL = ("localhost", "localhost.localdomain")


class Resolver(Protocol):
    """Finds the addresses of a host."""

    def __call__(self, host: str, port: int) -> Awaitable[Sequence[str]]:
        """Its addresses, numeric.

        Raises:
            OSError: It is not known.
        """


_EMBEDDED = (  # IPv6 networks whose addresses hold an IPv4 address, and how far from the end it stands
    (IPv6Network("::/96"), 0),
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
_CLOSED = (  # not public, although older versions of Python call them global
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("100::/64"),
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
    IPv6Network("fec0::/10"),
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the setting."""

    name: str
    """A host's name in lower case; `*.` at its beginning stands for any names before it. Empty for a network."""
    network: IPv4Network | IPv6Network | None
    port: int | None

    def names(self, host: str, port: int) -> bool:
        """True if the entry allows whatever address a host of this name has."""
        if not self.name or self.port not in (None, port):
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name

    def holds(self, address: Address, port: int) -> bool:
        """True if the entry allows this address."""
        if self.network is None or self.port not in (None, port):
            return False
        return address.version == self.network.version and address in self.network


class Addresses:
    """Decides which addresses may be reached.

    Args:
        allow: Names (`db.internal`, `*.internal`), addresses (`127.0.0.1`), networks (`10.0.0.0/8`) that may be
            reached besides public ones; each with a port (`127.0.0.1:8080`, `[::1]:8080`) if only that one may.
        setting: How users call the setting that *allow* comes from; errors name it.
        resolver: Finds the addresses of a host; by default the system's.

    Raises:
        ValueError: An entry is no name, address or network.

    Example:
        >>> Addresses(allow=["10.0.0.0/8"]).admits("10.1.2.3", 80), Addresses().admits("10.1.2.3", 80)
        (True, False)
    """

    def __init__(
        self, allow: Iterable[str] = (), *, setting: str = "allow", resolver: Resolver | None = None
    ) -> None:
        self._entries = [_entry(text) for text in allow]
        self._setting = setting
        self._resolver = resolver or resolve

    def admits(self, address: str, port: int, host: str = "") -> bool:
        """True if a connection to *address* may be made.

        Args:
            address: A numeric address.
            port: The port.
            host: The name under which it was found.
        """
        parsed = ip_address(address.partition("%")[0])
        name = _name(host)
        if any(entry.names(name, port) or entry.holds(parsed, port) for entry in self._entries):
            return True
        plain = embedded(parsed)
        if plain is not None and any(entry.holds(plain, port) for entry in self._entries):
            return True
        return is_public(parsed)

    def allows_name(self, host: str, port: int) -> bool:
        """True if the setting names this host, whatever its addresses are."""
        return any(entry.names(_name(host), port) for entry in self._entries)

    async def find(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached. Connect to these, not to the name.

        Raises:
            AddressRefused: It has only addresses that may not.
            ConnectorError: The host is not known.
        """
        try:
            found = list(dict.fromkeys(await self._resolver(_name(host), port)))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConnectorError(
                f"the host '{host}' is not known: {reason}", retryable=True, delivered=False
            ) from None
        admitted = [address for address in found if self.admits(address, port, host)]
        if not admitted:
            raise self.refusal(host, port, found)
        return admitted

    def refused(self, url: str) -> AddressRefused | None:
        """Why the address that a URL of the web leads to may not be reached; None if it may, or if that shows only
        when its name is looked up.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme)
            name = "127.0.0.1" if _name(host) in LOCAL else _name(host)
            if port is None or self.admits(name, port, host):
                return None
        except ValueError:
            return None
        return self.refusal(host, port, [name])

    def refusal(self, host: str, port: int, found: Sequence[str] = ()) -> AddressRefused:
        """The error that says why a host may not be reached, and which setting would allow it."""
        first = found[0] if found else ""
        what = _kind(first) if first else "has no address"
        is_name = first and first != _name(host)
        shown = f"'{host}' ({first})" if is_name else f"'{host}'"
        name = _name(host).partition("%")[0]
        wanted = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        return AddressRefused(
            f"{shown} {what}, and may not be reached",
            hint=f"""allow it: --set {self._setting}='["{wanted}"]'""",
        )


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: It is not known.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


def is_public(address: Address) -> bool:
    """True for an address of the public internet, judged by the IPv4 address within it where there is one."""
    plain = embedded(address)
    if plain is not None:
        return is_public(plain)
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address.version == network.version and address in network for network in _CLOSED)


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for; None if there is none."""
    if isinstance(address, IPv4Address):
        return None
    for network, shift in _EMBEDDED:
        if address in network:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None


def _kind(text: str) -> str:
    """What keeps an address from being public, as the end of a sentence."""
    address = ip_address(text.partition("%")[0])
    if not address.is_loopback:
        address = embedded(address) or address
    if address.is_loopback or address.is_unspecified:
        return "is this machine"
    if address.is_link_local:
        return "is link-local, where machines of a cloud keep their credentials"
    return "is a private or reserved address"


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _entry(text: str) -> _Entry:
    rest, port = text.strip(), None
    bracket = rest.startswith("[") and "]" in rest
    head, colon, tail = rest.rpartition(":")
    if colon and tail.isdecimal() and (head.endswith("]") if bracket else ":" not in head):
        rest, port = head, int(tail)
    rest = rest.strip("[]")
    try:
        return _Entry("", ip_network(rest, strict=False), port)
    except ValueError:
        name = rest.rstrip(".").lower()
    letters = name.removeprefix("*.").replace("-", "").replace(".", "").replace("_", "")
    if not letters or not letters.isalnum() or "/" in name:
        raise ValueError(f"'{text}' is no host name, address or network")
    return _Entry(name, None, port)

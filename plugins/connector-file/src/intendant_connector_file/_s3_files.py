"""Files in buckets of S3, and of services that speak its protocol; needs the extra `s3`."""

import os
from collections.abc import AsyncIterator
from datetime import UTC
from typing import TYPE_CHECKING, Any

from intendant.plugin import Addresses, ConnectorError
from intendant_connector_file._remote import Bucket, Entry, too_large

if TYPE_CHECKING:
    from s3fs import S3FileSystem

SCHEME = "s3://"
ATTEMPTS = 3
CONNECT_SECONDS = 10.0


class S3Files:
    """Files in a bucket.

    Args:
        bucket: How to reach it.
        addresses: What may be reached.
        seconds: For one answer.

    Raises:
        ConnectorError: The extra is not installed, or the endpoint may not be reached.
    """

    def __init__(self, bucket: Bucket, addresses: Addresses, seconds: float) -> None:
        if bucket.endpoint is not None and (refused := addresses.refused(bucket.endpoint)) is not None:
            raise refused
        self._guard = _Guard(addresses)
        self._files = _filesystem(bucket, self._guard, seconds)
        self._signed = bucket.key is not None

    async def entries(self, folder: str, head: str) -> AsyncIterator[Entry]:
        """The objects whose keys begin with the folder, up to the next `/`."""
        bucket, _, prefix = folder.removeprefix(SCHEME).partition("/")
        listed = self._files._iterdir(bucket, delimiter="/", prefix=f"{prefix}{head}")  # noqa: SLF001
        try:
            async for info in listed:
                if (entry := _entry(info)) is not None:
                    yield entry
        except Exception as error:  # noqa: BLE001  # botocore makes classes of errors at run time
            raise self._failure(folder, error) from None

    async def load(self, address: str, most: int) -> bytes:
        """What an object holds."""
        try:
            return await self._loaded(address, most)
        except ConnectorError:
            raise
        except Exception as error:  # noqa: BLE001
            raise self._failure(address, error) from None

    async def _loaded(self, address: str, most: int) -> bytes:
        path = address.removeprefix(SCHEME)
        info = await self._files._info(path)  # noqa: SLF001  # how fsspec calls what is asynchronous
        if info.get("type") == "directory":
            raise FileNotFoundError(path)
        if info["size"] > most:
            raise too_large(address)
        # An empty object has no range, and one that was replaced since may be larger.
        data: bytes = await self._files._cat_file(path, end=most + 1) if info["size"] else b""  # noqa: SLF001
        return data

    async def close(self) -> None:
        """Close the connections."""
        if self._files._s3 is not None:  # noqa: SLF001
            await (await self._files.set_session()).close()

    def _failure(self, address: str, error: Exception) -> Exception:
        """The error as steps see it."""
        if self._guard.refusal is not None:
            return self._guard.refusal
        if isinstance(error, ConnectorError):
            return error
        if isinstance(error, FileNotFoundError):
            return ConnectorError(f"{address} is not there", hint="look at the bucket and the key", absent=True)
        if isinstance(error, PermissionError):
            wanted = "" if self._signed else ': `s3: {key: "{{ secrets.NAME }}", secret: "{{ secrets.NAME }}"}`'
            hint = f"give credentials that may read it{wanted}"
            return ConnectorError(f"{address} may not be read: {error}"[:300], hint=hint)
        return ConnectorError(f"{address} cannot be read: {error}"[:300], retryable=True)


def _entry(info: dict[str, Any]) -> Entry | None:
    """A file or a folder; None for the empty object that marks a folder."""
    path = str(info["name"])
    if info["type"] == "directory":
        return Entry(path.rstrip("/").rpartition("/")[2], f"{SCHEME}{path.rstrip('/')}/")
    name = path.rpartition("/")[2]
    when = info.get("LastModified")
    modified = None if when is None else when.astimezone(UTC).isoformat()
    return Entry(name, f"{SCHEME}{path}", int(info["size"]), modified) if name else None


class _Guard:
    """Below the connection pool: whatever is asked for, connections are made to what is admitted only."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._admitted = set[tuple[str, int]]()
        self.refusal: ConnectorError | None = None

    async def find(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached.

        Raises:
            ConnectorError: It has none, or is not known.
        """
        try:
            found = await self._addresses.find(host, port)
        except ConnectorError as error:
            self.refusal = error
            raise
        self._admitted.update((address, port) for address in found)
        return found

    def check(self, address: str, port: int) -> None:
        """Pass if a connection to an address may be made, however it was found.

        Raises:
            ConnectorError: It may not.
        """
        if (address, port) not in self._admitted and not self._addresses.admits(address, port):
            self.refusal = self._addresses.refusal(address, port, [address])
            raise self.refusal


def _filesystem(bucket: Bucket, guard: _Guard, seconds: float) -> "S3FileSystem":
    try:
        from aiobotocore.session import AioSession
        from s3fs import S3FileSystem
    except ImportError:
        raise ConnectorError(
            "reading from S3 needs a library that is not installed",
            hint="pip install 'intendant-connector-file[s3]'",
        ) from None
    nowhere: Any = (None, None, os.devnull, None)
    # Credentials, endpoints and proxies are those of the step and of nothing in the environment.
    session = AioSession(
        {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    files = S3FileSystem(
        anon=bucket.key is None,
        key=bucket.key,
        secret=bucket.secret,
        token=bucket.token,
        endpoint_url=bucket.endpoint,
        session=session,
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
        client_kwargs={"region_name": bucket.region or "us-east-1"},
        config_kwargs={
            "connector_args": _connections(guard),
            "proxies": {},
            "ignore_configured_endpoint_urls": True,
            "connect_timeout": min(seconds, CONNECT_SECONDS),
            "read_timeout": seconds,
            "retries": {"max_attempts": ATTEMPTS},
            "s3": {"addressing_style": "auto" if bucket.endpoint is None else "path"},
        },
    )
    files.retries = 1
    return files


def _connections(guard: _Guard) -> dict[str, Any]:
    """How aiohttp makes connections: names are looked up, and sockets made, by the guard."""
    import socket

    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002
            def of(address: str) -> ResolveResult:
                kind = socket.AF_INET6 if ":" in address else socket.AF_INET
                return ResolveResult(
                    hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
                )

            return [of(address) for address in await guard.find(host, port)]

        async def close(self) -> None:
            pass

    def made(info: Any) -> socket.socket:
        family, kind, proto, _, address = info
        guard.check(str(address[0]), int(address[1]))
        return socket.socket(family, kind, proto)

    return {"resolver": Resolver(), "socket_factory": made, "use_dns_cache": False}

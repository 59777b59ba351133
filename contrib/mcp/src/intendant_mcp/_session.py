"""One exchange with a server: it is connected to, asked, and left."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from intendant.plugin import Addresses, ConnectorError, Json, check_url, guarded_client
from intendant_mcp._errors import LastLine

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, Tool

T = TypeVar("T")
MOST_TOOLS = 2000
_PAGES = 100
_SAID = 500
_TEXT = 2000
_LATER = 1.0
"""Seconds by which the SDK's time limits are longer than ours, whose error names the setting."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server is reached."""

    name: str
    command: str | None
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path | None
    url: str | None
    headers: Mapping[str, str]
    addresses: Addresses
    seconds: float
    max_bytes: int
    setting: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class ToolFacts:
    """What a server says about a tool. Where it says nothing, the tool changes something."""

    name: str
    description: str
    parameters: dict[str, Json]
    read_only: bool
    destructive: bool
    idempotent: bool

    def document(self) -> dict[str, Json]:
        """As JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "read_only": self.read_only,
            "destructive": self.destructive,
            "idempotent": self.idempotent,
        }


async def list_tools(access: Access) -> dict[str, ToolFacts]:
    """A server's tools, by name.

    Raises:
        ConnectorError: It cannot be reached or started, or has too many.
    """

    async def ask(client: "Client") -> dict[str, ToolFacts]:
        found: dict[str, ToolFacts] = {}
        cursor: str | None = None
        for _ in range(_PAGES):
            answer = await client.list_tools(cursor=cursor)
            found |= {tool.name: _facts(tool) for tool in answer.tools}
            cursor = answer.next_cursor
            if len(found) > MOST_TOOLS:
                break
            if not cursor:
                return found
        raise ConnectorError(f"the MCP server '{access.name}' has more than {MOST_TOOLS} tools")

    return await _exchange(access, ask, _Progress())


def _facts(tool: "Tool") -> ToolFacts:
    hints = tool.annotations
    read_only = bool(hints is not None and hints.read_only_hint)
    return ToolFacts(
        name=tool.name,
        description=(tool.description or "")[:_TEXT],
        parameters=tool.input_schema,
        read_only=read_only,
        destructive=bool(hints is not None and hints.destructive_hint) and not read_only,
        idempotent=bool(hints is not None and hints.idempotent_hint),
    )


async def call_tool(access: Access, tool: str, arguments: dict[str, Json], key: str) -> Json:
    """A tool's result.

    Args:
        access: How its server is reached.
        tool: Its name.
        arguments: What it is given.
        key: The delivery's key, which the server is told.

    Raises:
        ConnectorError: The server cannot be reached, or the tool failed.
    """
    progress = _Progress()

    async def ask(client: "Client") -> "CallToolResult":
        progress.is_out = True
        meta: Any = {"intendant.dev/idempotency-key": key}
        return await client.call_tool(tool, arguments, meta=meta)

    result = await _exchange(access, ask, progress)
    output = _output(result, access)
    if result.is_error:
        said = output if isinstance(output, str) else str(output)
        raise ConnectorError(f"the tool {tool} failed: {' '.join(said.split())[:_SAID] or 'it does not say why'}")
    return output


def _output(result: "CallToolResult", access: Access) -> Json:
    if result.structured_content is not None and not result.is_error:
        # Functions that return no map are wrapped by the protocol's own libraries.
        wrapped = result.structured_content
        is_wrapped = isinstance(wrapped, dict) and list(wrapped) == ["result"]
        value: Json = wrapped["result"] if is_wrapped else wrapped
        _check_size(len(json.dumps(value, ensure_ascii=False)), access)
        return value
    parts = [part.model_dump(mode="json", exclude_none=True, by_alias=True) for part in result.content]
    size = sum(len(str(part.get("text") or part.get("data") or "")) for part in parts)
    _check_size(size, access)
    if all(part.get("type") == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _check_size(size: int, access: Access) -> None:
    if size > access.max_bytes:
        raise ConnectorError(
            f"the answer of the MCP server '{access.name}' is larger than {access.max_bytes} bytes",
            hint=f"see {access.setting('max_bytes')}",
        )


class _Progress:
    """How far an exchange got."""

    is_out = False
    """True once a tool may have been called."""
    wrote = ""
    """The last line that a server which was started wrote to its standard error."""


async def _exchange(access: Access, ask: "Callable[[Client], Awaitable[T]]", progress: _Progress) -> T:
    """Connect, ask, leave.

    Raises:
        ConnectorError: Whatever went wrong; `delivered` is False where no tool was called.
    """
    try:
        async with asyncio.timeout(access.seconds), _connected(access, progress) as client:
            return await ask(client)
    except BaseException as error:
        cause = _cause(error)
        if isinstance(cause, ConnectorError):
            raise cause from None
        if not isinstance(cause, Exception):
            raise
        raise _explained(cause, access, progress) from None


def _explained(error: Exception, access: Access, progress: _Progress) -> ConnectorError:
    delivered = None if progress.is_out else False
    what = f"the MCP server '{access.name}'"
    if isinstance(error, TimeoutError):
        return ConnectorError(
            f"{what} took longer than {access.seconds:g} s",
            hint=f"see {access.setting('seconds')}{_wrote(progress)}",
            retryable=True,
            delivered=delivered,
        )
    if isinstance(error, FileNotFoundError):
        said = f"{what} cannot be started: {access.command} is not there"
        return ConnectorError(said, hint=f"see {access.setting('servers')}", delivered=False)
    said = " ".join(str(error).split())[:_SAID] or type(error).__name__
    if f"more than {access.max_bytes} bytes" in said:
        said, hint = f"its answer has more than {access.max_bytes} bytes", f"see {access.setting('max_bytes')}"
        return ConnectorError(f"{what}: {said}", hint=hint, delivered=delivered)
    hint = _wrote(progress).removeprefix("; ")
    return ConnectorError(f"{what}: {said}", hint=hint, retryable=isinstance(error, OSError), delivered=delivered)


def _wrote(progress: _Progress) -> str:
    return f"; it wrote to its standard error: {progress.wrote}" if progress.wrote else ""


def _cause(error: BaseException) -> BaseException:
    """The error that matters of those that were raised together."""
    while isinstance(error, BaseExceptionGroup):
        ours = [one for one in error.exceptions if not isinstance(one, asyncio.CancelledError)]
        error = (ours or list(error.exceptions))[0]
    return error


@asynccontextmanager
async def _connected(access: Access, progress: _Progress) -> "AsyncIterator[Client]":
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if access.url is not None:
        check_url(access.url)
        http = guarded_client(access.addresses, headers=access.headers, max_bytes=access.max_bytes)
        http.timeout = access.seconds + _LATER
        transport = streamable_http_client(access.url, http_client=http, max_sse_event_size=access.max_bytes)
        async with http, Client(transport, read_timeout_seconds=access.seconds + _LATER) as client:
            yield client
        return
    started = StdioServerParameters(
        command=str(access.command), args=list(access.args), env=dict(access.env), cwd=access.cwd
    )
    with LastLine() as errors:
        try:
            async with Client(
                stdio_client(started, errlog=errors.file), read_timeout_seconds=access.seconds + _LATER
            ) as client:
                yield client
        except BaseException:
            progress.wrote = await asyncio.to_thread(errors.read)
            raise

"""Calls the tools of MCP servers. Servers are defined in the settings, because a server is a program to run."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import Field, JsonValue, model_validator

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    Effect,
    Json,
    NetworkConnector,
    NetworkSettings,
    Options,
    operation,
)
from intendant.records import describe_value
from intendant_mcp._session import Access, ToolFacts, call_tool, list_tools

__all__ = ["Call", "McpConnector", "McpSettings", "Server", "Tools"]

KNOWN_SECONDS = 300.0
"""How long a server's descriptions of its tools are cached."""


class Server(Options):
    """A server: a program to start, or an address."""

    command: str | None = Field(default=None, min_length=1)
    """The program; it is started for each call and communicates over standard input and output."""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the program, besides a few harmless ones of this process."""
    env_from_step: tuple[str, ...] = ()
    """Names of environment variables that a step may set, such as those for secrets."""
    cwd: Path | None = None
    url: str | None = Field(default=None, min_length=1)
    """The address of a server that speaks Streamable HTTP, instead of `command`."""
    headers: dict[str, str] = Field(default_factory=dict)
    trust_annotations: bool = True
    """Whether to trust the server's annotations of its tools (read-only, destructive, idempotent). If not, every
    tool is assumed to change something, and is not repeated."""
    only: tuple[str, ...] = ()
    """If set, no other tools may be called."""
    block: tuple[str, ...] = ()
    """Tools that may not be called."""

    @model_validator(mode="after")
    def _one_way(self) -> "Server":
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has a `command` or a `url`")
        return self


class McpSettings(NetworkSettings):
    """Settings of the connector."""

    servers: dict[str, Server] = Field(default_factory=dict)
    """The servers that workflows may use, by name."""
    parallel: int = Field(default=8, ge=1)
    """How many programs of servers run in parallel; further calls wait, which does not count as time of theirs."""


class _Turns:
    """What the calls in one event loop wait for."""

    def __init__(self, parallel: int) -> None:
        self.programs = asyncio.Semaphore(parallel)
        self.questions: dict[str, asyncio.Lock] = {}
        """By server, so that it is asked for its tools once."""


class _ServerChoice(Options):
    server: str | None = None
    """The server's name in the settings; optional if there is only one."""
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    """Values of the variables listed in the server's setting `env_from_step`: `{TOKEN: "{{ secrets.NAME }}"}`."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Headers for a server with an address: `{Authorization: "Bearer {{ secrets.NAME }}"}`."""


class Tools(_ServerChoice):
    """Which server's tools to list."""


class Call(_ServerChoice):
    """Which tool to call, and with what."""

    tool: str = Field(min_length=1)
    arguments: dict[str, JsonValue] | None = None
    """The tool's arguments; by default the step's input, which must then be a map."""
    destructive: bool = False
    """Allows a call of a tool that declares itself destructive; without it such a tool is not called."""


class McpConnector(NetworkConnector):
    """Calls the tools of MCP servers, over standard input and output or over HTTP."""

    name = "mcp"
    Settings = McpSettings

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known: dict[str, tuple[float, dict[str, ToolFacts]]] = {}
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()

    async def effect_of(self, name: str, parameters: Any) -> Effect:
        """What the tool's annotations say, if they are believed; else the worst.

        Raises:
            ConnectorError: There is no such server or tool, or the tool may destroy and the step does not say so.
        """
        if not isinstance(parameters, Call):
            return await super().effect_of(name, parameters)
        key, server = self._server(parameters)
        _check_admitted(server, parameters.tool)
        facts = await self._tool(key, server, parameters)
        if facts.destructive and not parameters.destructive:
            raise ConnectorError(
                f"the tool {parameters.tool} may destroy something, as it says of itself",
                hint="if that is meant: `destructive: true`, best with `approve` in the step",
                delivered=False,
            )
        if not server.trust_annotations:
            return Effect(side_effects=True)
        return Effect(side_effects=not facts.read_only, idempotent=facts.read_only or facts.idempotent)

    async def parameters_known(self, name: str, fixed: Mapping[str, Json]) -> Mapping[str, Json]:
        """The arguments of the tool that is named, as its server describes them; without the words in it, which a
        model would take for ours.

        Raises:
            ConnectorError: There is no such server or tool, or it cannot be reached.
        """
        if name != "call" or "tool" not in fixed or "arguments" in fixed:
            return {}
        parameters = self.checked(name, fixed)
        if not isinstance(parameters, Call):
            return {}
        key, server = self._server(parameters)
        _check_admitted(server, parameters.tool)
        facts = await self._tool(key, server, parameters)
        return {"arguments": _without_words(facts.parameters)}

    @operation(side_effects=True, varies=True, needs_input=False)
    async def call(self, parameters: Call, call: ConnectorCall) -> Json:
        """Call a tool.

        Returns:
            The tool's structured result; else its text; else the list of its parts.

        Raises:
            AddressRefused: The server may not be reached.
            ConnectorError: The server cannot be reached or started, or the tool failed.
        """
        key, server = self._server(parameters)
        _check_admitted(server, parameters.tool)
        arguments = call.input if parameters.arguments is None else parameters.arguments
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise ConnectorError(
                f"the arguments of a tool are a map, and the step's input is {describe_value(arguments)}",
                hint="give `arguments`, such as {query: …}",
                delivered=False,
            )
        access = self._access(key, server, parameters)
        async with self._turn(server):
            return await call_tool(access, parameters.tool, arguments, call.idempotency_key)

    @operation(side_effects=False)
    async def tools(self, parameters: Tools, call: ConnectorCall) -> Json:  # noqa: ARG002  # it takes no input
        """List a server's tools.

        Returns:
            For each `name`, `description`, `parameters` (a JSON schema), `read_only`, `destructive`, `idempotent`.

        Raises:
            ConnectorError: The server cannot be reached or started.
        """
        key, server = self._server(parameters)
        facts = await self._facts(key, server, parameters)
        return [tool.document() for tool in facts.values()]

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:
        """A server that the settings do not name."""
        yield from super().doubts(name, given)
        wanted, servers = given.get("server"), self.settings.servers
        if wanted is None and len(servers) == 1:
            return
        if wanted is None or (isinstance(wanted, str) and "{{" not in wanted and wanted not in servers):
            yield "; ".join(self._no_server(wanted))

    def _no_server(self, name: str | None) -> tuple[str, str]:
        """That there is no such server, and which there are."""
        servers = self.settings.servers
        what = f"there is no MCP server '{name}'" if name else "`server` is missing: which MCP server"
        known = f"known: {', '.join(servers)}; " if servers else ""
        return what, f"{known}servers are named in the settings: {self.setting('servers')}"

    def _server(self, choice: _ServerChoice) -> tuple[str, Server]:
        servers: dict[str, Server] = self.settings.servers
        name = choice.server
        if name is None and len(servers) == 1:
            name = next(iter(servers))
        if name is None or name not in servers:
            what, hint = self._no_server(name)
            raise ConnectorError(what, hint=hint, delivered=False)
        server = servers[name]
        foreign = [variable for variable in choice.env if variable not in server.env_from_step]
        if foreign:
            raise ConnectorError(
                f"a step may not set the variable {foreign[0]} of the server '{name}'",
                hint=f"see {self.setting(f'servers.{name}.env_from_step')}",
                delivered=False,
            )
        return name, server

    def _access(self, key: str, server: Server, choice: _ServerChoice) -> Access:
        return Access(
            name=key,
            command=server.command,
            args=server.args,
            env={**server.env, **choice.env},
            cwd=server.cwd,
            url=server.url,
            headers={**server.headers, **choice.headers},
            addresses=self.addresses,
            seconds=self.settings.seconds,
            max_bytes=self.settings.max_bytes,
            setting=self.setting,
        )

    async def _tool(self, key: str, server: Server, parameters: Call) -> ToolFacts:
        """What a server says about a tool.

        Raises:
            ConnectorError: It has none of that name.
        """
        facts = (await self._facts(key, server, parameters)).get(parameters.tool)
        if facts is None:
            tools = ", ".join(list(self._known[key][1])[:20]) or "none"
            raise ConnectorError(
                f"the server '{key}' has no tool '{parameters.tool[:80]}'",
                hint=f"it has: {tools}",
                delivered=False,
            )
        return facts

    async def _facts(self, key: str, server: Server, choice: _ServerChoice) -> dict[str, ToolFacts]:
        """What a server says about its tools."""
        async with self._here().questions.setdefault(key, asyncio.Lock()):
            until, facts = self._known.get(key, (0.0, {}))
            if until < monotonic():
                async with self._turn(server):
                    facts = await list_tools(self._access(key, server, choice))
                self._known[key] = monotonic() + KNOWN_SECONDS, facts
            return facts

    def _here(self) -> _Turns:
        return self._turns.setdefault(asyncio.get_running_loop(), _Turns(self.settings.parallel))

    def _turn(self, server: Server) -> AbstractAsyncContextManager[None]:
        """Wait until another program may run; the server at an address bounds what it does itself."""
        return nullcontext() if server.command is None else self._here().programs


_WORDS = ("description", "title", "$comment", "examples")


def _without_words(schema: Json) -> Json:
    """A JSON Schema without what is written in it for readers."""
    if isinstance(schema, list):
        return [_without_words(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in _WORDS or isinstance(value, dict)}
    return {key: _without_words(value) for key, value in kept.items()}


def _check_admitted(server: Server, tool: str) -> None:
    if tool in server.block or (server.only and tool not in server.only):
        raise ConnectorError(
            f"the tool {tool[:80]} may not be called",
            hint="see `only` and `block` of the server in the settings",
            delivered=False,
        )

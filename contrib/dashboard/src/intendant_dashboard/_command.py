"""`intendant dashboard`."""

import secrets
import socket
import sys
from typing import Annotated

import typer  # noqa: TID253  # this is a module of the command line

from intendant import OrchestrationService, Settings, SettingsError
from intendant.plugin import LOOPBACK_NAMES, listen_at
from intendant_dashboard import LOOPBACK, dashboard

PORT = 8710
ENOUGH = 16
"""Characters of a token that is used beyond this machine, at least."""


def serve(
    *,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen at; by default this machine alone.")
    ] = "127.0.0.1",
    token: Annotated[
        list[str] | None,
        typer.Option("--token", metavar="[NAME:]TOKEN", help="What an operator signs in with. May be repeated."),
    ] = None,
    read_token: Annotated[
        list[str] | None,
        typer.Option("--read-token", metavar="[NAME:]TOKEN", help="The same for readers, which change nothing."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", metavar="NAME", help="A host name that browsers may reach it by."),
    ] = None,
    db: Annotated[
        str | None, typer.Option("--db", help="Where runs are kept: a database URL, or `none` for memory only.")
    ] = None,
) -> None:
    """Serve the dashboard until Ctrl-C. Without --token it makes one, and prints it."""
    tokens = _named(token, "operator")
    made = ""
    if not tokens:
        made = secrets.token_urlsafe(24)
        tokens = {"operator": made}
    readers = _named(read_token, "reader")
    if host not in LOOPBACK_NAMES:
        _long_enough({**tokens, **readers})
    service = OrchestrationService(Settings.load(), db=db)
    names = (*LOOPBACK, *([] if host in LOOPBACK_NAMES else [host]), *(allowed_host or ()))
    app = dashboard(service, token=tokens, read_token=readers or None, hosts=names)
    listening, url = listen_at(host, port)
    print(f"dashboard: {url}/", flush=True)  # noqa: T201
    if made:
        # After `#`: browsers do not send it, so that it stands in no log.
        print(f"sign in:   {url}/sign-in#{made}", flush=True)  # noqa: T201
    if host not in LOOPBACK_NAMES:
        print("warning: tokens travel unencrypted; put a TLS proxy in front of it", file=sys.stderr)  # noqa: T201
    _serve(app, service, listening)


def _serve(app: object, service: OrchestrationService, listening: socket.socket) -> None:
    import asyncio

    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=500,
        h11_max_incomplete_event_size=64 * 1024,
    )

    async def until_done() -> None:
        async with service:
            await uvicorn.Server(config).serve([listening])

    asyncio.run(until_done())


def _named(given: list[str] | None, name: str) -> dict[str, str]:
    """Tokens by the names of those that have them."""
    found: dict[str, str] = {}
    for one in given or ():
        who, colon, secret = one.partition(":")
        who, secret = (who, secret) if colon else (name, one)
        if who in found:
            raise SettingsError(f"there are two tokens for '{who}'", hint="name each: --token ada:… --token bo:…")
        found[who] = secret
    return found


def _long_enough(tokens: dict[str, str]) -> None:
    short = [name for name, secret in tokens.items() if len(secret) < ENOUGH]
    if short:
        raise SettingsError(
            f"the token of '{short[0]}' is too short to be used beyond this machine",
            hint=f"take {ENOUGH} characters or more; without --token a good one is made",
        )

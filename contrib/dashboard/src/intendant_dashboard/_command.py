"""`intendant dashboard`."""

import secrets
import socket
import sys
from typing import Annotated

import typer  # noqa: TID253  # this is a module of the command line

from intendant import OrchestrationService, Settings, SettingsError
from intendant_dashboard import LOOPBACK, dashboard

PORT = 8710
ENOUGH = 16
"""Characters of a token that is used beyond this machine, at least."""
LOCAL = ("127.0.0.1", "::1", "localhost")


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
    if host not in LOCAL:
        _long_enough({**tokens, **readers})
    service = OrchestrationService(Settings.load(), db=db)
    names = (*LOOPBACK, *([] if host in LOCAL else [host]), *(allowed_host or ()))
    app = dashboard(service, token=tokens, read_token=readers or None, hosts=names)
    listening = _listen(host, port)
    shown = (
        f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else _bracketed(host)}:{listening.getsockname()[1]}/"  # noqa: S104
    )
    print(f"dashboard: {shown}", flush=True)  # noqa: T201
    if made:
        # After `#`: browsers do not send it, so that it stands in no log.
        print(f"sign in:   {shown}sign-in#{made}", flush=True)  # noqa: T201
    if host not in LOCAL:
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(
            f"the dashboard cannot listen at {host}, port {port}: {error.strerror or error}",
            hint="another program may use it: choose another with --port, or 0 for a free one",
        ) from None
    made.listen(128)
    return made


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


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

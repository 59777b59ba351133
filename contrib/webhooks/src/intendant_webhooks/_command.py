"""`intendant webhooks`."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253  # this is a module of the command line

from intendant import OrchestrationService, Settings, SettingsError
from intendant_webhooks._app import make_app

PORT = 8720
LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    triggers: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of triggers.")],
    *,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen at; by default this machine alone.")
    ] = "127.0.0.1",
    db: Annotated[str | None, typer.Option("--db", help="Where runs are kept: a database URL.")] = None,
) -> None:
    """Receive signed webhooks until Ctrl-C. Each starts one run, which `intendant worker` executes."""
    service = OrchestrationService(Settings.load(), db=db)
    receiver = service.webhooks(triggers)
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    for name in receiver.names:
        print(f"webhooks: http://{shown}:{listening.getsockname()[1]}/hooks/{name}", flush=True)  # noqa: T201
    if host not in LOCAL:
        print("warning: it speaks no TLS; put a TLS proxy in front of it", file=sys.stderr)  # noqa: T201

    async def until_done() -> None:
        import uvicorn

        config = uvicorn.Config(
            make_app(receiver),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
            limit_concurrency=500,
            h11_max_incomplete_event_size=64 * 1024,
        )
        async with service:
            await uvicorn.Server(config).serve([listening])

    asyncio.run(until_done())


def _listen(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(
            f"webhooks cannot be received at {host}, port {port}: {error.strerror or error}",
            hint="another program may use it: choose another with --port, or 0 for a free one",
        ) from None
    made.listen(128)
    return made

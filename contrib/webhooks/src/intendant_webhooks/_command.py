"""`intendant webhooks`."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253  # this is a module of the command line

from intendant import OrchestrationService, Settings
from intendant.plugin import LOOPBACK_NAMES, listen_at
from intendant_webhooks._app import make_app

PORT = 8720


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
    listening, url = listen_at(host, port)
    for name in receiver.names:
        print(f"webhooks: {url}/hooks/{name}", flush=True)  # noqa: T201
    if host not in LOOPBACK_NAMES:
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

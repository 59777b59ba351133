"""Receives signed webhooks, each of which starts one run.

Example:
    ```python
    from intendant_webhooks import webhooks

    app.mount("/intendant", webhooks(service, "triggers.toml"))  # any ASGI framework
    ```
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from intendant.plugin import Extension

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from intendant import OrchestrationService

__all__ = ["Webhooks", "webhooks"]


def webhooks(service: "OrchestrationService", triggers: str | Path) -> "ASGIApp":
    """An ASGI application that takes `POST /hooks/NAME` for each trigger with `webhook`.

    Args:
        service: Opens the runs. It is not closed.
        triggers: A TOML file of triggers.

    Raises:
        IntendantError: The file, or a workflow in it, is wrong; a secret is not set; there is no webhook.
    """
    from intendant_webhooks._app import make_app

    return make_app(service.webhooks(triggers))


class Webhooks(Extension):
    """Adds `intendant webhooks`."""

    name = "webhooks"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant webhooks`."""
        from intendant_webhooks._command import serve

        return {"webhooks": serve}

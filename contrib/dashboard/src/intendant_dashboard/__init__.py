"""A dashboard for Intendant: runs as they happen, budgets, costs, decisions and settings in a browser.

Example:
    ```python
    from intendant_dashboard import dashboard

    app.mount("/intendant", dashboard(service, token="…"))  # any ASGI framework
    ```
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from intendant.plugin import Extension

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from intendant import OrchestrationService

__all__ = ["Dashboard", "dashboard"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def dashboard(
    service: "OrchestrationService",
    *,
    token: str | Mapping[str, str],
    read_token: str | Mapping[str, str] | None = None,
    hosts: Sequence[str] = LOOPBACK,
) -> "ASGIApp":
    """The dashboard of a service, as an ASGI application that a host mounts or serves.

    Args:
        service: The service. It is not closed.
        token: What operators sign in with: one token, or names of people and the token of each. Decisions are
            recorded by that name; by `operator` for a single token.
        read_token: The same for readers, which can change nothing; None for no readers.
        hosts: The host names that browsers reach it by, without ports. Requests to any other name are refused,
            which keeps other sites from reaching it by DNS rebinding.

    Raises:
        SettingsError: A token is empty, or given twice.
    """
    from intendant_dashboard._app import make_app

    return make_app(service, token, read_token, hosts)


class Dashboard(Extension):
    """Adds `intendant dashboard`."""

    name = "dashboard"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant dashboard`."""
        from intendant_dashboard._command import serve

        return {"dashboard": serve}

"""`intendant import n8n FILE.json`: workflows of n8n as workflows of Intendant."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from intendant.plugin import Extension

if TYPE_CHECKING:
    from intendant_n8n._convert import Imported, convert, convert_checked

__all__ = ["Imported", "N8n", "convert", "convert_checked"]


def __getattr__(name: str) -> Any:
    """Imports what is not needed to run workflows when it is first used: every command loads extensions."""
    if name in ("Imported", "convert", "convert_checked"):
        from intendant_n8n import _convert

        return getattr(_convert, name)
    raise AttributeError(f"module 'intendant_n8n' has no attribute '{name}'")


class N8n(Extension):
    """Imports workflows of n8n."""

    name = "n8n"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant import n8n`."""
        from intendant_n8n._command import import_n8n

        return {"import n8n": import_n8n}

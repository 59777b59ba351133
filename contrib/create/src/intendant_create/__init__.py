"""`intendant create "…"`: a workflow from a sentence."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from intendant.plugin import Extension

if TYPE_CHECKING:
    from intendant_create._sketch import Sketch, sketch

__all__ = ["Create", "Sketch", "sketch"]


def __getattr__(name: str) -> Any:
    """Imports what is not needed to run workflows when it is first used: every command loads extensions."""
    if name in ("Sketch", "sketch"):
        from intendant_create import _sketch

        return getattr(_sketch, name)
    raise AttributeError(f"module 'intendant_create' has no attribute '{name}'")


class Create(Extension):
    """Makes workflows from sentences."""

    name = "create"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant create`."""
        from intendant_create._command import create

        return {"create": create}

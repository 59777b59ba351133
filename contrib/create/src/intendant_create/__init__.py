"""`intendant create "…"`: a workflow from a sentence."""

from collections.abc import Callable, Mapping

from intendant.plugin import Extension
from intendant_create._sketch import Sketch, sketch

__all__ = ["Create", "Sketch", "sketch"]


class Create(Extension):
    """Makes workflows from sentences."""

    name = "create"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant create`."""
        from intendant_create._command import create

        return {"create": create}

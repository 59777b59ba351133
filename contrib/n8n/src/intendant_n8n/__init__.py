"""`intendant import n8n FILE.json`: workflows of n8n as workflows of Intendant."""

from collections.abc import Callable, Mapping

from intendant.plugin import Extension
from intendant_n8n._convert import Imported, convert, convert_checked

__all__ = ["Imported", "N8n", "convert", "convert_checked"]


class N8n(Extension):
    """Imports workflows of n8n."""

    name = "n8n"

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """`intendant import n8n`."""
        from intendant_n8n._command import import_n8n

        return {"import n8n": import_n8n}

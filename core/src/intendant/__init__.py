"""Runs LLM workflows under a token budget that cannot be overspent, with plugins for every intent.

This module holds what host applications use. Plugin authors import from `intendant.plugin` and
`intendant.records`, their tests from `intendant.testing`, listeners from `intendant.events`.

Example:
    ```python
    import intendant

    result = intendant.run("flow.yaml", inputs={"folder": "mails"})
    print(result.status, result.outputs["report"], result.metrics.tokens_used)
    ```
"""

from importlib import import_module
from typing import Any
from warnings import warn

import lazy_loader

__version__ = "0.1.0"

# The names, each written once, are in `__init__.pyi`: type checkers read it, and so does this module. A name is
# imported when it is first used, so that `import intendant` stays light.
_lazy_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_MOVED_TO = ("intendant.plugin", "intendant.records")


def __getattr__(name: str) -> Any:
    """Resolves public names when they are first used; names that moved in 0.2 still work, with a warning."""
    if name in __all__:
        return _lazy_attribute(name)
    if not name.startswith("_"):
        for module in _MOVED_TO:
            if hasattr(import_module(module), name):
                message = f"intendant.{name} is now {module}.{name}; the old name goes away in 0.3"
                warn(message, DeprecationWarning, stacklevel=2)
                return getattr(import_module(module), name)
    raise AttributeError(f"module 'intendant' has no attribute '{name}'")

"""Logging for a library: structlog's face over the standard library's loggers, so that the host decides.

Nothing is printed unless the host configures `logging`; its root logger's default shows warnings and worse on
standard error.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog


def get_logger(name: str) -> Any:
    """A structlog logger that writes to the standard logger *name*, such as `intendant.plugins`."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[Any, ...]:
    exception = event.pop("exception", None)
    words = [str(event.pop("event"))]
    words += [f"{key}={value!r}" for key, value in event.items()]
    text = " ".join(words)
    return (f"{text}\n{exception}" if exception else text,), {"extra": {"intendant": dict(event)}}

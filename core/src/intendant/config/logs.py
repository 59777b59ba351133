"""Logging for a library: structlog's face over the standard library's loggers, so that the host decides.

Nothing is printed unless the host configures `logging`; its root logger's default shows warnings and worse on
standard error.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}


class Logger:
    """A structlog logger that is made when something is to be logged.

    To import structlog takes longer than all else that a short command does, and most commands log nothing.

    Args:
        name: Of the standard library's logger that it writes to.
    """

    def __init__(self, name: str) -> None:
        self._standard = logging.getLogger(name)
        self._made: Any = None

    def __getattr__(self, method: str) -> Any:
        level = _LEVELS.get(method)
        if level is not None and not self._standard.isEnabledFor(level):
            return _ignore
        if self._made is None:
            self._made = _structlog_logger(self._standard)
        return getattr(self._made, method)


def get_logger(name: str) -> Logger:
    """A logger that writes to the standard logger *name*, such as `intendant.plugins`."""
    return Logger(name)


def _ignore(*_: Any, **__: Any) -> None:
    """Stands for a method whose level is switched off."""


def _structlog_logger(standard: logging.Logger) -> Any:
    import structlog

    return structlog.wrap_logger(
        standard,
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

"""Statements for the hot path: written with SQLAlchemy, compiled once, then handed straight to the driver.

See `session` for the reason. Work that is not on the hot path uses SQLAlchemy itself.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (  # noqa: TID253
    JSON,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    UpdateBase,
    bindparam,
    cast,
    func,
)

from intendant.record.store.session import Session, session_of

ResultT = TypeVar("ResultT")
Work = Callable[[Connection], ResultT]
"""Something to do in a transaction; give it to `Store.do`."""


def columns(table: Table, row: type) -> list[Column[Any]]:
    """The columns of *table* in the order of the fields of *row*, a `NamedTuple` or a dataclass with slots."""
    names_of_row: Sequence[str] = getattr(row, "_fields", None) or row.__slots__  # type: ignore[attr-defined]
    return [table.c[name] for name in names_of_row]


def json_text(connection: Connection, column: Any, *path: str) -> ColumnElement[Any]:
    """A value in a column of JSON text; null where there is none."""
    if connection.dialect.name == "sqlite":
        return func.json_extract(column, "$." + ".".join(path))
    return func.json_extract_path_text(cast(column, JSON), *path)


class Statement:
    """One statement for the hot path, compiled once; its parameters are named bindparams.

    Args:
        made: The statement.
    """

    __slots__ = ("_known", "_made")

    def __init__(self, made: Select[Any] | UpdateBase) -> None:
        self._made = made
        self._known: dict[bool, tuple[str, dict[str, Any], Sequence[str]]] = {}

    def __call__(self, connection: Connection, **values: Any) -> Any:
        """Execute it in the connection's transaction; returns the driver's cursor."""
        return self.on(session_of(connection), values)

    def on(self, session: Session, values: dict[str, Any]) -> Any:
        """The same, for a session."""
        text, constants, names = self._known.get(session.sqlite) or self._compile(session)
        given = {**constants, **values} if constants else values
        return session.execute(text, [given[name] for name in names])

    def _compile(self, session: Session) -> tuple[str, dict[str, Any], Sequence[str]]:
        dialect: Any = type(session.dialect)
        compiled = self._made.compile(dialect=dialect(paramstyle="qmark" if session.sqlite else "numeric_dollar"))
        constants = {key: value for key, value in compiled.params.items() if value is not None}
        self._known[session.sqlite] = (str(compiled), constants, tuple(compiled.positiontup or ()))
        return self._known[session.sqlite]


@lru_cache(maxsize=32)
def names(count: int) -> tuple[BindParameter[str], ...]:
    """Parameters `n0`, `n1`, … for `IN` with *count* values."""
    return tuple(bindparam(f"n{number}") for number in range(count))


def named(values: Sequence[Any]) -> dict[str, Any]:
    """*values* for `names(len(values))`."""
    return {f"n{number}": value for number, value in enumerate(values)}

"""The database's layer of the settings: work functions for `Store.do`. Each change adds rows, none is changed.

Settings are no part of what happened in a run: the record does not commit to them.
"""

import json
from collections.abc import Mapping
from time import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, desc, func, insert, select  # noqa: TID253
from sqlalchemy.exc import IntegrityError  # noqa: TID253

from intendant.model.errors import SettingsError
from intendant.record.store.statements import Work
from intendant.record.store.tables import setting_change as table


class Stored(NamedTuple):
    """The database's layer."""

    version: int
    """0 where nothing was ever set."""
    values: dict[str, Any]
    """By dotted key."""


class Changed(NamedTuple):
    """A key that was changed."""

    version: int
    key: str
    value: str | None
    """As JSON; None where it is set no more."""
    changed_by: str
    at: float
    note: str


def version(tenant: str) -> Work[int]:
    """The newest version of a tenant's settings; 0 for none."""
    query = select(func.coalesce(func.max(table.c.version), 0)).where(table.c.tenant == tenant)
    return lambda connection: int(connection.execute(query).scalar_one())


def stored(tenant: str, at_version: int | None = None) -> Work[Stored]:
    """What a tenant's settings are, or were at a version."""

    def work(connection: Connection) -> Stored:
        last = version(tenant)(connection)
        wanted = last if at_version is None else at_version
        newest = (
            select(table.c.key, func.max(table.c.version).label("version"))
            .where(table.c.tenant == tenant, table.c.version <= wanted)
            .group_by(table.c.key)
            .subquery()
        )
        query = (
            select(table.c.key, table.c.value)
            .join(newest, (newest.c.key == table.c.key) & (newest.c.version == table.c.version))
            .where(table.c.tenant == tenant, table.c.value.is_not(None))
            .order_by(table.c.key)
        )
        return Stored(wanted, {key: json.loads(value) for key, value in connection.execute(query)})

    return work


def change(
    tenant: str, values: Mapping[str, str | None], by: str, note: str = "", expected: int | None = None
) -> Work[int]:
    """Change keys together, all or none; returns the new version.

    Args:
        tenant: Whose settings.
        values: Values as JSON by dotted key; None sets a key no more.
        by: Who changes them.
        note: Why.
        expected: The version that the caller has seen; None to change whatever it is.

    Raises (when the work is done):
        SettingsError: Another change came first.
    """

    def work(connection: Connection) -> int:
        last = version(tenant)(connection)
        if expected is not None and last != expected:
            raise _overtaken(last)
        row = {"tenant": tenant, "version": last + 1, "changed_by": by, "at": time(), "note": note}
        try:
            rows = [row | {"key": key, "value": value} for key, value in values.items()]
            connection.execute(insert(table), rows)
        except IntegrityError:
            raise _overtaken(last + 1) from None
        return last + 1

    return work


def history(tenant: str, limit: int = 50) -> Work[list[Changed]]:
    """The newest changes first."""
    query = (
        select(*(table.c[name] for name in Changed._fields))
        .where(table.c.tenant == tenant)
        .order_by(desc(table.c.version), table.c.key)
        .limit(limit)
    )
    return lambda connection: [Changed._make(row) for row in connection.execute(query)]


def _overtaken(last: int) -> SettingsError:
    return SettingsError(
        f"the settings were changed meanwhile: they have version {last}",
        hint="look at them again, and repeat the change",
    )

"""Counts of runs with and without a feature that is rolled out: work functions for `Store.do`."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select, text  # noqa: TID253

from intendant.record.store.statements import Work
from intendant.record.store.tables import canary_count as table


class Key(NamedTuple):
    """Which rollout, and how far it is."""

    tenant: str
    flag: str
    began: str
    """When its guard began."""
    stage: int
    """Percent."""


class Tally(NamedTuple):
    """What was counted since a guard began."""

    counts: dict[str, dict[str, tuple[int, int]]]
    """Samples and bad ones, by criterion, then `on` and `off`."""
    at_stage: int
    """Runs with the feature at the stage of now."""


_ADD = text(
    "INSERT INTO canary_count (tenant, flag, began, stage, arm, criterion, samples, bad) "
    "VALUES (:tenant, :flag, :began, :stage, :arm, :criterion, 1, :bad) "
    "ON CONFLICT (tenant, flag, began, stage, arm, criterion) DO UPDATE SET "
    "samples = canary_count.samples + 1, bad = canary_count.bad + excluded.bad"
)


def add(key: Key, arm: str, samples: Mapping[str, bool], main: str) -> Work[Tally]:
    """Count a run in, and return what was counted.

    Args:
        key: The rollout.
        arm: `on` or `off`.
        samples: By criterion whether the run was bad.
        main: The criterion that every run has a sample of.
    """

    def work(connection: Connection) -> Tally:
        for criterion in sorted(samples):  # in one order, so that processes do not deadlock
            values = {"arm": arm, "criterion": criterion, "bad": int(samples[criterion])}
            connection.execute(_ADD, key._asdict() | values)
        return tally(key, main)(connection)

    return work


def tally(key: Key, main: str) -> Work[Tally]:
    """What was counted of a rollout; for the arguments see `add`."""
    query = select(table.c.stage, table.c.arm, table.c.criterion, table.c.samples, table.c.bad).where(
        table.c.tenant == key.tenant, table.c.flag == key.flag, table.c.began == key.began
    )

    def work(connection: Connection) -> Tally:
        counts: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        at_stage = 0
        for stage, arm, criterion, samples, bad in connection.execute(query):
            before = counts[criterion].get(arm, (0, 0))
            counts[criterion][arm] = (before[0] + int(samples), before[1] + int(bad))
            if (stage, arm, criterion) == (key.stage, "on", main):
                at_stage = int(samples)
        return Tally(dict(counts), at_stage)

    return work

"""Verifies the record: chains of events, the rows that they commit to, and what can be computed from those.

Nothing that is read is trusted: rows are read as the driver gives them, and what cannot be read is broken.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from sqlalchemy import Connection, Table  # noqa: TID253

from intendant.record.rows import EventRow
from intendant.record.store import tables
from intendant.record.store.chain import FIRST_HASH, fault_of, key_id, mac_of
from intendant.record.store.digests import (
    APPROVAL,
    BUDGET,
    DECISION,
    DELIVERY,
    EVERYTHING,
    HOLD,
    LEDGER,
    LIMIT,
    NONE,
    ORIGINAL,
    PRUNED,
    RATING,
    RUN,
    SIGNAL,
    STEP,
    WINDOW,
    Covered,
)
from intendant.record.store.reconciling import Row, Sums, budget_faults, ledger_faults, scopes_of
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work

OF_RUN = (STEP, HOLD, LEDGER, DELIVERY, ORIGINAL, APPROVAL, DECISION, SIGNAL, RATING, PRUNED)
"""Tables whose rows belong to one run, by their column `run_id`."""
BASE = ("spent_tokens", "spent_micro", "held_tokens", "held_micro")
_MAC = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")
MOST_BROKEN = 1000
"""So many faults are listed at most."""


class Broken(NamedTuple):
    """A fault of the record."""

    table: str
    key: str
    reason: str
    run_id: str = ""


@dataclass(slots=True)
class Verified:
    """What verifying has found."""

    runs: int = 0
    events: int = 0
    rows: int = 0
    broken: list[Broken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be checked, and what is not covered."""
    head: str = ""
    """The state of the chains, to be kept elsewhere."""


class _Commitment(NamedTuple):
    """A commitment in the chain of everything."""

    was: str | None
    digest: str
    base: dict[str, int]


class _Run(NamedTuple):
    """What the record says of one run."""

    events: list[EventRow]
    commitments: dict[tuple[str, str], tuple[str, dict[str, int]]]
    """The last digest that the run's own chain commits to, and the base of budgets, by table and key."""


def verify(
    run_id: str | None = None, keys: Sequence[bytes] = (), against: str = "", tenant: str | None = None
) -> Work[Verified]:
    """Verify the whole record, or one run.

    Args:
        run_id: The run; None for everything.
        keys: Keys that events may be signed with; without any, signatures are not looked at.
        against: A head that was kept elsewhere.
        tenant: Of runs of other tenants it is only said how many faults they have; None for no such limit.
    """

    def work(connection: Connection) -> Verified:
        session = session_of(connection)
        if not session.sqlite:
            # One state of all tables, while other processes write; the writer's own transaction sees several.
            with connection.engine.connect() as one:
                snapshot = one.execution_options(isolation_level="REPEATABLE READ")
                return _Verification(snapshot, keys, tenant).all(run_id, against)
        session.driver.text_factory = _lenient  # bytes that are no UTF-8 are a fault, not an error
        try:
            return _Verification(connection, keys, tenant).all(run_id, against)
        finally:
            session.driver.text_factory = str

    return work


def _lenient(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


class _Verification:
    def __init__(self, connection: Connection, keys: Sequence[bytes], tenant: str | None) -> None:
        self.session = session_of(connection)
        self.errors: Any = (connection.dialect.loaded_dbapi.Error,)
        self.keys = {key_id(key): key for key in keys}
        self.tenant = tenant
        self.foreign: set[str] = set()
        """Runs of other tenants."""
        self.found = Verified()
        self.later: defaultdict[tuple[str, str], list[_Commitment]] = defaultdict(list)
        self.of_run: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self.opened_at: dict[str, int] = {}
        """The number of the event, in the chain of everything, that first commits to a run's row."""
        self.adopted: set[str] = set()
        """Runs that were there before the record committed to rows."""
        self.erased: dict[str, str] = {}
        """Who erased the payloads of a run, by run."""
        self.pruned: set[str] = set()
        """Runs that were taken out when their time was over."""
        self.signed_from: int | None = None
        self.heads: list[str] = []
        self.seen: defaultdict[str, int] = defaultdict(int)
        """Rows that were verified, by table."""
        self.budgets_seen: set[str] = set()
        self.inner: defaultdict[str, list[dict[str, Any]]] | None = None
        """Holds of runs inside steps, by each outer run; None before they were read."""
        self.sums = Sums(self.read(tables.lease, "1 = 1"))

    # --- reading ---

    def read(self, table: Table, where: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows with all their columns; a table that cannot be read is broken."""
        names = [column.name for column in table.columns]
        quoted = ", ".join(f'"{name}"' for name in names)
        source = f'"{table.name}"'
        if self.session.sqlite:
            # Values that an index has as well would be read from the index, and the row's own copy not at all.
            chosen, by, order = where.partition(" ORDER BY ")
            where = f"rowid IN (SELECT rowid FROM {source} WHERE {chosen}){by}{order}"  # noqa: S608
        text = f"SELECT {quoted} FROM {source} WHERE {where}"  # noqa: S608  # names and conditions of ours
        try:
            cursor = self.session.execute(text, values)
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except (*self.errors, UnicodeError) as error:
            self.fault(table.name, "", f"the table cannot be read: {str(error).splitlines()[0]}")
            return []

    def fault(self, table: str, key: str, reason: str, run_id: str = "") -> None:
        if len(self.found.broken) < MOST_BROKEN:
            self.found.broken.append(Broken(table, key, reason, run_id))

    # --- everything ---

    def all(self, run_id: str | None, against: str) -> Verified:
        kept = read_head(against)
        self.everything(run_id, kept.pop(EVERYTHING, None))
        for known in [run_id] if run_id is not None else self.run_ids():
            self.run(known, kept.pop(known, None))
        if run_id is None:
            self.standing()
            self.strays()
            for missing in kept:
                self.fault("event", missing, "the run of the head that was kept elsewhere is gone", missing)
        if self.adopted and (run_id is None or run_id in self.adopted):
            count = len(self.adopted) if run_id is None else 1
            self.found.notes.append(
                f"{count} runs began before the database was migrated to this version: their rows are not covered "
                "before migration, when only their events were chained"
            )
        if run_id is None and self.pruned:
            self.found.notes.append(f"{len(self.pruned)} runs were pruned when their time was over")
        for erased, by in self.erased.items():
            if erased not in self.foreign:
                self.found.notes.append(f"the payloads of run {erased} were erased, by {by}")
        own = [fault for fault in self.found.broken if fault.run_id not in self.foreign]
        if others := len(self.found.broken) - len(own):
            own.append(Broken("run", "", f"{others} faults are in runs of other tenants"))
        self.found.broken = own
        self.found.head = ";".join(self.heads)
        return self.found

    def run_ids(self) -> list[str]:
        """Every run that is there, or that is named anywhere."""
        found = set(self.of_run)
        named = [(item.table, "run_id") for item in OF_RUN]
        for table, column in [(tables.run, "id"), (tables.event, "run_id"), *named]:
            query = f'SELECT DISTINCT "{column}" FROM "{table.name}"'  # noqa: S608  # names of ours
            found |= {str(row[0]) for row in self.ask(query)}
        return sorted(found - {EVERYTHING})

    def ask(self, text: str) -> list[Any]:
        try:
            return list(self.session.execute(text).fetchall())
        except (*self.errors, UnicodeError):
            return []  # said when the table is read

    def everything(self, only: str | None, kept: tuple[int, str] | None) -> None:
        """The chain of what belongs to no single run; which rows it commits to."""
        events = self.events(EVERYTHING)
        self.chain(EVERYTHING, events, kept)
        signed = [event.seq for event in events if event.mac is not None]
        self.signed_from = min(signed) if signed else None
        if self.keys and not signed and events:
            self.fault("event", EVERYTHING, "no event is signed with a key")
        self.signatures(EVERYTHING, events, self.signed_from)
        for event in events:
            if only is None or only in str(event.commits or ""):
                self.take(event)
        ids = sorted({event.mac.partition(":")[0] for event in events if _is_mac(event.mac)})
        if ids and not self.keys:
            self.found.notes.append(f"signatures (key {', '.join(ids)}) were not checked: give --key-file")

    def take(self, event: EventRow) -> None:
        for table, key, digest, more in self.commitments(event):
            run_id = str(more.get("run", ""))
            if table == "erased":
                self.erased[key] = str(more.get("by", "?"))
                continue
            base = dict(zip(BASE, more.get("base", ()), strict=False))
            self.later[table, key].append(_Commitment(more.get("was"), digest, base))
            if run_id:
                self.of_run[run_id].add((table, key))
            if table == PRUNED.name:
                self.pruned.add(key)
            if table == RUN.name:
                self.opened_at.setdefault(key, event.seq)
                if event.type == "adopted":
                    self.adopted.add(key)

    def commitments(self, event: EventRow) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        if event.commits is None:
            return
        try:
            for table, key, digest, *rest in json.loads(event.commits):
                yield table, key, digest, dict(rest[0]) if rest else {}
        except (ValueError, TypeError, RecursionError):
            self.fault("event", f"{event.run_id}/{event.seq}", "its commitments cannot be read", event.run_id)

    # --- chains ---

    def events(self, run_id: str) -> list[EventRow]:
        found = self.read(tables.event, '"run_id" = ? ORDER BY "seq"', [run_id])
        self.found.events += len(found)
        return [EventRow(**row) for row in found]

    def chain(self, run_id: str, events: Sequence[EventRow], kept: tuple[int, str] | None) -> None:
        previous = FIRST_HASH
        for number, event in enumerate(events, 1):
            if reason := fault_of(event, number, previous):
                self.fault("event", f"{run_id}/{number}", reason, run_id)
                break
            previous = event.hash
        if events:
            self.heads.append(f"{run_id}:{len(events)}:{events[-1].hash}")
        if kept is not None:
            at, digest = kept
            if len(events) < at or events[at - 1].hash != digest:
                self.fault(
                    "event", f"{run_id}/{at}", "it is not the one of the head that was kept elsewhere", run_id
                )

    def signatures(self, run_id: str, events: Sequence[EventRow], since: int | None) -> None:
        """Every event from number *since* on is signed; None for from the first one that is."""
        if not self.keys:
            for event in events:
                if event.mac is not None and (self.signed_from is None or not _is_mac(event.mac)):
                    self.fault("event", f"{run_id}/{event.seq}", "its signature is none", run_id)
            return
        signed = since
        for event in events:
            if event.mac is None:
                if signed is not None and event.seq >= signed:
                    self.fault("event", f"{run_id}/{event.seq}", "it is not signed", run_id)
                    return
                continue
            signed = event.seq if signed is None else signed
            key = self.keys.get(event.mac.partition(":")[0]) if isinstance(event.mac, str) else None
            if key is None or mac_of(key, str(event.hash)) != event.mac:
                reason = "it is signed with another key" if key is None else "its signature is wrong"
                self.fault("event", f"{run_id}/{event.seq}", reason, run_id)
                return

    # --- one run ---

    def run(self, run_id: str, kept: tuple[int, str] | None) -> None:
        if run_id in self.pruned:
            self.gone(run_id)
            return
        self.found.runs += 1
        events = self.events(run_id)
        self.chain(run_id, events, kept)
        after_the_key = self.signed_from is not None and self.opened_at.get(run_id, 0) >= self.signed_from
        self.signatures(run_id, events, 1 if after_the_key else None)
        run = _Run(events, {})
        for event in events:
            for table, key, digest, more in self.commitments(event):
                known = run.commitments.get((table, key), ("", {}))[1]
                base = dict(zip(BASE, more["base"], strict=False)) if "base" in more else known
                run.commitments[table, key] = (digest, base)
        left = {*run.commitments, *self.of_run.get(run_id, ())}
        rows = self.read(tables.run, '"id" = ?', [run_id])
        if self.tenant is not None and rows and rows[0]["tenant"] != self.tenant:
            self.foreign.add(run_id)
        self.rows(RUN, rows, run, left, run_id)
        if rows:
            self.end(rows[0], events)
        for covered in OF_RUN:
            self.table(covered, run, left, run_id)
        self.budgets(run, left, run_id)
        for table, key in sorted(left):
            if self.expected(table, key, run)[0] != NONE:
                self.fault(table, key, "the row was deleted", run_id)

    def gone(self, run_id: str) -> None:
        """Nothing is left of a run that was pruned, but that it was."""
        self.table(PRUNED, _Run([], {}), left := {(PRUNED.name, run_id)}, run_id)
        if left:
            self.fault(PRUNED.name, run_id, "the row was deleted", run_id)
        for table, column in [
            (tables.run, "id"),
            (tables.event, "run_id"),
            *((one.table, "run_id") for one in OF_RUN),
        ]:
            if table is not PRUNED.table and self.read(table, f'"{column}" = ?', [run_id]):
                self.fault(table.name, run_id, "the run was pruned, and rows of it are there", run_id)

    def table(self, covered: Covered, run: _Run, left: set[tuple[str, str]], run_id: str) -> None:
        rows = self.read(covered.table, '"run_id" = ?', [run_id])
        self.rows(covered, rows, run, left, run_id)
        if covered is HOLD:
            for row in rows:
                self.sums.add_hold(row, of_run=run_id)
        elif covered is LEDGER:
            for row in rows:
                self.sums.add_charge(row, of_run=run_id)
            if run_id not in self.adopted:
                for key, reason in ledger_faults(run.events, rows):
                    self.fault("ledger", key, reason, run_id)

    def rows(
        self, covered: Covered, rows: Iterable[Row], run: _Run, left: set[tuple[str, str]], run_id: str
    ) -> None:
        """Compare rows with what the chains commit to."""
        for row in rows:
            self.found.rows += 1
            self.seen[covered.table.name] += 1
            values = [row[name] for name in covered.columns]
            key = covered.key_of(values)
            left.discard((covered.name, key))
            expected = self.expected(covered.name, key, run)[0]
            if expected == NONE:
                self.fault(covered.name, key, "the row was inserted: no event commits to it", run_id)
            elif covered.digest(values) != expected:
                self.fault(covered.name, key, "a column was changed: it is not the row that was committed", run_id)

    def expected(self, table: str, key: str, run: _Run) -> tuple[str, dict[str, int]]:
        """The digest that a row must have, and the base of a budget: the last one of the run's own chain, and what
        came of it in the chain of everything.
        """
        digest, base = run.commitments.get((table, key), (NONE, {}))
        for later in self.later.get((table, key), ()):
            if later.was in (None, digest):
                digest, base = later.digest, later.base or base
        return digest, base

    def end(self, row: Row, events: Sequence[EventRow]) -> None:
        """The journal is as long as it was when the run ended, or longer where it goes on."""
        count, last = row["events"], row["last_hash"]
        if not isinstance(count, int) or count < 1:
            return
        longer = row["finished_at"] is None
        if len(events) < count or events[count - 1].hash != last or (len(events) > count and not longer):
            self.fault(
                "event", f"{row['id']}/{count}", "it was the last one when the run ended, and is not", row["id"]
            )

    def budgets(self, run: _Run, left: set[tuple[str, str]], run_id: str) -> None:
        first, last = f"step:{run_id}/", f"step:{run_id}0"  # "0" follows "/"
        where = '"id" = ? OR ("id" > ? AND "id" < ?)'
        rows = self.read(tables.budget, where, [f"run:{run_id}", first, last])
        self.rows(BUDGET, rows, run, left, run_id)
        if any(any(self.miscounts(BUDGET, row, run)) for row in rows):
            self.add_inner_runs(run_id)  # few runs have any, and to look for them is to read every hold
        for row in rows:
            self.budgets_seen.add(row["id"])
            self.counters(BUDGET, row, run, run_id)

    def add_inner_runs(self, run_id: str) -> None:
        """Count in what runs inside this one's steps hold and spend of its budgets."""
        if self.inner is None:
            self.inner = defaultdict(list)
            for row in self.read(tables.hold, '"chain" LIKE ?', ['%"run:%"run:%']):
                for scope in scopes_of(row["chain"]):
                    if scope.startswith("run:") and scope != f"run:{row['run_id']}":
                        self.inner[scope.removeprefix("run:")].append(row)
        for inner in self.inner[run_id]:
            self.sums.add_hold(inner, of_run=run_id)
            for charge in self.read(tables.ledger, '"hold_key" = ?', [inner["key"]]):
                self.sums.add_charge(charge, of_run=run_id)

    def counters(self, covered: Covered, row: Row, run: _Run, run_id: str = "") -> None:
        for reason in self.miscounts(covered, row, run):
            self.fault(covered.table.name, str(row["id"]), reason, run_id)

    def miscounts(self, covered: Covered, row: Row, run: _Run) -> Iterator[str]:
        """What is wrong with the counters of a budget."""
        base = self.expected(covered.name, str(row["id"]), run)[1]
        return budget_faults(row, self.sums.of(row["id"]), base, window=covered is WINDOW)

    # --- standing limits ---

    def standing(self) -> None:
        """Limits of agents and tenants, and their budgets of days and months."""
        nothing = _Run([], {})
        known = {(table, key) for table, key in self.later if table in (LIMIT.name, WINDOW.name)}
        known |= {(table, key) for table, key in self.later if table == BUDGET.name and not _of_a_run(key)}
        self.rows(LIMIT, self.read(tables.budget_limit, "1 = 1"), nothing, known, "")
        for row in self.read(tables.budget, "1 = 1"):
            if row["id"] in self.budgets_seen:
                continue
            covered = BUDGET if (BUDGET.name, row["id"]) in self.later else WINDOW
            self.rows(covered, [row], nothing, known, "")
            self.counters(covered, row, nothing)
        for table, key in sorted(known):
            if self.expected(table, key, nothing)[0] != NONE:
                self.fault(table, key, "the row was deleted")

    def strays(self) -> None:
        """Rows that were not reached because the run that they name cannot be one."""
        for covered in (RUN, *OF_RUN):
            counted = self.ask(f'SELECT count(*) FROM "{covered.table.name}"')  # noqa: S608  # names of ours
            if counted and counted[0][0] != self.seen[covered.table.name]:
                more = counted[0][0] - self.seen[covered.table.name]
                self.fault(covered.table.name, "", f"{more} rows were inserted that belong to no run")


def bases(connection: Connection) -> dict[tuple[str, str], dict[str, int]]:
    """What was spent and held of each standing budget beyond what its holds come to, as last committed to."""
    verification = _Verification(connection, (), None)
    verification.everything(None, None)
    nothing = _Run([], {})
    return {
        (table, key): verification.expected(table, key, nothing)[1]
        for table, key in list(verification.later)
        if table in (BUDGET.name, WINDOW.name) and not _of_a_run(key)
    }


def _is_mac(text: Any) -> TypeGuard[str]:
    return isinstance(text, str) and _MAC.fullmatch(text) is not None


def _of_a_run(scope: str) -> bool:
    return scope.startswith(("run:", "step:"))


def read_head(text: str) -> dict[str, tuple[int, str]]:
    """A head as `Verified.head` says it.

    Raises:
        ValueError: It is none.
    """
    found: dict[str, tuple[int, str]] = {}
    for part in filter(None, text.strip().split(";")):
        chain, seq, digest = part.rsplit(":", 2)
        found[chain] = (int(seq), digest)
    return found

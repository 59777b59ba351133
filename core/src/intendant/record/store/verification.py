"""How the record is verified: chains of events, the rows that they commit to, and what can be computed from those.

Nothing that is read is trusted: rows are read as the driver gives them, and what cannot be read is broken.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table  # noqa: TID253

from intendant.record.rows import EventRow
from intendant.record.store import tables
from intendant.record.store.budgets import run_of
from intendant.record.store.chain import FIRST_HASH, fault_of, is_mac, key_id, mac_of, read_head
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
from intendant.record.store.known_chain import KnownChain
from intendant.record.store.reconciling import Row, Sums, budget_faults, ledger_faults, scopes_of
from intendant.record.store.session import session_of

_EXISTS = 'EXISTS (SELECT 1 FROM "{}" WHERE "run_id" = ?)'
OF_RUN = (STEP, HOLD, LEDGER, DELIVERY, ORIGINAL, APPROVAL, DECISION, SIGNAL, RATING, PRUNED)
"""Tables whose rows belong to one run, by their column `run_id`."""
_ANY_ROWS = f"SELECT {', '.join(_EXISTS.format(one.table.name) for one in OF_RUN)}"
"""Asks which tables have rows of a run: few of them, for most runs."""
BASE = ("spent_tokens", "spent_micro", "held_tokens", "held_micro")
MOST_BROKEN = 1000
"""So many faults are listed at most."""
AT_ONCE = 2000
"""Events of the chain of everything that are read with one statement; at least two."""


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


_NOTHING = _Run([], {})
"""Of what belongs to no run."""


class Verification:
    """Verifies one state of a record.

    Args:
        connection: The connection that reads it.
        keys: Keys that events may be signed with; without any, signatures are not looked at.
        tenant: Of runs of other tenants it is only said how many faults they have; None for no such limit.
    """

    def __init__(self, connection: Connection, keys: Sequence[bytes], tenant: str | None) -> None:
        self._session = session_of(connection)
        self._errors: Any = (connection.dialect.loaded_dbapi.Error,)
        self._keys = {key_id(key): key for key in keys}
        self._tenant = tenant
        self._foreign: set[str] = set()
        """Runs of other tenants."""
        self._found = Verified()
        self.later: defaultdict[tuple[str, str], list[_Commitment]] = defaultdict(list)
        self._of_run: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._opened_at: dict[str, int] = {}
        """The number of the event, in the chain of everything, that first commits to a run's row."""
        self._adopted: set[str] = set()
        """Runs that were there before the record committed to rows."""
        self._erased: dict[str, str] = {}
        """Who erased the payloads of a run, by run."""
        self._pruned: set[str] = set()
        """Runs that were taken out when their time was over."""
        self._signed_from: int | None = None
        self._heads: list[str] = []
        self._seen: defaultdict[str, int] = defaultdict(int)
        """Rows that were verified, by table."""
        self._budgets_seen: set[str] = set()
        self._inner: defaultdict[str, list[dict[str, Any]]] | None = None
        """Holds of runs inside steps, by each outer run; None before they were read."""
        self._sums = Sums(self._read(tables.lease, "1 = 1"))

    # --- reading ---

    def _read(
        self, table: Table, where: str, values: Sequence[Any] = (), most: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows with all their columns; a table that cannot be read is broken."""
        where = where if most is None else f"{where} LIMIT {most}"
        names = [column.name for column in table.columns]
        quoted = ", ".join(f'"{name}"' for name in names)
        source = f'"{table.name}"'
        if self._session.sqlite:
            # Values that an index has as well would be read from the index, and the row's own copy not at all.
            _, by, order = where.partition(" ORDER BY ")
            where = f"rowid IN (SELECT rowid FROM {source} WHERE {where}){by}{order}"  # noqa: S608
        text = f"SELECT {quoted} FROM {source} WHERE {where}"  # noqa: S608  # names and conditions of ours
        try:
            cursor = self._session.execute(text, values)
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except (*self._errors, UnicodeError) as error:
            self._fault(table.name, "", f"the table cannot be read: {str(error).splitlines()[0]}")
            return []

    def _fault(self, table: str, key: str, reason: str, run_id: str = "") -> None:
        if len(self._found.broken) < MOST_BROKEN:
            self._found.broken.append(Broken(table, key, reason, run_id))

    # --- everything ---

    def all(self, run_id: str | None, against: str) -> Verified:
        """Verify the whole record, or one run, against a head that was kept elsewhere."""
        kept = read_head(against)
        self.everything(run_id, kept.pop(EVERYTHING, None))
        for known in [run_id] if run_id is not None else self._run_ids():
            self._run(known, kept.pop(known, None))
        if run_id is None:
            self._standing()
            self._strays()
            for missing in kept:
                self._fault("event", missing, "the run of the head that was kept elsewhere is gone", missing)
        if self._adopted and (run_id is None or run_id in self._adopted):
            count = len(self._adopted) if run_id is None else 1
            self._found.notes.append(
                f"{count} runs began before the database was migrated to this version: their rows are not covered "
                "before migration, when only their events were chained"
            )
        if run_id is None and self._pruned:
            self._found.notes.append(f"{len(self._pruned)} runs were pruned when their time was over")
        for erased, by in self._erased.items():
            if erased not in self._foreign:
                self._found.notes.append(f"the payloads of run {erased} were erased, by {by}")
        own = [fault for fault in self._found.broken if fault.run_id not in self._foreign]
        if others := len(self._found.broken) - len(own):
            own.append(Broken("run", "", f"{others} faults are in runs of other tenants"))
        self._found.broken = own
        self._found.head = ";".join(self._heads)
        return self._found

    def one(self, run_id: str, known: KnownChain) -> Verified | None:
        """Verify a run; the chain of everything is read as a whole only where what is known does not fit it.

        Returns:
            None if there are more new events in that chain than are verified at once.
        """
        fits = self.learn(known)
        if fits is None:
            return None
        if not (fits and self._take_known(run_id, known)):
            known.clear()
            return self.all(run_id, "")
        self._run(run_id, None)
        return self._found

    def learn(self, known: KnownChain) -> bool | None:
        """Verify the next events of the chain of everything.

        Returns:
            True if all of them are known now, False if they do not fit what is known, None if there are more.
        """
        where = '"run_id" = ? AND "seq" >= ? ORDER BY "seq"'
        rows = self._read(tables.event, where, [EVERYTHING, known.last], most=AT_ONCE)
        events = [EventRow(**row) for row in rows]
        fits = known.last == 0 or (events != [] and known.has(events.pop(0)))
        fits = fits and all(map(known.add, events))
        return None if fits and len(rows) == AT_ONCE and events else fits

    def _take_known(self, run_id: str, known: KnownChain) -> bool:
        """Take what the chain of everything says of a run; returns False if it is not as it is known."""
        if known.keys and known.signed_from is None:
            return False
        numbers, naming = known.numbers_of(run_id), list[EventRow]()
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            where = f'"run_id" = ? AND "seq" IN ({", ".join("?" * len(some))}) ORDER BY "seq"'
            events = [EventRow(**row) for row in self._read(tables.event, where, [EVERYTHING, *some])]
            if [event.seq for event in events] != some or not all(map(known.has, events)):
                return False
            naming += events
        self._signed_from = known.signed_from
        for event in naming:  # only now: where one does not fit, the whole chain is taken instead
            self._take(event)
        return True

    def _run_ids(self) -> list[str]:
        """Every run that is there, or that is named anywhere."""
        found = set(self._of_run)
        named = [(item.table, "run_id") for item in OF_RUN]
        for table, column in [(tables.run, "id"), (tables.event, "run_id"), *named]:
            query = f'SELECT DISTINCT "{column}" FROM "{table.name}"'  # noqa: S608  # names of ours
            found |= {str(row[0]) for row in self._ask(query)}
        return sorted(found - {EVERYTHING})

    def _ask(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return list(self._session.execute(text, values).fetchall())
        except (*self._errors, UnicodeError):
            return []  # said when the table is read

    def everything(self, only: str | None, kept: tuple[int, str] | None) -> None:
        """The chain of what belongs to no single run; which rows it commits to."""
        events = self._events(EVERYTHING)
        self._chain(EVERYTHING, events, kept)
        signed = [event.seq for event in events if event.mac is not None]
        self._signed_from = min(signed) if signed else None
        if self._keys and not signed and events:
            self._fault("event", EVERYTHING, "no event is signed with a key")
        self._signatures(EVERYTHING, events, self._signed_from)
        for event in events:
            if only is None or only in str(event.commits or ""):
                self._take(event)
        ids = sorted({event.mac.partition(":")[0] for event in events if is_mac(event.mac)})
        if ids and not self._keys:
            self._found.notes.append(f"signatures (key {', '.join(ids)}) were not checked: give --key-file")

    def _take(self, event: EventRow) -> None:
        for table, key, digest, more in self._commitments(event):
            run_id = str(more.get("run", ""))
            if table == "erased":
                self._erased[key] = str(more.get("by", "?"))
                continue
            base = dict(zip(BASE, more.get("base", ()), strict=False))
            self.later[table, key].append(_Commitment(more.get("was"), digest, base))
            if run_id:
                self._of_run[run_id].add((table, key))
            if table == PRUNED.name:
                self._pruned.add(key)
            if table == RUN.name:
                self._opened_at.setdefault(key, event.seq)
                if event.type == "adopted":
                    self._adopted.add(key)

    def _commitments(self, event: EventRow) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        if event.commits is None:
            return
        try:
            for table, key, digest, *rest in json.loads(event.commits):
                yield table, key, digest, dict(rest[0]) if rest else {}
        except (ValueError, TypeError, RecursionError):
            self._fault("event", f"{event.run_id}/{event.seq}", "its commitments cannot be read", event.run_id)

    # --- chains ---

    def _events(self, run_id: str) -> list[EventRow]:
        found = self._read(tables.event, '"run_id" = ? ORDER BY "seq"', [run_id])
        self._found.events += len(found)
        return [EventRow(**row) for row in found]

    def _chain(self, run_id: str, events: Sequence[EventRow], kept: tuple[int, str] | None) -> None:
        previous = FIRST_HASH
        for number, event in enumerate(events, 1):
            if reason := fault_of(event, number, previous):
                self._fault("event", f"{run_id}/{number}", reason, run_id)
                break
            previous = event.hash
        if events:
            self._heads.append(f"{run_id}:{len(events)}:{events[-1].hash}")
        if kept is not None:
            at, digest = kept
            if len(events) < at or events[at - 1].hash != digest:
                self._fault(
                    "event", f"{run_id}/{at}", "it is not the one of the head that was kept elsewhere", run_id
                )

    def _signatures(self, run_id: str, events: Sequence[EventRow], since: int | None) -> None:
        """Every event from number *since* on is signed; None for from the first one that is."""
        if not self._keys:
            for event in events:
                if event.mac is not None and (self._signed_from is None or not is_mac(event.mac)):
                    self._fault("event", f"{run_id}/{event.seq}", "its signature is none", run_id)
            return
        signed = since
        for event in events:
            if event.mac is None:
                if signed is not None and event.seq >= signed:
                    self._fault("event", f"{run_id}/{event.seq}", "it is not signed", run_id)
                    return
                continue
            signed = event.seq if signed is None else signed
            key = self._keys.get(event.mac.partition(":")[0]) if isinstance(event.mac, str) else None
            if key is None or mac_of(key, str(event.hash)) != event.mac:
                reason = "it is signed with another key" if key is None else "its signature is wrong"
                self._fault("event", f"{run_id}/{event.seq}", reason, run_id)
                return

    # --- one run ---

    def _run(self, run_id: str, kept: tuple[int, str] | None) -> None:
        if run_id in self._pruned:
            self._gone(run_id)
            return
        self._found.runs += 1
        events = self._events(run_id)
        self._chain(run_id, events, kept)
        after_the_key = self._signed_from is not None and self._opened_at.get(run_id, 0) >= self._signed_from
        self._signatures(run_id, events, 1 if after_the_key else None)
        run = _Run(events, {})
        for event in events:
            for table, key, digest, more in self._commitments(event):
                known = run.commitments.get((table, key), ("", {}))[1]
                base = dict(zip(BASE, more["base"], strict=False)) if "base" in more else known
                run.commitments[table, key] = (digest, base)
        left = {*run.commitments, *self._of_run.get(run_id, ())}
        rows = self._read(tables.run, '"id" = ?', [run_id])
        if self._tenant is not None and rows and rows[0]["tenant"] != self._tenant:
            self._foreign.add(run_id)
        self._rows(RUN, rows, run, left, run_id)
        if rows:
            self._end(rows[0], events)
        there = self._ask(_ANY_ROWS, [run_id] * len(OF_RUN))
        for covered, any_rows in zip(OF_RUN, there[0] if there else [True] * len(OF_RUN), strict=True):
            self._table(covered, run, left, run_id, any_rows=any_rows)
        self._budgets(run, left, run_id)
        for table, key in sorted(left):
            if self.expected(table, key, run)[0] != NONE:
                self._fault(table, key, "the row was deleted", run_id)

    def _gone(self, run_id: str) -> None:
        """Nothing is left of a run that was pruned, but that it was."""
        self._table(PRUNED, _NOTHING, left := {(PRUNED.name, run_id)}, run_id)
        if left:
            self._fault(PRUNED.name, run_id, "the row was deleted", run_id)
        for table, column in [
            (tables.run, "id"),
            (tables.event, "run_id"),
            *((one.table, "run_id") for one in OF_RUN),
        ]:
            if table is not PRUNED.table and self._read(table, f'"{column}" = ?', [run_id]):
                self._fault(table.name, run_id, "the run was pruned, and rows of it are there", run_id)

    def _table(
        self, covered: Covered, run: _Run, left: set[tuple[str, str]], run_id: str, *, any_rows: bool = True
    ) -> None:
        rows = self._read(covered.table, '"run_id" = ?', [run_id]) if any_rows else []
        self._rows(covered, rows, run, left, run_id)
        if covered is HOLD:
            for row in rows:
                self._sums.add_hold(row, of_run=run_id)
        elif covered is LEDGER:
            for row in rows:
                self._sums.add_charge(row, of_run=run_id)
            if run_id not in self._adopted:
                for key, reason in ledger_faults(run.events, rows):
                    self._fault("ledger", key, reason, run_id)

    def _rows(
        self, covered: Covered, rows: Iterable[Row], run: _Run, left: set[tuple[str, str]], run_id: str
    ) -> None:
        """Compare rows with what the chains commit to."""
        for row in rows:
            self._found.rows += 1
            self._seen[covered.table.name] += 1
            values = [row[name] for name in covered.columns]
            key = covered.key_of(values)
            left.discard((covered.name, key))
            expected = self.expected(covered.name, key, run)[0]
            if expected == NONE:
                self._fault(covered.name, key, "the row was inserted: no event commits to it", run_id)
            elif covered.digest(values) != expected:
                self._fault(
                    covered.name, key, "a column was changed: it is not the row that was committed", run_id
                )

    def expected(self, table: str, key: str, run: _Run = _NOTHING) -> tuple[str, dict[str, int]]:
        """The digest that a row must have, and the base of a budget: the last one of the run's own chain, and what
        came of it in the chain of everything.
        """
        digest, base = run.commitments.get((table, key), (NONE, {}))
        for later in self.later.get((table, key), ()):
            if later.was in (None, digest):
                digest, base = later.digest, later.base or base
        return digest, base

    def _end(self, row: Row, events: Sequence[EventRow]) -> None:
        """The journal is as long as it was when the run ended, or longer where it goes on."""
        count, last = row["events"], row["last_hash"]
        if not isinstance(count, int) or count < 1:
            return
        longer = row["finished_at"] is None
        if len(events) < count or events[count - 1].hash != last or (len(events) > count and not longer):
            self._fault(
                "event", f"{row['id']}/{count}", "it was the last one when the run ended, and is not", row["id"]
            )

    def _budgets(self, run: _Run, left: set[tuple[str, str]], run_id: str) -> None:
        first, last = f"step:{run_id}/", f"step:{run_id}0"  # "0" follows "/"
        where = '"id" = ? OR ("id" > ? AND "id" < ?)'
        rows = self._read(tables.budget, where, [f"run:{run_id}", first, last])
        self._rows(BUDGET, rows, run, left, run_id)
        if any(any(self._miscounts(BUDGET, row, run)) for row in rows):
            self._add_inner_runs(run_id)  # few runs have any, and to look for them is to read every hold
        for row in rows:
            self._budgets_seen.add(row["id"])
            self._counters(BUDGET, row, run, run_id)

    def _add_inner_runs(self, run_id: str) -> None:
        """Count in what runs inside this one's steps hold and spend of its budgets."""
        if self._inner is None:
            self._inner = defaultdict(list)
            for row in self._read(tables.hold, '"chain" LIKE ?', ['%"run:%"run:%']):
                for scope in scopes_of(row["chain"]):
                    if scope.startswith("run:") and scope != f"run:{row['run_id']}":
                        self._inner[scope.removeprefix("run:")].append(row)
        for inner in self._inner[run_id]:
            self._sums.add_hold(inner, of_run=run_id)
            for charge in self._read(tables.ledger, '"hold_key" = ?', [inner["key"]]):
                self._sums.add_charge(charge, of_run=run_id)

    def _counters(self, covered: Covered, row: Row, run: _Run, run_id: str = "") -> None:
        for reason in self._miscounts(covered, row, run):
            self._fault(covered.table.name, str(row["id"]), reason, run_id)

    def _miscounts(self, covered: Covered, row: Row, run: _Run) -> Iterator[str]:
        """What is wrong with the counters of a budget."""
        base = self.expected(covered.name, str(row["id"]), run)[1]
        return budget_faults(row, self._sums.of(row["id"]), base, window=covered is WINDOW)

    # --- standing limits ---

    def _standing(self) -> None:
        """Limits of agents and tenants, and their budgets of days and months."""
        known = {(table, key) for table, key in self.later if table in (LIMIT.name, WINDOW.name)}
        known |= {(table, key) for table, key in self.later if table == BUDGET.name and not run_of(key)}
        self._rows(LIMIT, self._read(tables.budget_limit, "1 = 1"), _NOTHING, known, "")
        for row in self._read(tables.budget, "1 = 1"):
            if row["id"] in self._budgets_seen:
                continue
            covered = BUDGET if (BUDGET.name, row["id"]) in self.later else WINDOW
            self._rows(covered, [row], _NOTHING, known, "")
            self._counters(covered, row, _NOTHING)
        for table, key in sorted(known):
            if self.expected(table, key)[0] != NONE:
                self._fault(table, key, "the row was deleted")

    def _strays(self) -> None:
        """Rows that were not reached because the run that they name cannot be one."""
        for covered in (RUN, *OF_RUN):
            counted = self._ask(f'SELECT count(*) FROM "{covered.table.name}"')  # noqa: S608  # names of ours
            if counted and counted[0][0] != self._seen[covered.table.name]:
                more = counted[0][0] - self._seen[covered.table.name]
                self._fault(covered.table.name, "", f"{more} rows were inserted that belong to no run")

"""What can be computed from other rows and is checked so: the counters of budgets, the ledger by its events."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from intendant.record.rows import EventRow
from intendant.record.store.bookings import CHARGES

CHARGED = ("answered", "in_doubt", "cut_off")
AMOUNTS = ("input_tokens", "output_tokens", "micro_usd")
UNITS = ("tokens", "micro")
Row = Mapping[str, Any]


class Sums:
    """Adds up what is spent and held in each budget, from holds, leases and charges beyond holds.

    Args:
        leases: All leases, as rows.
    """

    def __init__(self, leases: Iterable[Row]) -> None:
        self._spent: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._held: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._closed: dict[str, list[str]] = {}
        for lease in leases:
            scopes = scopes_of(lease["chain"])
            if lease["state"] == "closed":
                self._closed[lease["id"]] = scopes
                continue
            for unit in UNITS:
                self._add(self._held, scopes, unit, lease[unit])

    def add_hold(self, row: Row, of_run: str) -> None:
        """Count a hold in, in the budgets of one run; if that is its own, in those of agents and tenants too."""
        scopes = _chosen(scopes_of(row["chain"]), row, of_run)
        for unit in UNITS:
            if row["state"] == "held":
                self._add(self._held, scopes, unit, row[unit])
            else:  # what was held in a lease is spent in its budgets when the lease is closed
                leased = self._closed.get(row["lease"], ()) if row["run_id"] == of_run else ()
                self._add(self._spent, [*scopes, *leased], unit, row[f"spent_{unit}"])

    def add_charge(self, row: Row, of_run: str) -> None:
        """Count in what a row of the ledger charged beyond its hold; as `add_hold`."""
        try:
            beyond = json.loads(row["beyond"] or "{}")
            chosen = set(_chosen(beyond, row, of_run))
            for scope, amounts in beyond.items():
                if scope not in chosen:
                    continue
                for unit, amount in zip(UNITS, amounts, strict=True):
                    self._add(self._spent, [scope], unit, amount)
        except (ValueError, TypeError, AttributeError):
            return  # its digest says that it was changed

    def of(self, scope: str) -> dict[str, int]:
        """What is spent and held of a budget, without what was spent when it was opened."""
        return {
            **{f"spent_{unit}": self._spent[scope, unit] for unit in UNITS},
            **{f"held_{unit}": self._held[scope, unit] for unit in UNITS},
        }

    @staticmethod
    def _add(into: dict[tuple[str, str], int], scopes: Iterable[str], unit: str, amount: Any) -> None:
        if isinstance(amount, int):
            for scope in scopes:
                into[scope, unit] += amount


def _chosen(scopes: Iterable[str], row: Row, run_id: str) -> list[str]:
    """Of the budgets that a row counts in, those of a run; if it is the row's own, standing ones too. A run that
    was started inside a step counts in the budgets around that step.
    """
    own = row["run_id"] == run_id
    of_run = (f"run:{run_id}", f"step:{run_id}/")
    return [
        scope
        for scope in scopes
        if (scope == of_run[0] or scope.startswith(of_run[1])) or (own and not scope.startswith(("run:", "step:")))
    ]


def scopes_of(text: Any) -> list[str]:
    """The budgets of a chain as it is stored; none where it cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return []
    return [scope for scope in found if isinstance(scope, str)] if isinstance(found, list) else []


def budget_faults(row: Row, sums: Mapping[str, int], base: Mapping[str, int], *, window: bool) -> Iterator[str]:
    """What is wrong with the counters of a budget.

    Args:
        row: The budget, with all its columns.
        sums: What its holds come to.
        base: What was spent and held of it when it was opened.
        window: It is the budget of a day or a month, whose limit follows what it was set to.
    """
    for name, amount in sums.items():
        expected = amount + base.get(name, 0)
        if row[name] != expected:
            yield f"{name} is {row[name]!r}, and its holds come to {expected}"
    if not window:
        return
    for unit in UNITS:
        wanted = row[f"wanted_{unit}"]
        used = sums[f"spent_{unit}"] + base.get(f"spent_{unit}", 0)
        used += sums[f"held_{unit}"] + base.get(f"held_{unit}", 0)
        expected_limit = max(wanted, used) if isinstance(wanted, int) else None
        if row[f"limit_{unit}"] != expected_limit:
            yield f"limit_{unit} is {row[f'limit_{unit}']!r}, and was set to {wanted!r}"


def ledger_faults(events: Sequence[EventRow], ledger: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Calls whose charges are not what their last event says: key of the hold, and why."""
    said: dict[str, tuple[int, ...]] = {}
    for event in events:
        if event.type != "tokens_settled":
            continue
        try:
            data = json.loads(event.data)
            usage = data["usage"]
            if data["outcome"] in CHARGED:
                said[data["call"]] = tuple(usage.get(name, 0) for name in AMOUNTS)
            elif data["outcome"] == "refused":
                said[data["call"]] = (0, 0, 0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the chain says that it was changed
    booked: defaultdict[str, list[Row]] = defaultdict(list)
    for row in ledger:
        if row["kind"] in CHARGES:
            booked[row["hold_key"]].append(row)
    for key in {**said, **booked}:
        yield from ((key, fault) for fault in _charge_fault(said.get(key), booked.get(key, ())))


def _charge_fault(said: tuple[int, ...] | None, rows: Sequence[Row]) -> Iterator[str]:
    names = ("input_tokens", "output_tokens", "micro")
    try:
        charged = tuple(sum(row[name] for row in rows) for name in names)
    except TypeError:
        yield "an amount is no number"
        return
    if said is None:
        # A hold that was given back after it had expired: a charge and a credit, for a call that was never sent.
        if any(charged) and any(row["kind"] != "expire" for row in rows):
            yield "it was charged, and no event says so"
    elif said != charged:
        yield f"charged are {charged}, and its event says {said} (input and output tokens, micro-US$)"

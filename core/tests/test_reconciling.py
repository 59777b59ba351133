"""What the counters of budgets and the ledger must come to, by the rows that they are computed from."""

import json
from typing import Any

import pytest

from intendant.record.rows import EventRow
from intendant.record.store.reconciling import Sums, budget_faults, ledger_faults, scopes_of

CHAIN = json.dumps(["step:r_1/a", "run:r_1", "step:r_0/x", "run:r_0", "agent:t/m", "tenant:t"])


def sums(*holds: dict[str, Any], leases: Any = (), charges: Any = (), of_run: str = "r_1") -> dict[str, Any]:
    """What is spent and held, tokens and micro-US$, in each budget that anything is in."""
    found = Sums(leases)
    for hold in holds:
        found.add_hold(hold, of_run)
    for charge in charges:
        found.add_charge(charge, of_run)
    scopes = [*json.loads(CHAIN), "step:r_10/a", "run:r_10", "lease", "other"]
    said = {scope: found.of(scope) for scope in scopes}
    return {
        scope: (each["spent_tokens"], each["spent_micro"], each["held_tokens"], each["held_micro"])
        for scope, each in said.items()
        if any(each.values())
    }


def hold(state: str = "held", chain: str = CHAIN, **more: Any) -> dict[str, Any]:
    amounts = {"tokens": 7, "micro": 11, "spent_tokens": 3, "spent_micro": 5}
    return {"run_id": "r_1", "state": state, "chain": chain, "lease": None, **amounts, **more}


OWN = ("step:r_1/a", "run:r_1", "agent:t/m", "tenant:t")


@pytest.mark.parametrize(
    ("state", "amounts"), [("held", (0, 0, 7, 11)), ("settled", (3, 5, 0, 0)), ("released", (3, 5, 0, 0))]
)
def test_a_hold_counts_in_the_budgets_of_its_run_and_in_standing_ones(state, amounts) -> None:
    assert sums(hold(state)) == dict.fromkeys(OWN, amounts)
    assert sums(hold(state), hold(state)) == dict.fromkeys(OWN, tuple(2 * each for each in amounts))


def test_a_run_inside_a_step_counts_in_the_budgets_around_it_and_not_twice_in_standing_ones() -> None:
    assert sums(hold(), of_run="r_0") == dict.fromkeys(("step:r_0/x", "run:r_0"), (0, 0, 7, 11))
    assert sums(hold(), of_run="r_10") == {}
    assert sums(hold(chain='["step:r_10/a", "run:r_10", "other"]')) == {"other": (0, 0, 7, 11)}


def test_a_lease_holds_until_it_is_closed_and_then_its_calls_are_spent_in_its_budgets() -> None:
    lease = {"id": "l1", "chain": '["lease"]', "state": "open", "tokens": 100, "micro": 200}
    closed = {**lease, "id": "l2", "state": "closed"}
    assert sums(leases=[lease]) == {"lease": (0, 0, 100, 200)}
    assert sums(leases=[closed]) == {}
    small = '["run:r_1"]'
    settled = [hold("settled", small, lease=name) for name in ("l1", "l2", None)]
    assert sums(*settled, leases=[lease, closed]) == {"run:r_1": (9, 15, 0, 0), "lease": (3, 5, 100, 200)}
    assert sums(hold("held", small, lease="l2"), leases=[closed]) == {"run:r_1": (0, 0, 7, 11)}
    other = hold("settled", small, lease="l2", run_id="r_2")
    assert sums(other, leases=[closed]) == {"run:r_1": (3, 5, 0, 0)}, "of the run that it is of"


@pytest.mark.parametrize(
    ("beyond", "found"),
    [
        (
            {"run:r_1": [1, 2], "agent:t/m": [3, 4], "run:r_0": [5, 6]},
            {"run:r_1": (1, 2, 0, 0), "agent:t/m": (3, 4, 0, 0)},
        ),
        ({}, {}),
        ({"run:r_1": [1, "x"]}, {"run:r_1": (1, 0, 0, 0)}),
        ({"run:r_1": 1}, {}),
        ([], {}),
        (["run:r_1"], {}),
    ],
)
def test_what_was_charged_beyond_a_hold_counts_where_it_says(beyond, found) -> None:
    row = {"run_id": "r_1", "beyond": json.dumps(beyond)}
    assert sums(charges=[row]) == found
    assert sums(charges=[{**row, "beyond": None}, {**row, "beyond": "{"}]) == {}
    inner = {"run_id": "r_2", "beyond": json.dumps({"run:r_1": [1, 2], "agent:t/m": [3, 4]})}
    assert sums(charges=[inner]) == {"run:r_1": (1, 2, 0, 0)}


@pytest.mark.parametrize(
    ("text", "scopes"), [('["a", 1, "b"]', ["a", "b"]), ('{"a": 1}', []), ("x", []), (None, []), ("[" * 10**5, [])]
)
def test_a_chain_that_cannot_be_read_has_no_budgets(text, scopes) -> None:
    assert scopes_of(text) == scopes


# --- budgets ---

COME_TO = {"spent_tokens": 3, "spent_micro": 5, "held_tokens": 7, "held_micro": 11}


@pytest.mark.parametrize(
    ("said", "base", "faults"),
    [
        ({}, {}, []),
        ({"spent_tokens": 4}, {}, ["spent_tokens is 4, and its holds come to 3"]),
        ({"spent_tokens": 4}, {"spent_tokens": 1}, []),
        ({"spent_tokens": 3}, {"spent_tokens": 1}, ["spent_tokens is 3, and its holds come to 4"]),
        ({"held_micro": None}, {}, ["held_micro is None, and its holds come to 11"]),
    ],
)
def test_a_budget_has_spent_what_its_holds_come_to(said, base, faults) -> None:
    assert list(budget_faults({**COME_TO, **said}, COME_TO, base, window=False)) == faults


@pytest.mark.parametrize(
    ("wanted", "limit", "base", "fault"),
    [
        (100, 100, {}, None),
        (100, 99, {}, "limit_tokens is 99, and was set to 100"),
        (5, 10, {}, None),
        (5, 5, {}, "limit_tokens is 5, and was set to 5"),
        (5, 13, {"spent_tokens": 1, "held_tokens": 2}, None),
        (None, None, {}, None),
        (None, 10, {}, "limit_tokens is 10, and was set to None"),
        (10, 10, {}, None),
    ],
)
def test_the_limit_of_a_day_is_what_was_set_or_what_is_used_already(wanted, limit, base, fault) -> None:
    row = {name: amount + base.get(name, 0) for name, amount in COME_TO.items()}
    row |= {"wanted_tokens": wanted, "limit_tokens": limit, "wanted_micro": None, "limit_micro": None}
    assert list(budget_faults(row, COME_TO, base, window=True)) == ([] if fault is None else [fault])
    swapped = {
        name.replace("tokens", "x").replace("micro", "tokens").replace("x", "micro"): value
        for name, value in row.items()
    }
    come_to = {"spent_micro": 3, "spent_tokens": 5, "held_micro": 7, "held_tokens": 11}
    of_micro = {name.replace("tokens", "micro"): value for name, value in base.items()}
    found = list(budget_faults(swapped, come_to, of_micro, window=True))
    assert found == ([] if fault is None else [fault.replace("tokens", "micro")])


# --- the ledger ---


def settled(
    call: str, outcome: str = "answered", kind: str = "tokens_settled", usage: Any = (1, 2, 3)
) -> EventRow:
    names = ("input_tokens", "output_tokens", "micro_usd")
    data = {"call": call, "outcome": outcome, "usage": usage and dict(zip(names, usage, strict=True))}
    blank = dict.fromkeys(EventRow._fields)
    return EventRow(**{**blank, "type": kind, "data": json.dumps(data)})


def without_zeros(call: str, **usage: int) -> EventRow:
    """As events are written: what is at its default is left out."""
    row = settled(call)
    return row._replace(data=json.dumps({**json.loads(row.data), "usage": usage}))


def charged(key: str = "h", amounts: Any = (1, 2, 3), kind: str = "settle") -> dict[str, Any]:
    return {
        "hold_key": key,
        "kind": kind,
        **dict(zip(("input_tokens", "output_tokens", "micro"), amounts, strict=True)),
    }


NOBODY = "it was charged, and no event says so"


@pytest.mark.parametrize(
    ("events", "ledger", "fault"),
    [
        ([settled("h")], [charged()], None),
        ([settled("h", "in_doubt")], [charged()], None),
        ([settled("h", "cut_off")], [charged(amounts=(1, 0, 3)), charged(amounts=(0, 2, 0))], None),
        ([settled("h", "refused")], [charged(amounts=(0, 0, 0))], None),
        ([settled("h", "refused")], [], None),
        ([settled("h"), settled("h", "answered", usage=(1, 2, 4))], [charged(amounts=(1, 2, 4))], None),
        ([], [], None),
        ([], [charged(amounts=(0, 0, 0))], None),
        ([], [charged(kind="expire"), charged(amounts=(-1, -2, -3), kind="expire")], None),
        ([], [charged(kind="expire")], None),
        ([], [charged(kind="expire"), charged(amounts=(1, 0, 0))], NOBODY),
        ([], [charged()], NOBODY),
        ([settled("h", kind="other")], [charged()], NOBODY),
        ([settled("h", "unknown")], [charged()], NOBODY),
        ([settled("h", usage=None)], [charged()], NOBODY),
        ([without_zeros("h", output_tokens=2)], [charged(amounts=(0, 2, 0))], None),
        (
            [without_zeros("h")],
            [charged()],
            "charged are (1, 2, 3), and its event says (0, 0, 0) (input and output tokens, micro-US$)",
        ),
        ([settled("other", "refused")], [charged()], NOBODY),
        ([settled("h")], [charged(amounts=(1, 2, None))], "an amount is no number"),
        (
            [settled("h")],
            [],
            "charged are (0, 0, 0), and its event says (1, 2, 3) (input and output tokens, micro-US$)",
        ),
        (
            [settled("h")],
            [charged(kind="unknown")],
            "charged are (0, 0, 0), and its event says (1, 2, 3) (input and output tokens, micro-US$)",
        ),
        (
            [settled("h", "refused")],
            [charged()],
            "charged are (1, 2, 3), and its event says (0, 0, 0) (input and output tokens, micro-US$)",
        ),
    ],
)
def test_a_call_is_charged_what_its_last_event_says(events, ledger, fault) -> None:
    assert list(ledger_faults(events, ledger)) == ([] if fault is None else [("h", fault)])

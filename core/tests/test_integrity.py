"""A record that can be verified: whatever is changed in it by something else than Intendant is found."""

import asyncio
import os
import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import BigInteger, Float, Integer, String, Text, text

from intendant import IntendantError, Workflow, events
from intendant.model.errors import RecordBroken
from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    Options,
    StepError,
    StepResult,
    Usage,
    operation,
)
from intendant.record.journal import Journal
from intendant.record.rows import (
    ApprovalRow,
    BudgetRow,
    EventRow,
    HoldRow,
    RunRow,
    SignalRow,
    Spent,
    said_by_columns,
)
from intendant.record.store import (
    Store,
    approvals,
    bookings,
    budgets,
    erasure,
    holds,
    integrity,
    limits,
    originals,
    pruning,
    ratings,
    runs,
    sent_signals,
    triggers,
    verification,
)
from intendant.record.store.chain import FIRST_HASH, fault_of, link
from intendant.record.store.digests import COVERED, OUTSIDE
from intendant.record.store.known_chain import KnownChain
from intendant.record.store.spend_report import apart
from intendant.record.store.tables import metadata
from intendant.testing import ScriptedProvider, engine

TRIALS = int(os.environ.get("INTENDANT_TRIALS", "0"))
KEY = b"a key that nobody guesses"
LIVE = {
    ("run", "worker"),
    ("run", "lease_until"),
    ("run", "wait_for"),
    ("run", "cancel_requested"),
    ("run", "due_at"),
    ("run", "pause_requested"),
    ("hold", "expires_at"),
}
"""Columns of liveness: no part of what happened."""


class Ask(IntentHandler):
    """Asks the model, and delivers what it says where the step has a connector."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))
    failing: set[str] = set()

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        reply = await request.model.complete(ask)
        if request.step.id in self.failing:
            raise StepError("not today")
        if request.step.uses:
            return StepResult(output=await request.use_connector(reply.text))
        return StepResult(output=reply.text)


class Box(Connector):
    """Takes what it is given."""

    name = "box"

    def __init__(self) -> None:
        super().__init__()
        self.given = []

    @operation(side_effects=True)
    async def put(self, parameters: Options, call: ConnectorCall):
        """Put it there."""
        self.given.append(call.input)
        return {"put": call.input}


FLOW = Workflow.model_validate(
    {
        "name": "t",
        "agent": "mailer",
        "budget": {"tokens": 5000, "usd": 1},
        "inputs": {"who": {"default": "Ada"}},
        "steps": [
            {"id": "a", "intent": "ask", "prompt": "first {{ inputs.who }}"},
            {"id": "b", "intent": "ask", "prompt": "second {{ steps.a.output }}", "uses": "box.put"},
            {"id": "c", "intent": "ask", "prompt": "third", "needs": ["b"]},
        ],
    }
)


def reply(more: int = 0) -> ModelReply:
    usage = Usage(input_tokens=4, output_tokens=2 + more)
    return ModelReply(text="yes", usage=usage, model="scripted-1", provider="scripted")


async def make(path: Path, key_file: str | None = None) -> str:
    """A record with a row in every table; the id of a run that can be resumed."""
    url = f"sqlite:///{path}"
    settings = {"store": {"key_file": key_file}}
    store = Store(url, key_file=key_file)
    await store.do(limits.set_limit("agent:mailer", "day", 100_000, None))
    await asyncio.to_thread(store.close)
    ask = Ask()
    async with engine(ask, Box(), ScriptedProvider(reply()), db=url, settings=settings) as service:
        first = await service.run(FLOW)
        assert first.status == "completed", first.failures
        store = service._engine.store
        await store.do(limits.set_limit("tenant:default", "month", 90_000, 10**9))
        ask.failing = {"c"}
        second = await service.run(FLOW)
        await leave_more(store)
    return second.run_id


async def leave_more(store: Store) -> None:
    """A run with a call that expired and was answered after all, one that took more than its hold, and originals."""
    row = RunRow("r_more", "more", "mailer", "{}", 1, "{}", "running", 1.0)
    journal = Journal(store, await store.do(runs.open_run(row)))
    await journal.commit(budgets.open_budgets([BudgetRow("run:r_more", None, 1000, None)]))
    log = journal.step("s")
    for key, taken in (("late", 5), ("more", 50)):
        made = HoldRow(key, "r_more", "s", 1, "run:r_more", "p", "m", 20, 3, "v", 1.0, agent="mailer")
        await journal.commit(holds.reserve(made, ("run:r_more",)))
        if key == "late":
            await store.do(holds.expire(2.0))
        usage = Usage(input_tokens=2, output_tokens=taken - 2, micro_usd=4)
        said = {"call": key, "provider": "p", "model": "m", "usage": usage, "outcome": "answered"}
        work = holds.settle(key, Spent(2, taken - 2, 4), '{"text": "x"}')
        await journal.commit(work, log.event(events.TokensSettled, **said))
    for handle in ("0123", "4567"):
        await journal.commit(originals.keep("r_more", handle, f"the whole text {handle}"))
    for step in ("s", "t"):
        asked = ApprovalRow("r_more", step, "Send it?", "[]", 1, "deny", '{"input": "x"}', "0" * 64, 1.0)
        await journal.commit(approvals.ask(asked), log.event(events.ApprovalRequested, ask="Send it?"))
        for verdict in ("denied", "approved"):
            await store.do(approvals.decide("r_more", step, "ann", verdict, "a note"))
    for name in ("first", "second"):
        await store.do(sent_signals.send(SignalRow("r_more", name, "paid", '{"amount": 1}', "ann", 1.0)))
    said = {"event": "paid", "signal": "first", "by": "ann", "sent_at": 1.0}
    await journal.commit(sent_signals.take(journal.fence, "first", "s", ""), log.event(events.SignalTaken, **said))
    await journal.commit(
        approvals.close(journal.fence, "s", "approved"), log.event(events.ApprovalDecided, verdict="approved")
    )
    await journal.commit(runs.finish_run(journal.fence, "failed"))
    for value in (2, 5):
        await store.do(ratings.rate(ratings.made_now("r_more", "s", "ann", value, "well")))
    for name in ("r_gone", "r_gone2"):
        gone = Journal(
            store, await store.do(runs.open_run(RunRow(name, "t", "mailer", "{}", 1, "{}", "running", 1.0)))
        )
        await gone.commit(runs.finish_run(gone.fence, "completed"))
        assert await store.do(pruning.prune([name], "ann")) == [name]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("record") / "plain.db"
    run_id = asyncio.run(make(path))
    settle(path)
    return path, run_id


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("record")
    (folder / "keys").write_bytes(KEY)
    path = folder / "signed.db"
    asyncio.run(make(path, str(folder / "keys")))
    settle(path)
    return path


def settle(path: Path) -> None:
    """Move the log of a database into its file, so that the file can be copied. Take away the triggers that refuse
    changes: who has the file can do that.
    """
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return Path(shutil.copy(made[0], tmp_path / "x.db"))


def found(path: Path, keys=(), against: str = "", run_id: str | None = None):
    return apart(f"sqlite:///{path}", integrity.verify(run_id, keys, against))


def harm(path: Path, *statements, values=()) -> int:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        count = connection.execute(statement, values).rowcount
    connection.commit()
    connection.close()
    return count


# --- the matrix ---

ALL = [
    (table, column) for table in metadata.sorted_tables for column in table.columns if table.name not in OUTSIDE
]
EVENTS = [(metadata.tables["event"], column) for column in metadata.tables["event"].columns]
COLUMNS = [(t.name, c.name, c.type) for t, c in ALL + EVENTS if (t.name, c.name) not in LIVE]
TABLES = sorted({name for name, *_ in COLUMNS})


def test_every_table_is_covered_or_says_why_not() -> None:
    """Who adds a table decides here; a new column of a covered table is covered by itself."""
    covered = {item.table.name for item in COVERED}
    assert covered | set(OUTSIDE) == set(metadata.tables)
    assert not covered & set(OUTSIDE)
    left_out = {
        (item.table.name, c.name) for item in COVERED for c in item.table.columns if c.name not in item.columns
    }
    derived = {("budget", f"{name}_{unit}") for name in ("held", "spent", "limit") for unit in ("tokens", "micro")}
    assert left_out - derived == LIVE


def test_a_record_that_nobody_touched_is_whole(made, signed) -> None:
    path, run_id = made
    for verified in (found(path), found(path, run_id=run_id), found(signed, [KEY]), found(signed)):
        assert verified.broken == []
    everything = found(path)
    assert everything.runs == 3
    counts = {table: harm(path, f'UPDATE "{table}" SET rowid = rowid WHERE 1') for table in TABLES}
    assert all(counts.values()), f"a table has no row, and so no test: {counts}"


@pytest.mark.sampled(40)
@pytest.mark.parametrize(("table", "column", "kind"), COLUMNS, ids=str)
def test_an_edit_of_any_column_of_any_row_is_found(made, tmp_path, table, column, kind) -> None:
    path, _ = made
    connection = sqlite3.connect(path)
    rows = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}"')]
    connection.close()
    rows = rows if TRIALS or len(rows) <= 3 else [rows[0], rows[-1], random.Random(column).choice(rows)]
    if isinstance(kind, Integer | BigInteger | Float):
        more = 1000 if metadata.tables[table].columns[column].primary_key else 1
        new = f'CASE WHEN "{column}" IS NULL THEN 7 ELSE "{column}" + {more} END'
    else:
        new = f"""CASE WHEN "{column}" IS NULL THEN 'x' ELSE "{column}" || 'x' END"""
    for row in rows:
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        assert harm(copy, f'UPDATE "{table}" SET "{column}" = {new} WHERE rowid = {row}') == 1
        broken = found(copy).broken
        assert broken, f"row {row}"
        assert all(fault.reason for fault in broken)


@pytest.mark.parametrize("table", TABLES)
def test_a_deleted_and_an_inserted_row_are_found(made, tmp_path, table) -> None:
    path, _ = made
    connection = sqlite3.connect(path)
    names = [column.name for column in metadata.tables[table].columns]
    rows = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}"')]
    connection.close()
    for row in rows if TRIALS else {rows[0], rows[-1]}:
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        harm(copy, f'DELETE FROM "{table}" WHERE rowid = {row}')
        assert found(copy).broken
        keys = metadata.tables[table].primary_key
        key = next((column for column in keys if column.name != "run_id"), next(iter(keys)))
        other = '"{0}" + 1000' if isinstance(key.type, Integer) else "\"{0}\" || 'x'"
        values = [other.format(name) if name == key.name else f'"{name}"' for name in names]
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        columns = ", ".join(f'"{name}"' for name in names)
        insert = f'INSERT INTO "{table}" ({columns}) SELECT {", ".join(values)} FROM "{table}" WHERE rowid = {row}'
        assert harm(copy, insert) == 1
        assert found(copy).broken


@pytest.mark.parametrize("table", TABLES)
def test_rows_in_another_order_are_found(made, tmp_path, table) -> None:
    """Two rows take each other's place: their content changes hands under the same keys."""
    path, _ = made
    names = [column.name for column in metadata.tables[table].columns if not column.primary_key]
    if table == "event":
        names.remove("hash")  # else only their hashes would have to be right
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    rows = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}" ORDER BY rowid')]
    connection.close()
    if len(rows) < 2:
        pytest.fail(f"{table} has one row only")
    copy = Path(shutil.copy(path, tmp_path / "x.db"))
    one, other = rows[0], rows[-1]
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join(f'"{name}" = ?' for name in names)
    values = [
        connection.execute(f'SELECT {columns} FROM "{table}" WHERE rowid = {row}').fetchone()
        for row in (one, other)
    ]
    for row, new in zip((other, one), values, strict=True):
        connection.execute(f'UPDATE "{table}" SET {marks} WHERE rowid = {row}', new)
    connection.commit()
    connection.close()
    assert found(copy).broken


# --- whole runs, ends, forks ---


def test_an_end_that_was_cut_off_with_its_stored_head_is_found(copy, made) -> None:
    _, run_id = made
    harm(copy, f"DELETE FROM event WHERE run_id = '{run_id}' AND type = 'completed'")
    last = "(SELECT {0} FROM event WHERE run_id = run.id ORDER BY seq DESC LIMIT 1)"
    harm(
        copy,
        f"UPDATE run SET events = {last.format('seq')}, last_hash = {last.format('hash')} WHERE id = '{run_id}'",
    )
    assert [fault.table for fault in found(copy).broken] == ["run"]


def delete_run(path: Path, run_id: str) -> None:
    for table in ("step", "hold", "ledger", "outbox", "original", "event"):
        harm(path, f"DELETE FROM {table} WHERE run_id = '{run_id}'")
    harm(path, f"DELETE FROM budget WHERE id = 'run:{run_id}' OR id LIKE 'step:{run_id}/%'")
    harm(path, f"DELETE FROM run WHERE id = '{run_id}'")


def test_a_whole_run_that_was_deleted_is_found_by_the_chain_of_runs(copy, made) -> None:
    _, run_id = made
    delete_run(copy, run_id)
    broken = found(copy).broken
    assert ("run", run_id, "the row was deleted", run_id) in broken


def recompute(path: Path) -> None:
    """Chain all events anew, as one may who knows how but has no key."""
    from intendant.record.rows import EventRow, said_by_columns
    from intendant.record.store.chain import FIRST_HASH, link

    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM event ORDER BY run_id, seq").fetchall()
    heads: dict[str, str] = {}
    for row in map(EventRow._make, rows):
        run_id, seq = row.run_id, row.seq
        heads[run_id] = link(heads.get(run_id, FIRST_HASH), row.data, row.commits, said_by_columns(row))
        connection.execute("UPDATE event SET hash = ? WHERE run_id = ? AND seq = ?", (heads[run_id], run_id, seq))
    connection.commit()
    connection.close()


def forge(path: Path) -> None:
    """Change a step's output, and everything that would show it: what one can do who has no key."""
    from intendant.record.store.digests import RUN, STEP

    connection = sqlite3.connect(path)

    def redo(covered, where: str, change: str) -> tuple[str, str]:
        columns = ", ".join(f'"{name}"' for name in covered.columns)
        query = f'SELECT {columns} FROM "{covered.table.name}" WHERE {where}'
        before = covered.digest(connection.execute(query).fetchone())
        connection.execute(f'UPDATE "{covered.table.name}" SET {change} WHERE {where}')
        return before, covered.digest(connection.execute(query).fetchone())

    run_id = connection.execute("SELECT max(id) FROM run WHERE id != 'r_more'").fetchone()[0]
    old, new = redo(STEP, f"run_id = '{run_id}' AND key = 'a'", "output = '\"forged\"'")
    connection.execute("UPDATE event SET commits = replace(commits, ?, ?)", (old, new))
    connection.commit()
    recompute(path)
    last = f"(SELECT hash FROM event WHERE run_id = '{run_id}' ORDER BY seq DESC LIMIT 1)"
    old, new = redo(RUN, f"id = '{run_id}'", f"last_hash = {last}")
    connection.execute("UPDATE event SET commits = replace(commits, ?, ?)", (old, new))
    connection.commit()
    connection.close()
    recompute(path)


def test_a_record_that_was_recomputed_is_found_with_a_key_or_a_head_kept_elsewhere(
    copy, made, signed, tmp_path
) -> None:
    head = found(copy).head
    forge(copy)
    assert found(copy).broken == [], "this is what a plain chain cannot find"
    assert found(copy, against=head).broken
    forged = Path(shutil.copy(signed, tmp_path / "s.db"))
    forge(forged)
    assert "its signature is wrong" in {fault.reason for fault in found(forged, [KEY]).broken}
    harm(forged, "UPDATE event SET mac = NULL")
    assert "no event is signed with a key" in {fault.reason for fault in found(forged, [KEY]).broken}
    assert found(signed, [b"another key of some length"]).broken


def test_an_older_copy_is_found_by_a_head_kept_elsewhere(made, tmp_path) -> None:
    path, _ = made
    older = Path(shutil.copy(path, tmp_path / "older.db"))

    async def go_on() -> str:
        async with engine(Ask(), Box(), ScriptedProvider(reply()), db=f"sqlite:///{tmp_path}/newer.db") as service:
            await service.run(FLOW)
            return (await service._engine.store.do(integrity.verify())).head

    shutil.copy(path, tmp_path / "newer.db")
    head = asyncio.run(go_on())
    assert found(tmp_path / "newer.db", against=head).broken == []
    assert found(tmp_path / "newer.db", against=found(path).head).broken == [], "it has only grown"
    assert found(older).broken == []
    assert found(older, against=head).broken


async def test_a_hold_that_expired_and_was_given_back_is_whole(tmp_path) -> None:
    """As where a call was cancelled before it was sent, while another process swept."""
    url = f"sqlite:///{tmp_path}/x.db"
    store = Store(url)
    journal = Journal(store, await store.do(runs.open_run(RunRow("r", "t", "a", "{}", 1, "{}", "running", 1.0))))
    await journal.commit(budgets.open_budgets([BudgetRow("run:r", None, 1000, None)]))
    made = HoldRow("k", "r", "s", 1, "run:r", "p", "m", 20, 3, "v", 1.0, agent="a")
    await journal.commit(holds.reserve(made, ("run:r",)))
    await store.do(holds.expire(2.0))
    await journal.commit(holds.release("k"))
    assert (await store.do(integrity.verify())).broken == []
    await asyncio.to_thread(store.close)


# --- damage ---


@pytest.mark.parametrize("fenced", [True, False])
async def test_the_end_of_a_run_comes_behind_all_that_its_batch_did_before(tmp_path, fenced) -> None:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    fence = await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)))
    journal = Journal(store, fence)
    await journal.commit(budgets.open_budgets([BudgetRow("run:r", None, 1000, None)]))
    hold = HoldRow("k", "r", "s", 1, "run:r", "p", "m", 20, 3, "v", 1.0, agent="a")
    await journal.commit(holds.reserve(hold, ("run:r",)))
    # What is queued while the writer is busy goes into one batch.
    busy = store.begin(lambda _connection: sleep(0.1))
    journal.commit_later(holds.release("k"))
    await store.do(runs.finish_run(fence, "completed"), fence if fenced else None)
    await busy
    assert (await store.do(integrity.verify())).broken == []
    await asyncio.to_thread(store.close)


def test_every_byte_of_a_small_journal_flipped_once_is_found_or_changes_nothing(made, tmp_path) -> None:
    """Of the file as it is on disk: a page that is not used may change."""
    path, _ = made
    whole = path.read_bytes()
    content = dump(path)
    chance = random.Random(7)
    places = range(len(whole)) if TRIALS else [chance.randrange(len(whole)) for _ in range(60)]
    broken = 0
    for place in places:
        copy = tmp_path / "x.db"
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        try:
            is_broken = bool(found(copy).broken)
        except IntendantError:
            is_broken = True
        if is_broken:
            broken += 1
        else:
            assert dump(copy) == content, f"byte {place}"
    assert broken > len(places) / 10, "most bytes are of rows, or free"


def dump(path: Path) -> list:
    """The content of the covered tables, bytes that are no text included."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    left_out = {f"{table}.{column}" for table, column in LIVE}
    try:
        return [
            sorted(
                map(
                    repr,
                    connection.execute(
                        "SELECT "
                        + ", ".join(
                            f'"{c.name}"'
                            for c in metadata.tables[table].columns
                            if f"{table}.{c.name}" not in left_out
                        )
                        + f' FROM "{table}"'
                    ),
                )
            )
            for table in TABLES
        ]
    except sqlite3.Error as error:
        return [str(error)]
    finally:
        connection.close()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "value", ["NULL", "x'ff00fe'", "'{'", "'[[[1'", "99999999999999999999", "-1", "''", "1e400"]
)
def test_a_damaged_value_is_a_fault_and_never_an_error(made, tmp_path, value) -> None:
    path, run_id = made
    whole = dump(path)
    for table, column, _kind in COLUMNS:
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        connection = sqlite3.connect(copy)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA writable_schema = ON")
        changes = (
            f'UPDATE OR IGNORE "{table}" SET "{column}" = {value} WHERE rowid = (SELECT max(rowid) FROM "{table}")'
        )
        try:
            connection.execute(changes)
        except sqlite3.IntegrityError:
            continue  # NOT NULL
        finally:
            connection.commit()
            connection.close()
        if dump(copy) != whole:
            assert found(copy).broken, f"{table}.{column}"
            found(copy, run_id=run_id)  # which may not be the run that was damaged


def test_rows_of_no_run_are_counted(made, tmp_path) -> None:
    path, _ = made
    copy = Path(shutil.copy(path, tmp_path / "x.db"))
    names = ", ".join(f'"{column.name}"' for column in metadata.tables["step"].columns if column.name != "run_id")
    for stray in (b"\x00", b"\x01"):
        insert = f"INSERT INTO step (run_id, {names}) SELECT ?, {names} FROM step WHERE rowid = 1"
        assert harm(copy, insert, values=(stray,)) == 1
    assert "2 rows were inserted that belong to no run" in {fault.reason for fault in found(copy).broken}


NOT_READ = set(OUTSIDE) - {"event", "lease"}
"""Tables that verifying does not look at."""


@pytest.mark.parametrize("table", sorted(set(metadata.tables) - NOT_READ))
def test_a_missing_table_is_a_fault(copy, table) -> None:
    harm(copy, f'DROP TABLE "{table}"')
    assert any("cannot be read" in fault.reason for fault in found(copy).broken)


# --- what is broken is not used ---


async def resumed(path: Path, run_id: str, box: Box):
    async with engine(Ask(), box, ScriptedProvider(reply()), db=f"sqlite:///{path}") as service:
        return await service.resume(run_id)


async def test_a_forged_output_is_not_used(copy, made) -> None:
    _, run_id = made
    harm(copy, f"UPDATE step SET output = '\"forged\"' WHERE run_id = '{run_id}' AND key = 'a'")
    box = Box()
    with pytest.raises(RecordBroken, match=re.escape(f"step {run_id}/a")) as caught:
        await resumed(copy, run_id, box)
    assert caught.value.code == "record_broken"
    assert box.given == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hold SET reply = replace(reply, 'yes', 'no') WHERE reply IS NOT NULL",
        'UPDATE run SET inputs = \'{"who": "Eve"}\'',
        "UPDATE run SET plan = plan || ' '",
        "UPDATE budget SET limit_tokens = 10000000 WHERE id LIKE 'run:%'",
        "UPDATE outbox SET receipt = '{}'",
        "DELETE FROM hold",
        "DELETE FROM ledger",
    ],
)
async def test_whatever_was_changed_a_run_is_not_resumed(copy, made, change) -> None:
    assert harm(copy, change) > 0
    with pytest.raises(RecordBroken):
        await resumed(copy, made[1], Box())


async def test_an_untouched_run_is_resumed_and_its_record_stays_whole(copy, made) -> None:
    result = await resumed(copy, made[1], Box())
    assert result.status == "completed", result.failures
    assert found(copy).broken == []


# --- erasing ---


async def test_erasing_takes_payloads_away_and_leaves_the_chain_whole(copy, made) -> None:
    _, run_id = made
    store = Store(f"sqlite:///{copy}")
    before = await store.do(integrity.verify())
    assert await store.do(erasure.erase(run_id, "ada")) > 5
    assert await store.do(erasure.erase(run_id, "ada")) == 0
    verified = await store.do(integrity.verify(against=before.head))
    totals = await store.do(bookings.totals_of_run(run_id))
    with pytest.raises(IntendantError, match="was erased"):
        await resumed(copy, run_id, Box())
    await asyncio.to_thread(store.close)
    assert verified.broken == []
    assert f"the payloads of run {run_id} were erased, by ada" in verified.notes
    assert totals.tokens > 0
    settle(copy)
    connection = sqlite3.connect(copy)
    left = [
        connection.execute(
            f"SELECT count(*) FROM {table} WHERE run_id = '{run_id}' AND {column} IS NOT NULL"
        ).fetchone()
        for table, column in (("step", "output"), ("hold", "reply"), ("outbox", "receipt"), ("step", "salt"))
    ]
    connection.close()
    assert left == [(0,)] * 4


@pytest.mark.parametrize("change", ["output = NULL", "output = NULL, salt = NULL", "salt = NULL"])
def test_a_payload_that_is_missing_without_an_erasure_is_broken(copy, change) -> None:
    harm(copy, f"UPDATE step SET {change} WHERE key = 'a'")
    assert {fault.table for fault in found(copy).broken} == {"step"}


def test_no_payload_is_in_the_journal(made) -> None:
    """What may be erased must not be where nothing can be: inputs and digests of outputs without a salt."""
    connection = sqlite3.connect(made[0])
    text = " ".join(row[0] for row in connection.execute("SELECT data FROM event"))
    connection.close()
    assert "Ada" not in text
    assert "output_sha256" not in text


# --- several processes, other databases ---


async def test_engines_that_write_at_once_leave_a_whole_record(url) -> None:
    """With standing limits, leases of them, refusals, cancellations and runs that are taken over."""
    settings = {"budget": {"lease_seconds": 30.0}}
    store = Store(url)
    await store.do(limits.set_limit("agent:mailer", "day", 5000, None))
    services = [engine(Ask(), Box(), ScriptedProvider(reply()), db=url, settings=settings) for _ in range(3)]
    failing = Ask()
    failing.failing = {"c"}
    services.append(engine(failing, Box(), ScriptedProvider(reply()), db=url, settings=settings))
    begun = asyncio.Event()
    flights = [
        asyncio.create_task(service.run(FLOW, on_event=(lambda _event: begun.set()) if number == 3 else ()))
        for number, service in enumerate(services * 4)
    ]
    await begun.wait()
    flights[3].cancel()
    await store.do(limits.set_limit("tenant:default", "month", 4000, None))
    results = await asyncio.gather(*flights, return_exceptions=True)
    for result in results:
        if not isinstance(result, BaseException) and result.status == "failed":
            await services[0].resume(result.run_id)
    verified = await store.do(integrity.verify())
    assert verified.broken == []
    ended = len([result for result in results if not isinstance(result, BaseException)])
    assert verified.runs in (ended, ended + 1), "the one that was cancelled may not have begun"
    for service in services:
        await service.aclose()
    assert (await store.do(integrity.verify())).broken == []
    await asyncio.to_thread(store.close)


@pytest.mark.parametrize("table", TABLES)
async def test_what_is_changed_is_found_on_every_database(url, table) -> None:
    store = Store(url)
    await store.do(limits.set_limit("agent:mailer", "day", 100_000, None))
    async with engine(Ask(), Box(), ScriptedProvider(reply()), db=url) as service:
        await service.run(FLOW)
    await leave_more(store)
    assert (await store.do(integrity.verify())).broken == []
    column = {
        "event": "severity",
        "budget": "parent",
        "budget_limit": "scope",
        "original": "text",
        "decision": "note",
        "rating": "comment",
    }.get(table)
    column = column or next(
        c.name for c in metadata.tables[table].columns if not c.primary_key and isinstance(c.type, Text | String)
    )
    change = text(f'UPDATE "{table}" SET "{column}" = \'x\'')
    if table == "run":
        change = text("UPDATE run SET workflow = 'x'")
    await store.do(triggers.drop)
    await store.do(lambda connection: connection.execute(change))
    broken = (await store.do(integrity.verify())).broken
    assert {fault.table for fault in broken} & {table, "window"}
    await asyncio.to_thread(store.close)


# --- the chain of everything, verified once ---


class Counting(KnownChain):
    """Counts the events that it verifies."""

    count = 0

    def add(self, event) -> bool:
        self.count += 1
        return super().add(event)


def learned(path: Path, keys=()) -> Counting:
    chain = Counting(keys)
    found_with(chain, path, "none")
    return chain


def found_with(chain: KnownChain, path: Path, run_id: str):
    while (found := apart(f"sqlite:///{path}", integrity.verify_run(run_id, chain))) is None:
        pass
    return found.broken


def runs_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM run ORDER BY id")]


def events_of(path: Path, chain: str) -> list[EventRow]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM event WHERE run_id = ? ORDER BY seq", [chain])
        names = [column[0] for column in rows.description]
        return [EventRow(**dict(zip(names, row, strict=True))) for row in rows]


@pytest.mark.parametrize("at_once", [2, 3, 2000])
def test_a_run_is_verified_with_what_is_known_and_only_new_events_are_read(made, signed, monkeypatch, at_once):
    monkeypatch.setattr(verification, "AT_ONCE", at_once)
    for path, keys in ((made[0], []), (signed, [KEY]), (signed, [])):
        chain = learned(path, keys)
        assert chain.last == chain.count == len(events_of(path, "*"))
        assert [found_with(chain, path, run_id) for run_id in runs_in(path)] == [[]] * 3
        assert chain.count == chain.last, "nothing was verified twice"


@pytest.mark.parametrize("column", [column.name for column in metadata.tables["event"].columns])
def test_an_event_that_names_a_run_and_was_changed_after_it_was_verified_is_found(made, tmp_path, column) -> None:
    path, run_id = made
    naming = [event.seq for event in events_of(path, "*") if run_id in (event.commits or "")]
    assert len(naming) > 1
    for seq in naming:
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        chain = learned(copy)
        new = f'"{column}" + 1000' if column in ("seq", "at") else f"""coalesce("{column}", '') || 'x'"""
        assert harm(copy, f"UPDATE event SET \"{column}\" = {new} WHERE run_id = '*' AND seq = {seq}") == 1
        assert found_with(chain, copy, run_id) == found(copy, run_id=run_id).broken != []
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        harm(copy, f"DELETE FROM event WHERE run_id = '*' AND seq = {seq}")
        assert found_with(learned(path), copy, run_id)


def test_a_gap_longer_than_what_is_read_at_once_is_found(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(verification, "AT_ONCE", 2)
    path, run_id = made
    for last in range(8):
        copy = Path(shutil.copy(path, tmp_path / "x.db"))
        chain = KnownChain()
        assert all(map(chain.add, events_of(path, "*")[:last]))
        harm(copy, f"DELETE FROM event WHERE run_id = '*' AND seq > {last} AND seq < {last + 4}")
        assert found_with(chain, copy, run_id)


@pytest.mark.sampled(40)
@pytest.mark.parametrize(("table", "column", "kind"), COLUMNS, ids=str)
def test_with_what_is_known_the_same_faults_of_a_run_are_found(made, tmp_path, table, column, kind) -> None:
    path, _ = made
    chain = learned(path)
    number = isinstance(kind, Integer | BigInteger | Float)
    new = f'coalesce("{column}", 6) + 1' if number else f"""coalesce("{column}", '') || 'x'"""
    copy = Path(shutil.copy(path, tmp_path / "x.db"))
    # One row after the other: a key may be there already.
    harm(copy, f'UPDATE OR IGNORE "{table}" SET "{column}" = {new}')
    for run_id in runs_in(path):
        of_run = [fault for fault in found(copy, run_id=run_id).broken if fault.key.partition("/")[0] != "*"]
        assert set(of_run) <= set(found_with(chain, copy, run_id))


def test_what_is_appended_later_is_verified_as_well(copy, made, tmp_path) -> None:
    path, run_id = made
    chain = learned(path)
    last = chain.last

    async def more() -> None:
        store = Store(f"sqlite:///{copy}")
        await store.do(limits.set_limit("agent:other", "day", 7, None))
        await asyncio.to_thread(store.close)

    asyncio.run(more())
    settle(copy)
    assert found_with(chain, copy, run_id) == []
    assert chain.last == chain.count > last
    harm(copy, f"UPDATE event SET commits = replace(commits, '7', '8') WHERE run_id = '*' AND seq = {chain.last}")
    assert found_with(learned(path), copy, run_id), "a new event that was changed"
    assert found_with(chain, path, run_id) == [], "an older copy was put in its place: it is read as a whole"
    assert chain.last == 0


def test_signatures_are_verified_where_there_are_keys(signed, made) -> None:
    events = events_of(signed, "*")
    other = b"another key"

    def known(keys, *rows) -> list[bool]:
        chain = KnownChain(keys)
        return [chain.add(row) for row in rows]

    first, second = events[:2]
    assert known([KEY], first, second) == known([], first, second) == [True, True]
    assert known([other], first) == [False]
    assert known([other, KEY], first) == [True]
    assert known([KEY], first, second._replace(mac=None)) == [True, False]
    assert known([], first, second._replace(mac=None)) == [True, True]
    assert known([KEY], first._replace(mac=None), second) == [True, True], "signed from some time on"
    assert known([KEY], first._replace(mac=second.mac)) == [False]
    assert known([], first._replace(mac="x")) == known([KEY], first._replace(mac="x")) == [False]
    assert known([KEY], second) == known([KEY], first, first)[1:] == [False], "the next number is asked for"
    late = KnownChain([KEY])
    unsigned = first._replace(mac=None)
    assert [late.add(unsigned), late.add(second)] == [True, True]
    assert [late.has(unsigned), late.has(second)] == [True, True], "the first was written before there was a key"
    assert not late.has(second._replace(mac=None))
    path, run_id = made
    assert [fault.reason for fault in found_with(learned(path, [KEY]), path, run_id)], "no event is signed"


def test_an_event_whose_hash_was_recomputed_is_not_the_one_that_is_known(made) -> None:
    """All later events could be recomputed as well: what the process has in memory still differs."""
    chain, events = KnownChain(), events_of(made[0], "*")
    assert all(map(chain.add, events))
    for event in events:
        previous = events[event.seq - 2].hash if event.seq > 1 else FIRST_HASH
        forged = event._replace(data='{"rows": 7}')
        forged = forged._replace(hash=link(previous, forged.data, forged.commits, said_by_columns(forged)))
        assert fault_of(forged, event.seq, previous) == ""
        assert chain.has(event)
        assert not chain.has(forged)
    assert not chain.has(events[0]._replace(seq=0))
    assert not chain.has(events[0]._replace(seq=chain.last + 1))
    assert not chain.has(events[0]._replace(seq="1"))

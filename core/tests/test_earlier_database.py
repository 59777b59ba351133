"""A database of an earlier version (0004): it is migrated, verified and gone on with."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from intendant.model.errors import RecordBroken, SchemaMismatch
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.record.store import Store, database, integrity
from intendant.record.store.spend_report import apart
from intendant.testing import ScriptedProvider, engine

DUMP = Path(__file__).parent / "fixtures/version_0004.sql"
COMPLETED, FAILED, KILLED = "r_01a223c599af16d5779f55", "r_01a223c59e90c6d3c9ac0c", "r_01a223c59edaf52aa93125"


class Ask(IntentHandler):
    """Asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


def reply() -> ModelReply:
    usage = Usage(input_tokens=4, output_tokens=2)
    return ModelReply(text="yes", usage=usage, model="scripted-1", provider="scripted")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("earlier") / "x.db"
    connection = sqlite3.connect(path)
    connection.executescript(DUMP.read_text())
    connection.close()
    with pytest.raises(SchemaMismatch, match="db upgrade"):
        database.prepare(create_engine(f"sqlite:///{path}"))
    store = Store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path


@pytest.fixture
def copy(migrated, tmp_path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "x.db"))


def found(path: Path, run_id: str | None = None):
    return apart(f"sqlite:///{path}", integrity.verify(run_id))


def test_it_is_whole_and_says_what_is_not_covered(migrated) -> None:
    everything = found(migrated)
    assert everything.broken == []
    assert everything.runs == 3
    assert any("3 runs" in note and "not covered before migration" in note for note in everything.notes)
    assert "not covered before migration" in found(migrated, FAILED).notes[0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE step SET output = '\"forged\"' WHERE key = 'a'",
        "UPDATE hold SET micro = micro + 1",
        "UPDATE budget SET spent_tokens = 0",
        "UPDATE budget_limit SET limit_tokens = 7",
        "DELETE FROM ledger",
        "UPDATE event SET severity = 'warning' WHERE seq = 3",
        "UPDATE run SET plan = replace(plan, 'first', 'other')",
    ],
)
def test_what_is_changed_after_the_migration_is_found(copy, change) -> None:
    connection = sqlite3.connect(copy)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")  # who has the file can
    assert connection.execute(change).rowcount > 0
    connection.commit()
    connection.close()
    assert found(copy).broken


@pytest.mark.parametrize("run_id", [FAILED, KILLED])
async def test_its_runs_are_gone_on_with(copy, run_id) -> None:
    async with engine(Ask(), ScriptedProvider(reply()), db=f"sqlite:///{copy}") as service:
        result = await service.resume(run_id, take_over=True)
        assert result.status == "completed", result.failures
    assert found(copy).broken == []


async def test_a_forged_one_is_not_gone_on_with(copy) -> None:
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE step SET output = '\"forged\"' WHERE key = 'a'")
    connection.commit()
    connection.close()
    async with engine(Ask(), ScriptedProvider(reply()), db=f"sqlite:///{copy}") as service:
        with pytest.raises(RecordBroken):
            await service.resume(FAILED)

"""Records that are too many to be held flow through steps as references, and come out as they would from lists."""

import csv
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from intendant import OrchestrationService, Workflow
from intendant.pilot import record_space
from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Options,
    StepRequest,
    StepResult,
    Table,
    TableUnfit,
    open_table,
    operation,
)

ROWS = 3000
WHERE = "item.state == 'open' && double(item.total) >= 20.0"
MEASURES = {
    "n": {"count": True},
    "sum": {"sum": "total"},
    "mean": {"mean": "total"},
    "least": {"min": "total"},
    "most": {"max": "total"},
    "people": {"count_distinct": "who"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, and a threshold that makes small outputs flow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record_space, "HELD", 500)
    monkeypatch.setattr(record_space, "CHUNK", 20_000)
    return tmp_path


def write(rows: list[list[str]], path: str = "in.csv") -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def orders(count: int = ROWS) -> list[list[str]]:
    made = [["id", "region", "state", "total", "who"]]
    for n in range(count):
        region = ["north", "south", "", "Köln"][n % 4]
        made.append(
            [str(n), region, ["open", "paid"][n % 2 * (n % 3 > 0)], f"{n * 37 % 5000 / 100:.2f}", f"p{n % 17}"]
        )
    return made


def flow(*, records: str = "reference", where: str = WHERE, extra: list | None = None) -> Workflow:
    read, kept = "{{ steps.read.output }}", "{{ steps.kept.output }}"
    steps = [
        {"id": "read", "intent": "extract", "uses": "file.read", "with": {"path": "in.csv", "records": records}},
        {"id": "kept", "intent": "filter", "input": read, "with": {"where": where}},
        {"id": "sums", "intent": "aggregate", "input": kept, "with": {"group_by": "region", "measures": MEASURES}},
        {"id": "all", "intent": "aggregate", "input": read, "with": {"group_by": "region", "measures": MEASURES}},
        {"id": "save", "intent": "send", "uses": "file.write", "input": kept, "with": {"path": "out.json"}},
    ]
    return Workflow.model_validate({"name": "flow", "steps": [*steps, *(extra or [])]})


async def run(workflow: Workflow, db: str = "sqlite:///runs.db", **options):
    async with OrchestrationService({}, db=db) as service:
        return await service.run(workflow, **options)


async def test_what_flows_comes_out_as_a_list_would():
    """The same figures, the same file, the same notes about what was dropped, whichever way the records go."""
    write(orders())
    held = await run(flow(records="list"))
    saved = json.loads(Path("out.json").read_text())
    Path("out.json").unlink()
    flown = await run(flow())
    assert flown.status == "completed", flown.failures
    assert flown.outputs["read"].keys() == {"$records", "count", "bytes", "fields"}
    assert flown.outputs["kept"]["count"] == len(held.outputs["kept"]) == len(saved)
    assert flown.outputs["sums"] == held.outputs["sums"]
    assert flown.outputs["all"] == held.outputs["all"]
    assert json.loads(Path("out.json").read_text()) == saved == held.outputs["kept"]
    assert flown.steps["kept"].notes == held.steps["kept"].notes
    assert flown.steps["all"].notes == held.steps["all"].notes


async def test_without_duckdb_it_is_the_same(monkeypatch):
    """Where the engine is not installed, records are read one by one, with the same result."""
    write(orders())
    fast = await run(flow())
    monkeypatch.setitem(sys.modules, "duckdb", None)
    slow = await run(flow())
    assert {key: slow.outputs[key] for key in ("kept", "sums", "all")} == {
        key: fast.outputs[key] for key in ("kept", "sums", "all")
    }
    assert slow.steps["kept"].notes == fast.steps["kept"].notes


cells = st.text(st.sampled_from("ab1.,\"';\n é\u212b€-0e"), max_size=6)


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(cells, cells, st.sampled_from(["1", "2.50", "-3", "0.1", "", "x", "1e2"])),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(
        [
            "item.a == item.b",
            "item.a < 'b'",
            "double(item.c) > 1.0",
            "item.a.contains('1') || !(item.b == '')",
            "item.c in ['1', '-3']",
            "int(item.c) != 1",
            "has(item.a) && item.b.startsWith(values.v)",
            "item.a > 1",
        ]
    ),
)
async def test_any_table_is_read_alike(rows, where):
    """Whatever stands in the cells: the engine, reading one by one, and a list agree, or fail with the same words."""
    write([["a", "b", "c"], *map(list, rows)])
    found = []
    for records, hidden in (("list", False), ("reference", False), ("reference", True)):
        with pytest.MonkeyPatch.context() as patch:
            if hidden:
                patch.setitem(sys.modules, "duckdb", None)
            read = {"path": "in.csv", "records": records}
            steps = [
                {"id": "read", "intent": "extract", "uses": "file.read", "with": read},
                {
                    "id": "kept",
                    "intent": "filter",
                    "input": "{{ steps.read.output }}",
                    "with": {"where": where, "values": {"v": "a"}},
                },
                {
                    "id": "sums",
                    "intent": "aggregate",
                    "input": "{{ steps.read.output }}",
                    "with": {
                        "group_by": "a",
                        "include_null": True,
                        "measures": {
                            "n": {"count": "c"},
                            "s": {"sum": "c"},
                            "m": {"max": "c"},
                            "l": {"min": "c"},
                            "d": {"count_distinct": "b"},
                        },
                    },
                },
            ]
            result = await run(Workflow.model_validate({"name": "f", "steps": steps}), db="sqlite:///runs.db")
            kept, sums = result.steps["kept"], result.steps["sums"]
            whys = [step.failure and step.failure.message for step in (kept, sums)]
            found.append((kept.output, sums.output, *whys))
    assert found[1] == found[2] == found[0]


class Kept(IntentHandler):
    """Gives its input back; it knows nothing of references."""

    spec = IntentSpec(name="kept", summary="Copy", examples=("Copy it",))

    def needs_model(self, step: object) -> bool:
        return False

    async def handle(self, request: StepRequest) -> StepResult:
        return StepResult(output=[type(request.input).__name__, len(request.input)])


async def test_other_handlers_get_lists(monkeypatch):
    """A handler that does not read references is given the list, if that can be held; else an error says why."""
    write(orders(200))
    extra = [
        {"id": "copy", "intent": "kept", "input": "{{ steps.read.output }}"},
        {
            "id": "each",
            "intent": "filter",
            "for_each": "{{ steps.read.output }}",
            "as": "row",
            "input": ["{{ row.id }}"],
            "with": {"limit": 1},
        },
    ]
    async with OrchestrationService({}, plugins=[Kept()], db="sqlite:///runs.db") as service:
        result = await service.run(flow(extra=extra))
        assert result.outputs["copy"] == ["list", 200]
        assert len(result.outputs["each"]) == 200
        monkeypatch.setattr(record_space, "MOST_HELD", 100)
        result = await service.run(flow(extra=extra))
    assert "can hold at once" in result.failures["copy"].message


async def test_a_run_goes_on_with_references_after_its_process_ended():
    """What a reference names is read again by another process, from the record and from the file."""
    write(orders())
    counted = {
        "id": "counted",
        "intent": "aggregate",
        "needs": ["pause"],
        "input": "{{ steps.kept.output }}",
        "with": {"measures": {"n": {"count": True}}},
    }
    waits = flow(extra=[{"id": "pause", "wait": {"event": "go"}}, counted])
    async with OrchestrationService({}, db="sqlite:///runs.db") as service:
        result = await service.run(waits)
        assert result.status == "waiting"
        await service.signal(result.run_id, "go")
    async with OrchestrationService({}, db="sqlite:///runs.db") as service:
        result = await service.resume(result.run_id)
        assert result.outputs["counted"] == {"n": result.outputs["kept"]["count"]}
        forked = await service.fork(result.run_id, "sums")
        assert forked.outputs["sums"] == result.outputs["sums"]
        assert forked.outputs["counted"] == result.outputs["counted"]


async def test_a_file_that_changed_is_not_read_on():
    """Records stay in their file until they are needed; if that is another one by then, the step fails."""
    write(orders(100))
    late = {
        "id": "late",
        "intent": "aggregate",
        "input": "{{ steps.read.output }}",
        "needs": ["wait"],
        "with": {"group_by": "region"},
    }
    swap = {
        "id": "wait",
        "intent": "send",
        "uses": "file.write",
        "needs": ["save", "all"],
        "input": "a\n1\n",
        "with": {"path": "in.csv", "format": "text"},
    }
    result = await run(flow(extra=[swap, late]))
    assert "has changed since the run read it" in result.failures["late"].message


async def test_a_reference_that_somebody_wrote_names_nothing():
    """Data that looks like a reference leads to nothing but what the run itself keeps."""
    forged = {"$records": "0" * 64, "count": 1, "bytes": 1, "fields": []}
    step = {"id": "a", "intent": "aggregate", "input": forged, "with": {"measures": {"n": {"count": True}}}}
    result = await run(Workflow.model_validate({"name": "f", "steps": [step]}))
    assert "not kept with this run" in result.failures["a"].message


class Numbers(Options):
    upto: int


class Counter(Connector):
    """Counts, without end in sight."""

    name = "counter"

    @operation(side_effects=False)
    async def count(self, parameters: Numbers, call: ConnectorCall):
        """Numbers."""
        from intendant.plugin import RecordSource

        return RecordSource({"upto": parameters.upto}, parameters.upto)

    def open_records(self, about):
        for at in range(0, about["upto"], 1000):
            yield [{"n": n} for n in range(at, min(at + 1000, about["upto"]))]


async def test_a_connector_of_anybody_may_give_records_that_flow():
    """A connector returns a `RecordSource`, and reads it again as often as steps need it."""
    steps = [
        {"id": "count", "intent": "extract", "uses": "counter.count", "with": {"upto": 30_000}},
        {
            "id": "odd",
            "intent": "filter",
            "input": "{{ steps.count.output }}",
            "with": {"where": "item.n % 2 == 1", "unique_by": "n", "offset": 10, "limit": 5000},
        },
        {
            "id": "sum",
            "intent": "aggregate",
            "input": "{{ steps.odd.output }}",
            "with": {"measures": {"s": {"sum": "n"}}},
        },
        {
            "id": "save",
            "intent": "send",
            "uses": "file.write",
            "input": "{{ steps.odd.output }}",
            "with": {"path": "o.csv"},
        },
    ]
    async with OrchestrationService({}, plugins=[Counter()], db="sqlite:///runs.db") as service:
        result = await service.run(Workflow.model_validate({"name": "f", "steps": steps}))
    assert result.outputs["sum"] == {"s": sum(range(21, 21 + 10_000, 2))}
    assert Path("o.csv").read_text().splitlines()[:2] == ["n", "21"]
    assert len(Path("o.csv").read_text().splitlines()) == 5001


def test_the_engine_reads_its_table_only():
    """No other file, no extension, no setting, no writing: whatever a statement says."""
    pytest.importorskip("duckdb")
    write(orders(10))
    write(orders(10), "other.csv")
    table = Table(str(Path("in.csv").resolve()), ",", ("id", "region", "state", "total", "who"))
    other = str(Path("other.csv").resolve())
    with open_table(table) as engine:
        assert list(engine.rows(f"SELECT count(*) FROM {engine.source}")) == [[(10,)]]
        for statement in (
            "SELECT * FROM read_text('/etc/hostname')",
            f"SELECT * FROM read_csv('{other}')",
            f"COPY (SELECT 1) TO '{other}'",
            "ATTACH 'other.db'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access=true",
            "SET memory_limit='99GB'",
            "SELECT * FROM 'https://example.org/x.csv'",
        ):
            with pytest.raises(TableUnfit):
                list(engine.rows(statement))


@pytest.mark.parametrize("records", ["list", "reference"])
async def test_parquet_is_read_by_the_types_of_its_columns(records):
    """Numbers stay numbers, null is null, dates are texts; what is no Parquet is refused."""
    duckdb = pytest.importorskip("duckdb")
    made = "SELECT 1 AS id, 'Köln' AS town, 2.5::DOUBLE AS n, DATE '2026-05-31' AS day, [1, 2] AS list"
    duckdb.sql(f"COPY ({made} UNION ALL SELECT 2, NULL, NULL, NULL, NULL) TO 'in.parquet'")
    read = {"path": "in.parquet", "records": records}
    steps = [
        {"id": "read", "intent": "extract", "uses": "file.read", "with": read},
        {"id": "all", "intent": "filter", "input": "{{ steps.read.output }}", "with": {"where": "item.id < 3"}},
    ]
    result = await run(Workflow.model_validate({"name": "f", "steps": steps}))
    assert result.outputs["all"] == [
        {"id": 1, "town": "Köln", "n": 2.5, "day": "2026-05-31", "list": [1, 2]},
        {"id": 2, "town": None, "n": None, "day": None, "list": None},
    ]
    Path("in.parquet").write_text("no parquet")
    result = await run(Workflow.model_validate({"name": "f", "steps": steps}))
    assert "no file of Parquet" in result.failures["read"].message


@pytest.mark.parametrize("records", ["list", "reference"])
@pytest.mark.parametrize("keys", [{"group_by": "region"}, {}])
async def test_a_figure_of_a_field_that_no_record_has_is_an_error_either_way(records, keys):
    write(orders(40))
    step = {"id": "x", "intent": "aggregate", "input": "{{ steps.read.output }}"}
    result = await run(
        flow(records=records, extra=[{**step, "with": {**keys, "measures": {"s": {"sum": "totl"}}}}])
    )
    assert result.failures["x"].message == "no record has the field 'totl'"

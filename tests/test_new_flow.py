"""`intendant new flow` writes what plans: a small workflow, or one of the examples."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from intendant import SyncOrchestrationService, Workflow
from intendant.cli.new import PACK, jobs, write_flow
from intendant.model.errors import IntendantError

ROOT = Path(__file__).parent.parent


def test_the_pack_is_what_the_examples_are(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from pack_jobs import files

    with ZipFile(PACK) as pack:
        packed = {name: pack.read(name) for name in pack.namelist()}
    assert packed == files(), "run `python docs/pack_jobs.py`"


@pytest.mark.parametrize("job", [None, *jobs()])
def test_what_is_written_plans(job, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-nobody-is-sent")
    written = write_flow(Path("my-own"), job)
    assert Path("my-own/flow.yaml") in written
    flow = Workflow.load("my-own/flow.yaml")
    assert flow.name == "my-own"
    with SyncOrchestrationService(db="none") as service:
        plan = service.plan(flow)
    assert plan.steps


def test_the_small_one_runs_without_a_key(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    write_flow(Path("first"), None)
    with SyncOrchestrationService(db="none") as service:
        result = service.run(Workflow.load("first/flow.yaml"))
    assert result.status == "completed"
    assert "10:15" in result.returned["summary"]


def test_nothing_is_written_over(tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text("mine")
    with pytest.raises(IntendantError, match="there already"):
        write_flow(tmp_path, None)
    with pytest.raises(IntendantError) as caught:
        write_flow(tmp_path / "new", "invoice")
    assert "did you mean 'invoices'?" in caught.value.hint
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_it_wrote(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "intendant", "new", "flow", "bills", "--from", "invoices"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "bills/flow.yaml" in done.stdout
    assert (tmp_path / "bills/invoices/harbour.pdf").is_file()

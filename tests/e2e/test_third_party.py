"""A third party's intent is installed with pip, and everything knows it, with no change elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """
name: poem
steps:
  - {id: poem, name: Write a haiku about the release, input: {version: 1}}
"""
RUN = """
from intendant import SyncOrchestrationService, Workflow
from intendant.testing import ScriptedProvider
import sys

provider = ScriptedProvider("Nine plugins in spring\\nthe ledger counts each blossom\\nnothing is overspent")
flow = Workflow.load(sys.argv[1])
settings = {"prices": {"models": {"scripted/scripted-1": {"input": 1, "output": 2}}}}
with SyncOrchestrationService(settings, plugins=[provider], db="none") as service:
    plan = service.plan(flow).steps[0]
    result = service.run(flow)
step = result.steps["poem"]
print(plan.intent, plan.tokens > 0, plan.route.tier, step.status.value, step.output.count("\\n"), step.usage.calls)
"""


def install(folder: Path, target: Path) -> None:
    """Install with pip, or with uv's pip where the environment has none."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        command = [sys.executable, "-m", "pip", "install", "--quiet"]
    elif shutil.which("uv"):
        command = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    else:
        pytest.skip("neither pip nor uv is at hand to install the example with")
    subprocess.run([*command, "--no-deps", "--target", str(target), str(folder)], check=True, timeout=100)


def test_haiku(examples, tmp_path) -> None:
    target = tmp_path / "site"
    install(examples / "intendant-intent-haiku", target)
    (tmp_path / "flow.yaml").write_text(FLOW)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTENDANT_", "OPENAI_", "ANTHROPIC_"))
    }
    environment = {**kept, "PYTHONPATH": str(target), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "intendant-intent-haiku" in python("-m", "intendant", "plugins", "--check")
    (tmp_path / "run.py").write_text(RUN)
    assert python("run.py", "flow.yaml").split() == ["haiku", "True", "fast", "completed", "2", "1"]
    tests = str(examples / "intendant-intent-haiku/tests")
    assert "passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)

"""The end-to-end tests run from a checkout or, with INTENDANT_EXAMPLES set, from installed wheels alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLES = Path(os.environ.get("INTENDANT_EXAMPLES") or HERE.parent.parent / "docs/examples")
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL")


class Result:
    """What the command printed and returned."""

    def __init__(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = done.returncode
        self.out, self.err = (text.decode().replace("\r\n", "\n") for text in (done.stdout, done.stderr))

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def intendant(tmp_path):
    """Runs the command `intendant` in an empty folder, without keys and without anybody's settings."""

    def run(*arguments: str, stdin: bytes | None = None, **env: str) -> Result:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in KEYS and not name.startswith("INTENDANT_")
        }
        environment = {
            **kept,
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            **env,
        }
        done = subprocess.run(
            [sys.executable, "-m", "intendant", *arguments],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=100,
        )
        result = Result(done)
        assert "Traceback" not in result.err, result.err
        return result

    return run


@pytest.fixture
def examples(tmp_path) -> Path:
    """A copy of the examples inside the folder the command runs in: files outside it are out of reach."""
    import shutil

    shutil.copytree(
        EXAMPLES, tmp_path / "docs/examples", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return tmp_path / "docs/examples"

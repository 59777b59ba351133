"""Each member installs alone: the core and one plugin, from wheels, in a clean environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WHEELS = os.environ.get("INTENDANT_WHEELS")
pytestmark = pytest.mark.skipif(
    WHEELS is None or shutil.which("uv") is None, reason="needs built wheels: run `nox -s wheels`"
)


def clean(folder: Path, *names: str) -> Path:
    """A clean environment with the core's wheel and these."""
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    wheels = [next(Path(WHEELS or "").glob(f"{name.replace('-', '_')}-*.whl")) for name in ("intendant", *names)]
    python = folder / "bin/python"
    subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *map(str, wheels)], check=True)
    return python


def run(python: Path, folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    (folder / "f.yaml").write_text(text)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [str(python), "-m", "intendant", "run", "f.yaml", "--db", "none"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_core_and_one_plugin(tmp_path) -> None:
    python = clean(tmp_path / "venv", "intendant-intent-filter")
    good = run(
        python, tmp_path, "name: t\nsteps: [{id: a, intent: filter, input: [1, 2], with: {where: 'item > 1'}}]"
    )
    assert good.returncode == 0, good.stdout + good.stderr
    bad = run(python, tmp_path, "name: t\nsteps: [{id: a, intent: send, input: 1}]")
    assert bad.returncode == 2
    assert "no handler for intent 'send'" in bad.stderr
    assert "hint: pip install intendant-intent-send" in bad.stderr


def test_the_core_alone(tmp_path) -> None:
    python = clean(tmp_path / "venv")
    done = subprocess.run([str(python), "-m", "intendant", "plugins"], capture_output=True, text=True, timeout=100)
    assert "none; install some" in done.stdout


def test_every_wheel_carries_its_marker_and_its_data() -> None:
    import zipfile

    for wheel in Path(WHEELS or "").glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("py.typed") for name in names), wheel.name
        if wheel.name.startswith("intendant-"):
            assert any("migrations/versions/0001" in name for name in names)
            assert any(name.endswith("migrations/env.py") for name in names)

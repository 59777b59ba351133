"""Whatever stands in settings, the environment and `-s`: the command works, or says what is wrong and ends with 2."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st
from typer.testing import CliRunner

from intendant.cli.app import app_for
from intendant.config.settings import Settings

SAMPLE = int(os.environ.get("INTENDANT_SAMPLE", "20"))
MANY = settings(max_examples=5 * SAMPLE if SAMPLE >= 400 else SAMPLE)
"""Two thousand in the trials."""


def keys() -> Iterator[str]:
    """All keys of settings, such as `budget.strategy`."""
    for name, section in Settings.model_fields.items():
        inner = getattr(section.annotation, "model_fields", {})
        yield from (f"{name}.{key}" for key in inner) if inner else iter([name])


KEYS = sorted(keys())
KEY = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map(lambda key: f"{key}.more"),
    st.sampled_from(
        ["plugins.settings.provider:openai.base_url", "prices.models.openai/x", "calls.limits.openai.rpm"]
    ),
    st.text(max_size=12),
)
TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "true", "-1", "0", "1e400", "NaN", "null", "[]", "{}", '{"a": [1, {"b": null}]}', "9" * 400]
    ),
    st.sampled_from(
        ["none", "sqlite://", "sqlite:////nowhere/x.db", "postgresql://", "file:///etc/passwd", "\ud800"]
    ),
)
VALUE = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without anybody's own settings."""
    for name in list(os.environ):
        if name.startswith("INTENDANT_") and name != "INTENDANT_SAMPLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def check(arguments: list[str], env: dict[str, str]) -> None:
    done = CliRunner().invoke(app_for(["plugins"]), arguments, env=env)
    os.environ.pop("INTENDANT_CONFIG", None)  # which the option `--config` sets
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 2), done.output
    assert "Traceback" not in done.output
    assert "error: unexpected" not in done.output
    if done.exit_code == 2:
        assert "error" in done.output.lower()


@MANY
@given(st.lists(st.tuples(KEY, TEXT), min_size=1, max_size=3))
@example([("budget.tokens_per_workflow", "9" * 5000)])
@example([("plugins.only", '["\\u0000"]')])
def test_assignments_on_the_command_line(pairs: list[tuple[str, str]]) -> None:
    assignments = [f"{key}={value}" for key, value in pairs]
    check(["plugins", *(part for text in assignments for part in ("-s", text))], {})


@MANY
@given(st.lists(st.tuples(st.sampled_from(KEYS), TEXT), min_size=1, max_size=3))
def test_variables_of_the_environment(pairs: list[tuple[str, str]]) -> None:
    env = {f"INTENDANT_{key.upper().replace('.', '__')}": value for key, value in pairs}
    check(
        ["plugins"], {name: value for name, value in env.items() if "\x00" not in value and "\ud800" not in value}
    )


@MANY
@given(st.lists(st.tuples(KEY, VALUE), max_size=4), st.binary(max_size=20), st.booleans())
def test_files(pairs: list[tuple[str, Any]], more: bytes, bad: bool) -> None:
    lines = [f"{'.'.join(json.dumps(part) for part in key.split('.'))} = {toml(value)}" for key, value in pairs]
    text = "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n" + (more if bad else b"")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.toml"
        file.write_bytes(text)
        check(["--config", str(file), "plugins"], {})
        check(["plugins"], {"INTENDANT_CONFIG": str(file)})

"""`intendant run` tells what a workflow returns."""

import json
import subprocess
import sys

FLOW = """
name: t
inputs: {word: {default: hello}}
steps:
  - {id: cut, intent: transform, input: "{{ inputs.word }}", with: {op: shorten, length: 100000}}
returns: {text: "{{ steps.cut.output }}", size: 3}
"""


def ran(folder, *arguments):
    """What the command prints."""
    (folder / "flow.yaml").write_text(FLOW)
    command = [sys.executable, "-m", "intendant", "run", "flow.yaml", "--db", "none", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_run_gives_back_stands_at_its_end(tmp_path):
    assert ran(tmp_path).splitlines()[-2:] == ["returned text: hello", "returned size: 3"]
    assert json.loads(ran(tmp_path, "--json"))["returned"] == {"text": "hello", "size": 3}


def test_what_is_long_is_cut_and_says_so_and_lines_are_set_in(tmp_path):
    lines = ran(tmp_path, "-i", "word=" + "x" * 3000).splitlines()
    assert lines[-2].endswith("x … 1000 characters more; --full prints them")
    assert ran(tmp_path, "-i", "word=" + "x" * 3000, "--full").splitlines()[-2] == f"returned text: {'x' * 3000}"
    assert ran(tmp_path, "-i", "word=a\nb").splitlines()[-4:-1] == ["returned text:", "    a", "    b"]


def test_control_characters_are_shown_and_not_sent(tmp_path):
    assert "returned text: a\\u001b[2Jb" in ran(tmp_path, "-i", "word=a\x1b[2Jb")

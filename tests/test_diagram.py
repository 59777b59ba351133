"""A workflow and a run as a diagram: every step, what comes before it, what it may take or took, and what became of it."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

FLOW = """
name: hostile <b>"&
inputs: {rows: {type: array, default: [{n: 1}, {n: 2}, {n: 3}]}}
steps:
  - id: each
    name: 'a "quoted" <title> & more --> end; subgraph'
    for_each: "{{ inputs.rows }}"
    as: row
    steps:
      - {id: one, intent: filter, input: ["{{ row }}"], options: {where: "item.n < 3"}}
      - {id: two, intent: filter, input: "{{ steps.one.output }}", options: {where: "item.n.size() > 1"}, when: "row.n == 2"}
    on_item_error: keep
  - {id: after, intent: filter, input: "{{ steps.each.output }}", options: {where: "true"}, when: "false"}
"""


@pytest.fixture
def run(command):
    """The command, beside the workflow; gives its output."""
    Path("flow.yaml").write_text(FLOW)
    return lambda *words, code=0: command(*words, code=code).out


def test_a_workflow_is_drawn_with_its_groups_and_what_comes_before_what(run) -> None:
    lines = run("graph", "flow.yaml").splitlines()
    assert lines[0] == "flowchart TD"
    assert "  s1 --> s3" not in lines
    assert {"  s0 --> s3", "  s1 --> s2"} <= set(lines)
    assert next(line for line in lines if "subgraph" in line).startswith(
        '  subgraph s0["a #34;quoted#34; #60;title#62;'
    )
    assert all(line.count('"') % 2 == 0 for line in lines)


def test_a_run_is_drawn_with_what_became_of_each_step_and_of_items_together(run) -> None:
    run("run", "flow.yaml")
    text = run("graph", "last")
    assert "3 items" in text
    assert re.search(r's2\["two<br/>filter<br/>for 3 items<br/>1 failed<br/>2 skipped"\]', text), text
    assert {"class s1 completed", "class s2 failed", "class s3 skipped"} <= {
        line.strip() for line in text.splitlines()
    }


def test_the_picture_is_well_formed_and_fetches_nothing(run, tmp_path) -> None:
    run("run", "flow.yaml")
    for what in ("flow.yaml", "last"):
        run("graph", what, "--format", "svg", "--out", str(tmp_path / "x.svg"))
        text = (tmp_path / "x.svg").read_text()
        root = ET.fromstring(text)
        assert len(root.findall(".//{*}rect")) == 4
        assert len(root.findall(".//{*}path")) == 3  # two edges, and the end of an edge
        assert not re.search(r"(href|src|url)\s*=|url\((?!#end)|<script|@import", text)


def test_boxes_do_not_overlap_and_are_inside_the_picture(run, tmp_path) -> None:
    steps = "".join(
        f"  - {{id: s{n}, intent: filter, needs: [{', '.join(f's{m}' for m in range(max(0, n - n % 4), n))}], input: [], options: {{where: 'true'}}}}\n"
        for n in range(17)
    )
    (tmp_path / "flow.yaml").write_text(f"name: t\nsteps:\n{steps}")
    root = ET.fromstring(run("graph", "flow.yaml", "--format", "svg"))
    boxes = [
        tuple(float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        for rect in root.findall(".//{*}rect")
    ]
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert len(boxes) == 17
    for number, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for a, b, c, d in boxes[:number]:
            assert x >= a + c or a >= x + w or y >= b + d or b >= y + h


def test_what_is_neither_a_file_nor_a_run_is_refused(command) -> None:
    assert "there is no run 'nothing.yaml'" in command("graph", "nothing.yaml", code=2).err

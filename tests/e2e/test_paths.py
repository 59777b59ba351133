"""Relative paths: read beside the workflow's file, else in the working folder; written in the working folder."""

FLOW = """
name: paths
inputs: {file: {type: path}}
steps:
  - {id: read, intent: extract, uses: file.read, with: {path: "{{ inputs.file }}"}}
  - {id: write, intent: send, uses: file.write, with: {path: out.json}, input: "{{ steps.read.output }}"}
"""


def test_a_file_beside_the_workflow_is_found_from_any_folder_and_what_is_written_is_here(
    intendant, tmp_path
) -> None:
    place = tmp_path / "flows"
    place.mkdir()
    (place / "flow.yaml").write_text(FLOW)
    (place / "a.json").write_text("[1]")
    (tmp_path / "a.json").write_text("[2]")
    (tmp_path / "b.json").write_text("[3]")
    done = intendant("run", "flows/flow.yaml", "-i", "file=a.json", "--json", "--db", "none")
    assert done.json()["outputs"]["read"] == [1]
    assert (tmp_path / "out.json").read_text().split() == ["[", "1", "]"]
    other = intendant("run", "flows/flow.yaml", "-i", "file=b.json", "--json", "--db", "none").json()
    assert other["outputs"]["read"] == [3]
    assert (
        "b.json was read in the working folder: it is not beside the workflow file"
        in other["steps"]["read"]["notes"]
    )
    outside = intendant("run", "flows/flow.yaml", "-i", "file=../../x.json", "--db", "none")
    assert outside.code == 1
    assert "outside the folders that may be used" in outside.out

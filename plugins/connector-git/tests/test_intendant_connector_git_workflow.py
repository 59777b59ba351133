"""The history of a repository through the whole chain: read, reshaped, aggregated, written; no token spent."""

import subprocess

import pytest

from intendant import OrchestrationService, Workflow
from intendant_connector_git import GitConnector

extract = pytest.importorskip("intendant_intent_extract")
transform = pytest.importorskip("intendant_intent_transform")
filter_ = pytest.importorskip("intendant_intent_filter")
aggregate = pytest.importorskip("intendant_intent_aggregate")
validate = pytest.importorskip("intendant_intent_validate")
conditional = pytest.importorskip("intendant_intent_conditional")
enrich = pytest.importorskip("intendant_intent_enrich")
send = pytest.importorskip("intendant_intent_send")
file = pytest.importorskip("intendant_connector_file")

FLOW = """
name: who changed what
inputs: {repo: {type: string}, report: {type: string}, teams: {type: object}}
steps:
  - {id: history, intent: extract, uses: git.log, with: {repo: "{{ inputs.repo }}"}}
  - id: sound
    intent: validate
    input: "{{ steps.history.output }}"
    with:
      on_fail: drop
      schema: {required: [hash, author, files]}
      rules: [{name: touches something, rule: size(item.files) > 0}]
  - id: changes
    intent: transform
    input: "{{ steps.sound.output.passed }}"
    with: {op: flatten, field: files, carry: [hash, author]}
  - id: wanted
    intent: filter
    input: "{{ steps.changes.output }}"
    with: {where: "item.folder in values.folders", values: {folders: [core, docs]}}
  - id: sums
    intent: aggregate
    input: "{{ steps.wanted.output }}"
    with:
      group_by: [author, folder]
      measures: {commits: {count_distinct: hash}, added: {sum: added}, removed: {sum: removed}}
      sort_by: [-added, author, folder]
  - id: named
    intent: enrich
    input: "{{ steps.sums.output }}"
    with: {from: "{{ inputs.teams }}", on: author, into: team}
  - id: any
    intent: conditional
    input: "{{ steps.named.output }}"
    with: {if: size(input) > 0, then: report, else: nothing}
  - id: table
    intent: transform
    when: steps.any.output.branch == 'report'
    input: "{{ steps.named.output }}"
    with: {op: to_markdown_table, columns: [author, team, folder, commits, added, removed]}
  - {id: save, intent: send, uses: file.write, with: {path: "{{ inputs.report }}"}, input: "{{ steps.table.output }}"}
"""

REPORT = """\
| author | team | folder | commits | added | removed |
| --- | --- | --- | --- | --- | --- |
| Ada | engine | core | 2 | 5 | 1 |
| Bo |  | docs | 1 | 2 | 0 |
| Ada | engine | docs | 1 | 1 | 0 |
"""


def make_history(folder):
    """Five commits of two authors in three folders."""

    def git(*arguments):
        settings = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    git("init", "--quiet")
    for author, files in (
        ("Ada", {"core/a.py": "1\n2\n3\n"}),
        ("Bo", {"docs/b.md": "1\n2\n"}),
        ("Bo", {"other.txt": "1\n" * 50}),
        ("Ada", {"core/a.py": "1\n2\n4\n5\n", "docs/c.md": "x\n"}),
        ("Bo", {}),
    ):
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", f"--author={author} <{author}@example.org>", "-m", "change")


@pytest.mark.parametrize(("commits", "status"), [(True, "completed"), (False, "skipped")])
async def test_from_the_history_to_a_report(tmp_path, monkeypatch, commits, status):
    monkeypatch.chdir(tmp_path)
    make_history(tmp_path / "repo")
    if not commits:
        (tmp_path / "empty").mkdir()
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / "empty", check=True)
    plugins = [
        GitConnector(),
        file.FileConnector(),
        extract.ExtractHandler(),
        validate.ValidateHandler(),
        transform.TransformHandler(),
        filter_.FilterHandler(),
        aggregate.AggregateHandler(),
        enrich.EnrichHandler(),
        conditional.ConditionalHandler(),
        send.SendHandler(),
    ]
    inputs = {"repo": "repo" if commits else "empty", "report": "out/report.md", "teams": {"Ada": "engine"}}
    async with OrchestrationService(plugins=plugins, discover=False, db="none") as service:
        result = await service.run(Workflow.parse(FLOW), inputs)
    assert not result.failures, result.failures
    assert result.steps["save"].status.value == status
    assert (tmp_path / "out" / "report.md").exists() is commits
    if commits:
        assert (tmp_path / "out" / "report.md").read_text() == REPORT
        assert result.steps["sound"].notes == ("checked 5 records, 1 are not valid, and were dropped",)
    assert result.metrics.tokens_used == 0

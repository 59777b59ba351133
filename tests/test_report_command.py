"""`intendant report` and `intendant alerts`, on real runs."""

from pathlib import Path

import pytest

FLOW = """
name: small
agent: mailer
steps:
  - {id: numbers, intent: filter, input: [{n: 1}, {n: 2}, {n: 3}], with: {where: "item.n > 1"}}
  - {id: total, intent: aggregate, input: "{{ steps.numbers.output }}", with: {measures: {sum: {sum: n}}}}
"""
DB = ("--db", "sqlite:///x.db")


@pytest.fixture
def intendant(command):
    """The command, beside a workflow and one that fails."""
    Path("flow.yaml").write_text(FLOW)
    Path("bad.yaml").write_text(FLOW.replace("n: 3", "m: 3").replace("name: small", "name: '<b>bad</b>'"))
    return command


def test_a_report_tells_what_runs_came_to(intendant) -> None:
    assert "No run ended" in intendant("report").out
    intendant("run", "flow.yaml")
    intendant("run", "bad.yaml", code=1)
    intendant("rate", "last", "2")
    said = intendant("report", "--agent", "mailer")
    assert "2 runs cost $0; 50% of them completed." in said.out
    assert "2.0 of 5 on average" in said.out
    found = intendant("report", "--json").json()
    assert found["health"]["statuses"] == {"completed": 1, "failed": 1}
    assert found["performance"]["handlers"]["filter"]["failed"] == 1
    assert set(found["cost"]["runs"][0]) == {"run_id", "workflow", "tokens_before", "tokens", "micro_usd"}
    assert intendant("report", "--agent", "nobody", "--json").json()["health"]["runs"] == 0
    assert intendant("report", "--since", "2099-01-01", "--json").json()["health"]["runs"] == 0
    assert 'intendant_runs_total{status="failed"} 1' in intendant("report", "--prometheus").out


def test_a_page_is_written_for_one_run_or_many(intendant, tmp_path) -> None:
    intendant("run", "flow.yaml")
    intendant("run", "bad.yaml", code=1)
    for arguments in (["last"], ["--agent", "mailer"]):
        intendant("report", *arguments, "--html", "page.html")
        text = (tmp_path / "page.html").read_text()
        assert '<svg role="img"' in text
        assert "&lt;b&gt;bad" in text
        assert "<b>bad" not in text
    assert "cannot be written" in intendant("report", "--html", "no/folder/x.html", code=2).err
    assert "no run" in intendant("report", "r_none", code=2).err
    assert "is no day" in intendant("report", "--since", "soon", code=2).err


def test_alerts_are_listed_silenced_and_delivered(intendant, tmp_path) -> None:
    assert intendant("alerts").out == "no alert is raised\n"
    intendant("run", "bad.yaml", code=1)
    intendant("config", "set", "alerts.least=1")
    assert "RAISED  handler_failures" in intendant("alerts").out
    assert "quiet   overage" in intendant("alerts", "--all").out
    assert intendant("alerts", "--json").json()[0]["rule"] == "handler_failures"
    intendant("alerts", "silence", "handler_failures", "--hours", "2")
    assert "silent until" in intendant("alerts").out
    intendant("alerts", "silence", "handler_failures", "--hours", "0")
    assert "silent until" not in intendant("alerts").out
    assert "no rule nothing" in intendant("alerts", "silence", "nothing", code=2).err
    assert "no connector" in intendant("alerts", "--deliver", code=2).err
    to_file = ("-s", "alerts.uses=file.write", "-s", 'alerts.parameters={"path": "alert.txt"}')
    done = intendant("alerts", "--deliver", "--json", *to_file)
    assert done.json()[0]["delivery"] == "delivered"
    assert "handler_failures: 100.0% of the steps fail" in (tmp_path / "alert.txt").read_text()
    assert intendant("alerts", "--deliver", "--json", *to_file).json()[0]["delivery"] == "before"
    intendant("verify")

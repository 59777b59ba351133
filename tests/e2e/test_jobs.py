"""The jobs of `docs/examples`, by the commands of their READMEs, in a fresh folder."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from functools import partial

import pytest
from scripted_model import label_tickets, read_invoice, read_log, read_offer, scripted_model, triage_mails


@pytest.fixture
def job(intendant, tmp_path, examples):
    """Puts an example into the working folder; runs the `intendant` commands of its README."""

    def run(name: str, *before: str, said: tuple[str, str] = ("", ""), **env: str) -> list:
        for path in (examples / name).iterdir():
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, tmp_path / path.name)
        for command in before:
            program = [sys.executable, *shlex.split(command)[1:]]
            subprocess.run(program, cwd=tmp_path, check=True)
        for written in (tmp_path / "README.md", tmp_path / "flow.yaml"):
            written.write_text(written.read_text().replace(*said))
        text = (tmp_path / "README.md").read_text()
        exported = re.findall(r"^\$ export (INTENDANT_\w+)='(.*)'$", text, re.MULTILINE)
        env = {**dict(exported), **env}
        commands = re.findall(r"^\$ intendant (.*)$", text, re.MULTILINE)
        assert commands
        return [intendant(*shlex.split(command, comments=True), **env) for command in commands]

    return run


def test_branches_join_whichever_was_taken(job, intendant, tmp_path) -> None:
    (done,) = job("branch-and-join")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "out/summary.json").read_text())["large"][0]["id"] == "A-17"
    (tmp_path / "order.json").write_text('{"id": "B", "total": 7}')
    assert intendant("run", "flow.yaml").code == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["large"], summary["small"]) == ([], [{"id": "B", "total": 7, "check": "none"}])


def test_a_list_is_read_in_parallel_and_gathered_in_order(job, model) -> None:
    (done,) = job("fan-out", **model(read_offer))
    assert done.code == 0, done.err
    returned = done.json()["returned"]
    assert [offer["firm"] for offer in returned["offers"]] == ["Weberei Weber", "Nadel & Co., Bremen"]
    assert returned["failed"] == ["offers/missing.txt"]


def test_an_error_has_its_way(job, intendant, tmp_path) -> None:
    (done,) = job("way-for-errors")
    assert done.code == 0, done.err
    assert "handled: step 'rates'" in done.out
    assert (tmp_path / "out/status.txt").read_text() == "completed"
    assert "today.json is not there" in (tmp_path / "out/log.csv").read_text()
    assert not (tmp_path / "out/alert.txt").exists()
    (tmp_path / "yesterday.json").unlink()
    assert intendant("run", "flow.yaml", "--json").code == 0
    assert "no rates: " in (tmp_path / "out/alert.txt").read_text()


def test_people_decide_in_other_processes(job, tmp_path) -> None:
    first, asked, approved, denied, resumed = job("approve-mails")
    assert first.code == 4, first.err
    assert "ada@example.org" in asked.out
    assert (approved.code, denied.code) == (0, 0), approved.err + denied.err
    assert resumed.code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m1.txt"]


@pytest.fixture
def model(tmp_path):
    """Starts a model server whose answers come from a function; gives the environment of its user."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(scripted_model(tmp_path, answer))


def test_a_log_is_summarized_inside_a_budget_with_the_lines_it_rests_on(job, model, tmp_path) -> None:
    """5,000 lines here; `test_a_log_of_40000_lines` has them all."""
    plan, done, shown = job("log-summary", "python make_log.py 5000", **model(read_log))
    assert (plan.code, done.code, shown.code) == (0, 0, 0), done.out + done.err
    check_report(tmp_path, shown.out)


def test_a_summary_that_was_killed_goes_on_and_asks_only_what_was_in_flight(
    intendant, model, examples, tmp_path
) -> None:
    seen: Counter[str] = Counter()
    killed: list[subprocess.Popen] = []

    def answer(asked) -> str:
        seen[asked.text] += 1
        if seen.total() == 9:
            os.kill(killed[0].pid, signal.SIGKILL)
        return read_log(asked)

    env = model(answer)
    for name in ("flow.yaml", "make_log.py"):
        shutil.copy(examples / "log-summary" / name, tmp_path / name)
    subprocess.run([sys.executable, "make_log.py", "5000"], cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "intendant", "run", "flow.yaml", "--db", "sqlite:///runs.db"]
    places = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    killed.append(
        subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **places, **env}, stdout=subprocess.PIPE)
    )
    killed[0].communicate(timeout=100)
    assert killed[0].returncode == -signal.SIGKILL
    done = intendant("resume", "last", "--db", "sqlite:///runs.db", "--json", **env)
    assert done.code == 0, done.out + done.err
    check_cited(tmp_path, (tmp_path / "out/report.md").read_text())
    assert seen.total() - len(seen) <= 4, "what was answered is asked again"


@pytest.mark.slow
def test_a_log_of_40000_lines(job, model, tmp_path) -> None:
    _, done, shown = job("log-summary", "python make_log.py", **model(read_log))
    assert done.code == 0, done.out + done.err
    check_report(tmp_path, shown.out)


def check_report(folder, shown: str) -> None:
    check_cited(folder, (folder / "out/report.md").read_text())
    assert "the input was read in" in shown


def check_cited(folder, report: str) -> None:
    """Each line of trouble is told, and stands where it is said to."""
    lines = (folder / "app.log").read_text().splitlines()
    trouble = {number: line for number, line in enumerate(lines, 1) if " ERROR " in line or " FATAL " in line}
    cited = {int(number): text for text, number in re.findall(r"^- (.*?)\. \[line (\d+)\]", report, re.MULTILINE)}
    assert trouble.keys() <= cited.keys(), report
    for number, text in cited.items():
        assert text.partition(": ")[2] in lines[number - 1]


def test_invoices_of_three_formats_are_one_table_with_the_doubtful_ones_marked(job, model, tmp_path) -> None:
    plan, done = job("invoices", **model(read_invoice))
    assert (plan.code, done.code) == (0, 0), done.out + done.err
    with (tmp_path / "out/invoices.csv").open(newline="") as file:
        rows = {row["number"]: row for row in csv.DictReader(file)}
    totals = {number: (row["date"], float(row["total"]), row["doubt"]) for number, row in rows.items()}
    assert totals == {
        "NW-17-330": ("2026-11-05", 1059.10, ""),
        "BA-9": ("", 66.0, "a field is missing"),
        "HS-2041": ("2026-11-03", 487.90, ""),
        "CT-88": ("2026-11-12", 1400.0, "net and VAT are not the total"),
    }


class Mailbox:
    """Keeps what an SMTP server was sent."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], str]] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802  # as aiosmtpd calls it
        self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"


def test_mails_are_labelled_drafted_approved_and_sent(job, model) -> None:
    smtp = pytest.importorskip("aiosmtpd.controller")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Mailbox()
    controller = smtp.Controller(box, hostname="127.0.0.1", port=port, ready_timeout=20)
    controller.start()
    try:
        said = ("8025", str(port))
        first, asked, approved, denied, resumed = job("mail-triage", said=said, **model(triage_mails))
    finally:
        controller.stop()
    assert first.code == 4, first.out + first.err
    assert "somebody looks into it today" in asked.out
    assert (approved.code, denied.code, resumed.code) == (0, 0, 1), resumed.err
    assert [to for to, _ in box.mails] == [["ada@loom.example"]]
    assert "Dear Ada," in box.mails[0][1]
    assert "In-Reply-To: <1-broken@mails.example>" in box.mails[0][1]


def test_tickets_are_labelled_in_batches_and_missing_labels_asked_again(job, model, tmp_path) -> None:
    asked: Counter[int] = Counter()
    env = model(partial(label_tickets, asked))
    plan, done = job("ticket-labels", **env)
    assert plan.code == 0, plan.err
    assert done.code == 0, done.out + done.err
    assert sorted(asked) == list(range(500))
    assert asked[0] == asked[3] == 2
    assert asked[1] == 1
    with (tmp_path / "out/labels.csv").open(newline="") as file:
        topics = Counter(row["topic"] for row in csv.DictReader(file))
    assert sum(topics.values()) == 500
    assert topics[""] > 0, "what the model cannot tell is null"
    assert "made up" not in topics


def test_a_model_looks_things_up_until_it_knows(job, intendant, tmp_path, examples) -> None:
    """The commands of the README, with the example's own stand-in for a model on a free port."""
    folder = examples / "look-it-up"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = folder / "model.toml"
    settings.write_text(settings.read_text().replace("8799", str(port)))
    subprocess.run([sys.executable, str(folder / "make_shop.py")], cwd=tmp_path, check=True)
    model = subprocess.Popen([sys.executable, str(folder / "model.py"), str(port)])
    try:
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            time.sleep(0.05)
        planned, done, shown = job("look-it-up", INTENDANT_CONFIG="model.toml", OPENAI_API_KEY="none-is-needed")
    finally:
        model.terminate()
        model.wait(10)
    assert "answer (6 turns)" in planned.out
    assert done.code == 0, done.out + done.err
    assert json.loads((tmp_path / "out/answer.json").read_text()) == {
        "customer": "Harbour Supplies",
        "sek": 27114.71,
        "next": "Ines calls them before a reminder is sent",
    }
    assert "a model answered in 3 turns with 3 tool calls (sql_query 1, file_read 2)" in done.out
    assert "the chain is whole" in shown.out

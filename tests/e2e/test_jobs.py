"""The jobs of `docs/examples`, by the commands of their READMEs, in a fresh folder."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture
def job(intendant, tmp_path, examples):
    """Puts an example into the working folder; runs the `intendant` commands of its README."""

    def run(name: str, **env: str) -> list:
        for path in (examples / name).iterdir():
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, tmp_path / path.name)
        text = (examples / name / "README.md").read_text()
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


def test_a_list_is_read_in_parallel_and_gathered_in_order(job) -> None:
    (done,) = job("fan-out")
    assert done.code == 0, done.err
    returned = done.json()["returned"]
    assert [offer["firm"] for offer in returned["offers"]] == ["Weber", "Nadel"]
    assert returned["failed"] == ["offers/missing.json"]


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
def labels(tmp_path):
    """A model server that labels tickets, forgets every tenth at first, and makes one up at first."""
    asked: Counter[int] = Counter()

    class Labels(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = "".join(str(message["content"]) for message in request["messages"])
            items = json.loads(re.search(r"<(data-\w+)>\n(.*)\n</\1>", text, re.DOTALL)[2])
            answers = []
            for entry in items:
                asked[entry["n"]] += 1
                about = entry["item"]["text"].lower()
                topic = next(
                    (name for name, words in TOPICS.items() if any(word in about for word in words)), None
                )
                if entry["n"] % 10 == 0 and asked[entry["n"]] == 1:
                    continue
                if entry["n"] == 3 and asked[3] == 1:
                    topic = "made up"
                answers.append({"n": entry["n"], "topic": topic, "urgency": "low"})
            said = json.dumps({"answers": answers})
            usage = {"prompt_tokens": len(text.encode()), "completion_tokens": len(said)}
            usage["total_tokens"] = sum(usage.values())
            message = {"role": "assistant", "content": said}
            body = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": request["model"],
                "usage": usage,
            }
            body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Labels)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "server.toml"
    file.write_text(
        f"""
        [plugins.settings."provider:openai"]
        base_url = "http://127.0.0.1:{server.server_port}/v1"
        models = {{fast = "mine", balanced = "mine", powerful = "mine"}}
        [prices.models."openai/mine"]
        input = 1.0
        output = 2.0
        """
    )
    yield {"INTENDANT_CONFIG": str(file), "OPENAI_API_KEY": "a-key-of-the-test"}, asked
    server.shutdown()
    server.server_close()


TOPICS = {
    "delivery": ("arrived", "where is order"),
    "refund": ("money back", "refund"),
    "account": ("log in", "account"),
}


def test_tickets_are_labelled_in_batches_and_missing_labels_asked_again(job, intendant, labels) -> None:
    env, asked = labels
    plan, done = job("ticket-labels", **env)
    assert plan.code == 0, plan.err
    assert done.code == 0, done.out + done.err
    assert sorted(asked) == list(range(60))
    assert asked[0] == asked[3] == 2
    assert asked[1] == 1
    run = intendant("run", "flow.yaml", "--json", "--db", "none", **env).json()
    counts = {row["topic"]: row["count"] for row in run["returned"]["counts"]}
    assert sum(counts.values()) == 60
    assert None in counts
    assert "made up" not in counts


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

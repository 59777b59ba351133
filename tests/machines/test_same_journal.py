"""The same workflow gives the same journal, and the same ledger, on each dispatcher: shown for the jobs of the docs.

Only times, ids and processes differ. `nox -s postgresql`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from own_server import own_server
from scripted_model import label_tickets, read_invoice, read_log, read_offer, scripted_model, triage_mails

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("INTENDANT_TEST_POSTGRESQL"), reason="starts a server: run `nox -s postgresql`"
    ),
    pytest.mark.timeout(300),
]
EXAMPLES = Path(__file__).parent.parent.parent / "docs/examples"
SCRIPT = Path(__file__).parent / "journal_of.py"
MODELS = {
    "fan-out": lambda: read_offer,
    "log-summary": lambda: read_log,
    "invoices": lambda: read_invoice,
    "mail-triage": lambda: triage_mails,
    "ticket-labels": lambda: partial(label_tickets, Counter()),
}
MAKE = {"log-summary": ("make_log.py", "5000"), "sql-report": ("make_shop.py",), "look-it-up": ("make_shop.py",)}
PEERS = {
    "api-digest": ("serve.py", "PORT"),
    "feed-watch": ("-m", "http.server", "PORT", "--bind", "127.0.0.1"),
    "look-it-up": ("model.py", "PORT"),
}
CALLS = {"branch-and-join", "approve-mails", "way-for-errors", "sales-report", "workbook-cleanup"}
JOBS = sorted({*MODELS, *MAKE, *PEERS, *CALLS})


@pytest.fixture(scope="module")
def server():
    with own_server("max_connections=200") as started:
        yield started


@contextmanager
def peer_of(job, folder, port):
    """What the job talks to; it answers once this has begun."""
    if job == "mail-triage":
        smtp = pytest.importorskip("aiosmtpd.controller")
        handlers = pytest.importorskip("aiosmtpd.handlers")
        controller = smtp.Controller(handlers.Sink(), hostname="127.0.0.1", port=port, ready_timeout=20)
        controller.start()
        yield
        controller.stop()
        return
    if job not in PEERS:
        yield
        return
    words = [str(port) if word == "PORT" else word for word in PEERS[job]]
    peer = subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            time.sleep(0.05)
        yield
    finally:
        peer.terminate()
        peer.wait(10)


def inputs_of(job, port):
    return {
        "api-digest": {"api": f"http://127.0.0.1:{port}"},
        "feed-watch": {"feeds": [f"http://127.0.0.1:{port}/ships.xml"]},
    }.get(job, {})


def prepare(job, folder, port):
    """A fresh copy of the job's folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLES / job, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if job in MAKE:
        subprocess.run([sys.executable, *MAKE[job]], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for name, old in (("flow.yaml", "8025"), ("model.toml", "8799")):
        if (folder / name).exists():
            (folder / name).write_text((folder / name).read_text().replace(old, str(port)))


def journal_of(job, dispatcher, db, folder, port):
    """What one dispatcher makes of a job."""
    prepare(job, folder, port)
    connectors = ("http", "webhook", "feed", "mail")
    plugins = {f"connector:{name}": {"allow": [f"127.0.0.1:{port}"]} for name in connectors}
    env = {name: value for name, value in os.environ.items() if not name.startswith("INTENDANT_")}
    env |= {
        "INTENDANT_PLUGINS__SETTINGS": json.dumps(
            {**plugins, "dispatcher:dbos": {"url": db}, "dispatcher:absurd": {"url": db}}
        ),
        "INTENDANT_SECRET_ORDERS_KEY": "test-key-of-the-example",
        "INTENDANT_SECRET_HOOK_KEY": "a-key-of-the-receiver",
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "OPENAI_API_KEY": "none-is-needed",
    }
    with ExitStack() as around:
        around.enter_context(peer_of(job, folder, port))
        if job in MODELS:
            answers = folder.parent / "model"
            answers.mkdir(exist_ok=True)
            env |= around.enter_context(scripted_model(answers, MODELS[job]()))
        elif job == "look-it-up":
            env["INTENDANT_CONFIG"] = "model.toml"
        command = [sys.executable, str(SCRIPT), dispatcher, db, json.dumps(inputs_of(job, port))]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("job", JOBS)
def test_dispatchers_write_the_same(server, tmp_path, job) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name = job.replace("-", "_")
    found = {}
    for dispatcher in ("embedded", "dbos", "absurd"):
        db = server.create(f"{name}_{dispatcher}", absurd=dispatcher == "absurd")
        found[dispatcher] = journal_of(job, dispatcher, db, tmp_path / "job", port)
    embedded = found["embedded"]
    assert sum(map(len, embedded["journal"].values())) > 10
    if job in MODELS or job == "look-it-up":
        assert embedded["ledger"], "calls were paid for"
    for dispatcher in ("dbos", "absurd"):
        other = found[dispatcher]
        assert embedded["journal"].keys() == other["journal"].keys()
        for step, said in embedded["journal"].items():
            assert said == other["journal"][step], (dispatcher, step)
        assert embedded == other


def test_it_is_shown_for_fourteen_jobs() -> None:
    assert len(JOBS) == 14
    assert {path.parent.name for path in EXAMPLES.glob("*/flow.yaml")} >= set(JOBS)

"""Each example runs on its real input, and says what is true of it."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest


def git(folder: Path, *arguments: str, author: str = "Ada", day: int = 1) -> None:
    env = {
        **os.environ,
        "GIT_AUTHOR_NAME": author,
        "GIT_AUTHOR_EMAIL": f"{author.lower()}@example.org",
        "GIT_COMMITTER_NAME": author,
        "GIT_COMMITTER_EMAIL": f"{author.lower()}@example.org",
        "GIT_AUTHOR_DATE": f"2026-11-{day:02d}T12:00:00+00:00",
        "GIT_COMMITTER_DATE": f"2026-11-{day:02d}T12:00:00+00:00",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository whose history is known to the line."""
    folder = tmp_path / "repo"
    (folder / "core").mkdir(parents=True)
    (folder / "docs").mkdir()
    git(folder, "init", "-q", "-b", "main")
    history = [
        ("core/ledger.py", "a\nb\nc\n", "Add the ledger", "Ada"),
        ("docs/guide.md", "x\n", "Document the ledger", "Bo"),
        ("core/ledger.py", "a\nb\n", "Fix overspending by 1 token", "Ada"),
        ("README.md", "hi\n", "Say hello | with a pipe", "Çağ"),
    ]
    for day, (path, content, subject, author) in enumerate(history, 1):
        (folder / path).write_text(content)
        git(folder, "add", ".", author=author)
        git(folder, "commit", "-qm", subject, author=author, day=day)
    return folder


def test_release_notes_tell_a_known_history(intendant, examples, repository) -> None:
    done = intendant(
        "run", str(examples / "release-notes/flow.yaml"), "-i", f"repo={repository}", "--json", "--db", "none"
    )
    assert done.code == 0, done.out + done.err
    result = done.json()
    authors = {row["author"]: row for row in result["outputs"]["authors"]}
    assert {name: (row["commits"], row["added"], row["removed"]) for name, row in authors.items()} == {
        "Ada": (2, 3, 1),
        "Bo": (1, 1, 0),
        "Çağ": (1, 1, 0),
    }
    assert {row["folder"]: row["changes"] for row in result["outputs"]["folders"]} == {
        "core": 2,
        "docs": 1,
        ".": 1,
    }
    report = (examples.parent.parent / "out/release-notes.md").read_text()
    assert "overspending" in report
    assert "| Ada" in report
    steps = result["steps"]
    assert steps["story"]["produced_by"] == "extractive"
    assert steps["story"]["usage"]["input_tokens"] == 0, "no model was asked"
    spending = {name for name, step in steps.items() if step["usage"]["calls"]}
    assert spending == {"story"}, "only the step that needs language spends tokens"
    assert result["metrics"]["tokens_used"] <= 12_000
    assert result["metrics"]["micro_usd"] == 0


def test_release_notes_of_this_checkout(intendant, examples) -> None:
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        pytest.skip("this is no git checkout")
    copy = examples.parent.parent / "checkout"
    subprocess.run(["git", "clone", "-q", str(root), str(copy)], check=True)
    done = intendant(
        "run", str(examples / "release-notes/flow.yaml"), "-i", "repo=checkout", "--json", "--db", "none"
    )
    assert done.code == 0, done.out + done.err
    log = subprocess.run(
        ["git", "log", "--format=%an"], cwd=copy, capture_output=True, text=True, check=True
    ).stdout
    commits = sum(row["commits"] for row in done.json()["outputs"]["authors"])
    assert 0 < commits <= min(500, len(log.split("\n")) - 1)


def test_the_digest_finds_the_complaints_and_nothing_else(intendant, examples) -> None:
    done = intendant("run", str(examples / "mail-digest/flow.yaml"), "--json", "--db", "none")
    assert done.code == 0, done.out + done.err
    outputs = done.json()["outputs"]
    assert len(outputs["inbox"]) == 10
    senders = [mail["from_address"] for mail in outputs["complaints"]]
    assert Counter(senders) == {
        "ada@loom.example": 2,
        "bo@harbour.example": 1,
        "dee@quick.example": 1,
        "fatima@north.example": 1,
    }
    erik = next(mail for mail in outputs["inbox"] if mail["from_address"] == "erik@bygg.example")
    assert "livsmedels" in erik["text"], "a mail in another encoding than it says is still read"
    missing = [
        mail["date"]
        for mail in outputs["inbox"]
        if mail["from_address"] in ("dee@quick.example", "mailer-daemon@mx.example")
    ]
    assert missing == [None, None], "a missing date stays missing"
    known = {mail["from_address"]: mail.get("segment") for mail in outputs["known"]}
    assert known["fatima@north.example"] == "business"
    assert known["dee@quick.example"] is None
    digest = (examples.parent.parent / "out/digest.md").read_text()
    for fact in ("10482", "10377", "10466"):
        assert fact in digest, f"order {fact} got lost"
    assert json.loads((examples.parent.parent / "out/key-accounts.json").read_text())


def test_the_sales_report_is_right_to_the_cent_and_free(intendant, examples) -> None:
    done = intendant("run", str(examples / "sales-report/flow.yaml"), "--json", "--db", "none")
    assert done.code == 0, done.out + done.err
    result = done.json()
    assert result["metrics"]["tokens_used"] == 0
    with (examples / "sales-report/orders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = [
        row
        for row in rows
        if row["region"]
        and int(row["quantity"]) >= 1
        and float(row["total"]) >= 0
        and "@" in row["email"]
        and row["state"] != "payed"
    ]
    assert result["outputs"]["checked"]["checked"] == len(rows) == 2400
    assert result["outputs"]["checked"]["failed"] == len(rows) - len(good) > 20
    revenue: dict[str, Fraction] = {}
    for row in good:
        if row["state"] == "paid":
            revenue[row["region"]] = revenue.get(row["region"], Fraction(0)) + Fraction(row["total"])
    assert {row["region"]: Fraction(str(row["revenue"])) for row in result["outputs"]["regions"]} == revenue
    assert [row["region"] for row in result["outputs"]["regions"]] == sorted(
        revenue, key=revenue.get, reverse=True
    )
    with (examples.parent.parent / "out/rejected-orders.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows) - len(good)


def test_the_orders_are_what_their_script_makes(examples, tmp_path) -> None:
    made = tmp_path / "made.csv"
    subprocess.run([sys.executable, str(examples / "sales-report/make_orders.py"), str(made)], check=True)
    assert made.read_bytes() == (examples / "sales-report/orders.csv").read_bytes()


@pytest.fixture
def served(examples):
    """Starts a program of an example and waits until it answers; gives its port."""
    started = []

    def serve(folder: str, *command: str) -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = [str(port) if word == "PORT" else word for word in command]
        program = subprocess.Popen(
            [sys.executable, *words], cwd=examples / folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        started.append(program)
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return port
            time.sleep(0.05)
        raise AssertionError(f"{folder}: nothing answers")

    yield serve
    for program in started:
        program.terminate()
        program.communicate(timeout=10)


def allowed(port: int, *connectors: str) -> str:
    return json.dumps({f"connector:{name}": {"allow": [f"127.0.0.1:{port}"]} for name in connectors})


def test_the_digest_of_an_api_has_what_is_new_and_gives_no_key_away(intendant, examples, served, tmp_path) -> None:
    port = served("api-digest", "serve.py", "PORT")
    keys = {
        "INTENDANT_SECRET_ORDERS_KEY": "test-key-of-the-example",
        "INTENDANT_SECRET_HOOK_KEY": "a-key-of-the-receiver",
        "INTENDANT_PLUGINS__SETTINGS": allowed(port, "http", "webhook"),
    }
    arguments = ("run", str(examples / "api-digest/flow.yaml"), "-i", f"api=http://127.0.0.1:{port}", "--json")
    dry = intendant(*arguments, "--dry", **keys).json()
    told = dry["outputs"]["tell"]
    assert told["dry"]
    assert told["with"]["secret"] == "[secret HOOK_KEY]"
    done = intendant(*arguments, **keys).json()
    assert done["status"] == "completed", done
    assert len(done["outputs"]["orders"]) == 12
    assert done["outputs"]["digest"].splitlines()[0] == "New orders:"
    assert done["outputs"]["tell"]["status"] == 200
    assert told["input"] == done["outputs"]["digest"]
    assert len(done["outputs"]["digest"].splitlines()) == 6
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"test-key-of-the-example" not in kept
    assert b"a-key-of-the-receiver" not in kept
    refused = intendant(*arguments, **{name: keys[name] for name in keys if "SECRET" in name}).json()
    assert refused["steps"]["orders"]["failure"]["code"] == "address_refused"


def test_the_report_from_a_database_adds_up(intendant, examples, tmp_path) -> None:
    subprocess.run([sys.executable, str(examples / "sql-report/make_shop.py")], cwd=tmp_path, check=True)
    done = intendant("run", str(examples / "sql-report/flow.yaml"), "--json", "--db", "none")
    assert done.code == 0, done.out + done.err
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        (cents, count) = shop.execute(
            "select sum(cents), count(*) from invoices where paid is null and due < '2026-07-01'"
        ).fetchone()
    rows = done.json()["outputs"]["rows"]
    assert (sum(row["cents"] for row in rows), sum(row["invoices"] for row in rows)) == (cents, count)
    assert (tmp_path / "overdue.md").read_text().startswith("# Open since before 2026-07-01")


def test_feeds_are_kept_where_they_matter(intendant, examples, served, tmp_path) -> None:
    port = served("feed-watch", "-m", "http.server", "PORT", "--bind", "127.0.0.1")
    done = intendant(
        "run",
        str(examples / "feed-watch/flow.yaml"),
        *("-i", f'feeds=["http://127.0.0.1:{port}/ships.xml"]', "--json", "--db", "none"),
        INTENDANT_PLUGINS__SETTINGS=allowed(port, "feed"),
    )
    assert done.code == 0, done.out + done.err
    written = (tmp_path / "matters.md").read_text()
    assert "New ferry to Gothenburg" in written
    assert "Crane inspected" in written
    assert "Canteen" not in written


def test_the_workbook_is_cleaned_and_joined(intendant, examples, tmp_path) -> None:
    flow, book = examples / "workbook-cleanup/flow.yaml", examples / "workbook-cleanup/contacts.xlsx"
    done = intendant("run", str(flow), "-i", f"path={book}", "--json", "--db", "none")
    assert done.code == 0, done.out + done.err
    with (tmp_path / "contacts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mail"] for row in rows] == [
        "ada@example.org",
        "bo@example.org",
        "cag@example.org",
        "di@example.org",
    ]
    assert [row["currency"] for row in rows] == ["GBP", "SEK", "TRY", ""]
    assert rows[0]["since"] == "2024-03-04"

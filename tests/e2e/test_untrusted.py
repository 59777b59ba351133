"""A folder of somebody else cannot hurt: not by its settings, its modules, nor by what it lets a terminal do."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

FLOW = "name: t\nbudget: {tokens: 9000}\nsteps: [{id: a, intent: generate, prompt: Write a word, input: hello}]"
CONTROLS = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egpj\u202c \x7f \r"


@pytest.fixture
def thief():
    """A server that keeps the headers of what it is asked."""
    seen = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(dict(self.headers))
            self.send_error(400)

        do_GET = do_POST  # noqa: N815  # the name that `http.server` asks for

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", seen
    server.shutdown()
    server.server_close()


def test_a_key_goes_to_no_base_url_of_an_untrusted_folder(intendant, tmp_path, thief) -> None:
    url, seen = thief
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "intendant.toml").write_text(
        f'[plugins.settings."provider:openai"]\nbase_url = "{url}"\nmodels = {{balanced = "m", fast = "m"}}\n'
        '[prices.models."openai/m"]\ninput = 0\noutput = 0\n'
        "[calls]\nattempts = 1\nfallback = false\ndeadline = 1.0\n[run]\ncall_timeout = 1.0"
    )
    # Nothing may leave this machine either: the vendor's own address is one that refuses.
    env = {"OPENAI_API_KEY": "sk-of-the-user-123", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = intendant("run", "flow.yaml", "--db", "none", **env)
    assert "intendant.toml of this folder is not trusted" in done.err
    assert "`intendant trust` lets it set them" in done.err
    assert "prices.models" in done.err
    assert seen == []
    assert "sk-of-the-user" not in done.out + done.err

    assert intendant("trust", "--json").json()["keys"] == ["plugins.settings", "prices.models"]
    done = intendant("run", "flow.yaml", "--db", "none", **env)
    assert "not trusted" not in done.err
    assert seen


def test_trust_is_listed_and_taken_back(intendant, tmp_path) -> None:
    (tmp_path / "intendant.toml").write_text('[budget]\ntenant = "x"')
    assert intendant("trust", "--list", "--json").json() == []
    assert "it sets budget.tenant" in intendant("trust").out
    assert intendant("trust", "--list", "--json").json() == [str(tmp_path / "intendant.toml")]
    assert "no more" in intendant("trust", "--revoke").out
    assert intendant("trust", "--list", "--json").json() == []
    for wrong in ("nowhere", "other.toml"):
        done = intendant("trust", wrong)
        assert done.code == 2
        assert "hint" in done.err


def test_modules_of_the_working_folder_do_not_run(intendant, tmp_path) -> None:
    for name in ("typer", "rich", "yaml", "structlog", "pydantic", "sitecustomize", "intendant_intent_filter"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').write(__name__)")
    assert intendant("plugins").code == 0
    assert not (tmp_path / "ran").exists()


def test_what_is_in_force_is_shown_and_recorded(intendant, tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(
        "name: t\nsteps: [{id: a, intent: filter, input: [1, 2], with: {where: item > 1}}]"
    )
    (tmp_path / "intendant.toml").write_text('[budget]\nstrategy = "equal"')
    done = intendant("run", "flow.yaml", "-v", "--db", "sqlite:///x.db", "-s", "run.max_parallel=2")
    assert "budget.strategy='intendant.toml' run.max_parallel='the call'" in done.err
    run = intendant("show", "last", "--json", "--db", "sqlite:///x.db").json()
    recorded = next(event for event in run["events"] if event["type"] == "initialized")
    assert recorded["settings"] == {"budget.strategy": "intendant.toml", "run.max_parallel": "the call"}


def test_control_characters_reach_no_terminal(intendant, tmp_path) -> None:
    steps = [
        {
            "id": "a",
            "name": f"n{CONTROLS}",
            "intent": "filter",
            "input": [CONTROLS],
            "with": {"where": "item != ''"},
        },
        {"id": "b", "intent": f"filt{CONTROLS}", "input": "{{ steps.a.output }}"},
    ]
    for name, chosen in (("good.json", steps[:1]), ("bad.json", steps)):
        (tmp_path / name).write_text(json.dumps({"name": f"w{CONTROLS}", "steps": chosen}))
    for arguments in (
        ("run", "good.json", "--db", "sqlite:///x.db"),
        ("run", "good.json", "--db", "sqlite:///x.db", "--json"),
        ("run", "bad.json", "--db", "none"),
        ("plan", "good.json"),
        ("show", "last", "--db", "sqlite:///x.db"),
        ("runs", "--db", "sqlite:///x.db"),
        ("run", f"no{CONTROLS}.yaml"),
        ("run", "good.json", "-s", f"x{CONTROLS}=1"),
    ):
        done = intendant(*arguments)
        sent = set((done.out + done.err).encode(errors="surrogatepass").decode()) & set(CONTROLS.replace(" ", ""))
        assert not {character for character in sent if not character.isalnum() and character not in "[];"}, (
            arguments
        )
        if "--json" in arguments:
            assert done.json()["steps"]["a"]["output"] == [CONTROLS]


def test_a_document_in_a_pipe_stays_as_it_is(intendant, tmp_path) -> None:
    text = "a \u202egpj\u202c \x0c b"
    (tmp_path / "log.txt").write_text(text)
    assert intendant("compress", "log.txt", "--lossless").out == text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_on_a_terminal_only_our_own_sequences_are_sent(tmp_path) -> None:
    import pty
    import subprocess
    import sys

    steps = [
        {"id": "a", "intent": "filter", "input": [1], "with": {"where": "item == 1"}},
        {"id": "b", "intent": "extract", "uses": "file.read", "with": {"path": f"no{CONTROLS}"}, "needs": ["a"]},
    ]
    (tmp_path / "f.json").write_text(json.dumps({"name": "t", "steps": steps}))
    main, child = pty.openpty()
    command = [sys.executable, "-m", "intendant", "run", "f.json", "--db", "none"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=child, stderr=child, env={**os.environ, "TERM": "xterm"}
    )
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait(timeout=60)
    os.close(main)
    assert b"\x1b[" in shown
    assert b"owned" in shown
    for sequence in (b"\x1b[2J", b"\x1b]0;", b"\x07", "\u202e".encode(), "\x9b".encode()):
        assert sequence not in shown

"""Steps with tools under kill -9: no turn that was answered is paid for again, and no change is made twice.

`INTENDANT_TRIALS=50 pytest tests/test_agent_kills.py` for the full count.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

TRIALS = int(os.environ.get("INTENDANT_TRIALS", "1"))
SCRIPT = [
    [("file_read", {"path": "a.txt"}), ("http_post", {"input": {"n": 1}})],
    [("file_read", {"path": "b.txt"})],
    [("http_post", {"input": {"n": 2}}), ("http_post", {"input": {"n": 3}})],
    "done",
]
SENDS = {1, 2, 3}
ITEMS = ["i1", "i2", "i3", "i4", "i5"]


def wanted(asked, item, number):
    """What the model wants in its turn of this number."""
    if not item:
        return SCRIPT[number]
    sends = {"input": {"n": int(item[1:])}}
    return ([("file_read", {"path": "a.txt"}), ("http_post", sends)], "done")[number]


class World(ThreadingHTTPServer):
    """A model that follows the script, and a peer that takes posts; both note what arrives, and are slow."""

    daemon_threads = True

    def __init__(self):
        self.turns: list[tuple[str, int]] = []
        self.billed = 0
        self.conversations: list[list[dict]] = []
        self.posts: list[tuple[str, int]] = []
        self.arrived = 0
        self.awaited = 0
        self.seen = threading.Event()
        super().__init__(("127.0.0.1", 0), Door)

    def note(self):
        self.arrived += 1
        if self.arrived >= self.awaited:
            self.seen.set()


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        """Says nothing."""

    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        time.sleep(random.uniform(0, 0.03))
        body = self.post(json.loads(data)) if self.path == "/post" else self.turn(json.loads(data), len(data))
        self.server.note()
        time.sleep(random.uniform(0, 0.05))
        text = json.dumps(body).encode()
        with suppress(OSError):  # the client was killed
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def post(self, body):
        self.server.posts.append((self.headers["idempotency-key"], body["n"]))
        return {"ok": body["n"]}

    def turn(self, asked, size):
        number = sum(message["role"] == "assistant" for message in asked["messages"])
        task = next(turn["content"] for turn in asked["messages"] if turn["role"] == "user")
        item = next((item for item in ITEMS if item in str(task)), "")
        self.server.turns.append((item, number))
        self.server.conversations.append(asked["messages"])
        wants = wanted(asked, item, number)
        message = {"role": "assistant", "content": wants if isinstance(wants, str) else None}
        if not isinstance(wants, str):
            message["tool_calls"] = [
                {
                    "id": f"c{number}_{index}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
                for index, (name, arguments) in enumerate(wants)
            ]
        read, written = size // 4, 20
        self.server.billed += read + written
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "stop" if isinstance(wants, str) else "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }


def prepared(folder, port, policy, *, items=False):
    (folder / "a.txt").write_text("first\n" * 40)
    (folder / "b.txt").write_text("second\n" * 40)
    step = {
        "id": "look",
        "intent": "generate",
        "prompt": "Look and tell.",
        "tools": [
            "file.read",
            {"uses": "http.post", "with": {"url": f"http://127.0.0.1:{port}/post"}, "effects": "any"},
        ],
        "max_turns": 6,
        "max_output_tokens": 200,
        "budget": {"tokens": 60_000},
        **({"in_doubt": policy} if policy else {}),
        **({"for_each": ITEMS, "concurrency": 3, "prompt": "Look and tell of {{ item }}."} if items else {}),
    }
    (folder / "flow.json").write_text(
        json.dumps(
            {
                "name": "look",
                "steps": [step],
                "budget": {"tokens": 60_000},
                "returns": {"said": "{{ steps.look.output }}"},
            }
        )
    )
    (folder / "intendant.conf.toml").write_text(
        f"""
        [plugins.settings."provider:openai"]
        base_url = "http://127.0.0.1:{port}/v1"
        models = {{fast = "mine", balanced = "mine", powerful = "mine"}}
        [plugins.settings."connector:http"]
        allow = ["127.0.0.1:{port}"]
        [prices.models."openai/mine"]
        input = 1.0
        output = 2.0
        """
    )


def command(folder, *arguments):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INTENDANT_", "OPENAI_", "ANTHROPIC_"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "intendant", *arguments, "--db", "sqlite:///runs.db", "--json"],
        cwd=folder,
        env={
            **environment,
            "XDG_CONFIG_HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "INTENDANT_CONFIG": str(folder / "intendant.conf.toml"),
            "OPENAI_API_KEY": "none",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("trial", range(TRIALS))
def test_agent_steps_survive_kills(tmp_path, finished, trial):
    policy, items = random.choice(["idempotent", None]), random.random() < 0.5
    every = (
        {(item, number) for item in ITEMS for number in (0, 1)} if items else {("", n) for n in range(len(SCRIPT))}
    )
    sends = {int(item[1:]) for item in ITEMS} if items else SENDS
    world = World()
    threading.Thread(target=world.serve_forever, daemon=True).start()
    prepared(tmp_path, world.server_address[1], policy, items=items)
    world.awaited = random.randint(1, len(every) + len(sends))
    process = command(tmp_path, "run", "flow.json")
    assert world.seen.wait(60), process.stderr.read()
    time.sleep(random.uniform(0, 0.06))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()
    result = finished(command(tmp_path, "resume", "last", "--take-over"))
    world.shutdown()
    world.server_close()

    turns, posts = Counter(world.turns), Counter(number for _, number in world.posts)
    twice = [turn for turn, times in turns.items() if times > 1]
    assert len(twice) <= (3 if items else 1), "only turns that were out when the process died may be asked again"
    assert max(turns.values()) <= 2
    for turn in twice:
        first, again = (
            talk for talk, number in zip(world.conversations, world.turns, strict=True) if number == turn
        )
        assert first == again, "it is asked again in the same words"
    assert len({key for key, _ in world.posts}) == len(posts), "a change has the same key in each process"
    if policy:
        assert max(posts.values(), default=0) <= 2
    else:
        assert max(posts.values(), default=0) <= 1, "nothing is sent twice to a peer that may not know it"
    if result is None:
        assert (set(turns), set(posts)) == (every, sends)
        return
    assert "metrics" in result, result
    assert result["metrics"]["tokens_used"] >= world.billed, "what was billed is on record"
    if policy or result["status"] == "completed":
        assert result["status"] == "completed", result
        assert result["returned"] == {"said": ["done"] * len(ITEMS) if items else "done"}
        assert (set(turns), set(posts)) == (every, sends)
    else:
        assert result["steps"]["look"]["failure"]["code"] == "possibly_sent", result

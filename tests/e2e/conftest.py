"""The end-to-end tests run from a checkout or, with INTENDANT_EXAMPLES set, from installed wheels alone."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for `scripted_model`
EXAMPLES = Path(os.environ.get("INTENDANT_EXAMPLES") or HERE.parent.parent / "docs/examples")
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark also where the tests run without the checkout's configuration."""
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out of the default run")


class Result:
    """What the command printed and returned."""

    def __init__(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = done.returncode
        self.out, self.err = (text.decode().replace("\r\n", "\n") for text in (done.stdout, done.stderr))

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def intendant(tmp_path):
    """Runs the command `intendant` in an empty folder, without keys and without anybody's settings."""

    def run(*arguments: str, stdin: bytes | None = None, **env: str) -> Result:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in KEYS and not name.startswith("INTENDANT_")
        }
        environment = {
            **kept,
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            **env,
        }
        done = subprocess.run(
            [sys.executable, "-m", "intendant", *arguments],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=100,
        )
        result = Result(done)
        assert "Traceback" not in result.err, result.err
        return result

    return run


class Answers(BaseHTTPRequestHandler):
    """A model server that speaks chat completions: it answers with one sentence, and counts a token for each byte."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = "Ada paid 12 EUR and Bob 7."
        counted = len("".join(str(message["content"]) for message in asked["messages"]).encode())
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": counted,
                "completion_tokens": len(said),
                "total_tokens": counted + len(said),
            },
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def model_server(tmp_path):
    """The environment of a user with a model server of their own; what it answers is charged."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
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
    yield {"INTENDANT_CONFIG": str(file), "OPENAI_API_KEY": "a-key-of-the-test"}
    server.shutdown()
    server.server_close()


@pytest.fixture
def examples(tmp_path) -> Path:
    """A copy of the examples inside the folder the command runs in: files outside it are out of reach."""
    import shutil

    shutil.copytree(
        EXAMPLES, tmp_path / "docs/examples", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return tmp_path / "docs/examples"

"""Webhooks over a real server: what is signed starts one run, what is not starts none."""

import asyncio
import hmac
import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import httpx2
import pytest
import uvicorn

from intendant import IntendantError, OrchestrationService
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant_webhooks import webhooks

SECRETS = {
    "ORDERS": "whsec_" + b64encode(b"a key of twenty-four byte").decode(),
    "GITHUB": "what both sides of GitHub know",
    "STRIPE": "whsec_stripe takes it as it is",
    "SLACK": "8f742231b10e8888abcd99yyyzzz85a5",
}
FLOW = """
name: order
inputs: {order: {type: any}}
returns: {kept: "{{ steps.keep.output }}"}
steps:
  - {id: keep, intent: keep, input: "{{ inputs.order }}"}
"""
TRIGGERS = """
[orders]
flow = "flow.yaml"
webhook = {secret = "{{ secrets.ORDERS }}", max_bytes = 2000}
inputs = {order = "{{ trigger.body }}"}

[push]
flow = "flow.yaml"
webhook = {secret = "{{ secrets.GITHUB }}", signature = "github"}
inputs = {order = "{{ trigger.body.ref }}"}

[paid]
flow = "flow.yaml"
webhook = {secret = "{{ secrets.STRIPE }}", signature = "stripe"}
inputs = {order = "{{ trigger.body }}"}

[said]
flow = "flow.yaml"
webhook = {secret = "{{ secrets.SLACK }}", signature = "slack"}
inputs = {order = "{{ trigger.body }}"}

[nightly]
flow = "flow.yaml"
folder = "."
inputs = {order = "x"}
"""


class Keep(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="keep", summary="Keep", examples=("Keep it",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=request.input)


class Hooks:
    """A server of webhooks on a loopback port, and the service behind it."""

    def __init__(self, folder) -> None:
        self.url, self.db = "", f"sqlite:///{folder}/runs.db"
        self._folder, self._ready = folder, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        while self._thread.is_alive() and not self._ready.wait(0.05):
            pass
        assert self._ready.is_set(), "the server did not start"

    async def _serve(self) -> None:
        async with self.service() as service:
            app = webhooks(service, self._folder / "triggers.toml")
            self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
            serving = asyncio.create_task(self.server.serve())
            while not self.server.started:
                await asyncio.sleep(0.01)
            port = self.server.servers[0].sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}/hooks"
            self._ready.set()
            await serving

    def service(self) -> OrchestrationService:
        return OrchestrationService(plugins=[Keep()], db=self.db, discover=False, secrets=SECRETS.get)

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)

    def post(self, name: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
        return httpx2.post(f"{self.url}/{name}", content=body, headers=headers, timeout=20)

    def runs(self) -> list[str]:
        async def ids() -> list[str]:
            async with self.service() as service:
                return [run.id for run in await service.runs()]

        return asyncio.run(ids())

    def done(self, run_id: str):
        async def executed():
            async with self.service() as service:
                return await service.resume(run_id)

        return asyncio.run(executed())


@pytest.fixture(scope="module")
def hooks(tmp_path_factory) -> Iterator[Hooks]:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "flow.yaml").write_text(FLOW)
    (folder / "triggers.toml").write_text(TRIGGERS)
    made = Hooks(folder)
    yield made
    made.close()


def standard(body: bytes, *, key=b"a key of twenty-four byte", message="msg_1", at=None) -> dict[str, str]:
    """Signed as the specification says, not by our own code."""
    when = int(time.time() if at is None else at)
    digest = hmac.digest(key, f"{message}.{when}.".encode() + body, sha256)
    signature = f"v1,{b64encode(b'another key').decode()} v1,{b64encode(digest).decode()}"
    return {"webhook-id": message, "webhook-timestamp": str(when), "webhook-signature": signature}


def github(body: bytes, key="GITHUB") -> dict[str, str]:
    digest = hmac.new(SECRETS[key].encode(), body, sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "72d3162e"}


def stripe(body: bytes, key="STRIPE", at=None) -> dict[str, str]:
    when = int(time.time() if at is None else at)
    digest = hmac.new(SECRETS[key].encode(), f"{when}.".encode() + body, sha256).hexdigest()
    return {"stripe-signature": f"t={when},v1={'0' * 64},v1={digest},v0=x"}


def slack(body: bytes, key="SLACK", at=None) -> dict[str, str]:
    when = int(time.time() if at is None else at)
    digest = hmac.new(SECRETS[key].encode(), f"v0:{when}:".encode() + body, sha256).hexdigest()
    return {"x-slack-signature": f"v0={digest}", "x-slack-request-timestamp": str(when)}


def test_a_signed_webhook_starts_one_run_however_often_it_is_delivered(hooks) -> None:
    before = set(hooks.runs())
    body = json.dumps({"id": 7, "total": "12.50 €"}).encode()
    first = hooks.post("orders", standard(body), body)
    assert first.status_code == 202, first.text
    again = hooks.post("orders", standard(body, at=time.time() - 60), body)
    assert (again.status_code, again.json()) == (200, {"run_id": first.json()["run_id"], "known": True})
    other = hooks.post("orders", standard(body, message="msg_2"), body)
    assert other.status_code == 202
    assert set(hooks.runs()) - before == {first.json()["run_id"], other.json()["run_id"]}
    result = hooks.done(first.json()["run_id"])
    assert result.outputs["keep"] == {"id": 7, "total": "12.50 €"}


@pytest.mark.parametrize(("name", "sign"), [("push", github), ("paid", stripe), ("said", slack)])
def test_the_signatures_of_others(hooks, name, sign) -> None:
    body, before = b'{"ref": "refs/heads/main"}', hooks.runs()
    first = hooks.post(name, sign(body), body)
    assert first.status_code == 202, first.text
    # What is sent once more, and an id that nobody signed, starts nothing.
    assert hooks.post(name, {**sign(body), "x-github-delivery": "other"}, body).json() == {
        "run_id": first.json()["run_id"],
        "known": True,
    }
    assert hooks.post(name, sign(body), body + b" ").status_code == 401
    assert len(hooks.runs()) == len(before) + 1


WRONG = {
    "no signature": lambda body: {},
    "no id": lambda body: {**standard(body), "webhook-id": ""},
    "another key": lambda body: standard(body, key=b"another key of 24 bytes.."),
    "another id": lambda body: {**standard(body), "webhook-id": "msg_9"},
    "another body": lambda body: standard(body + b"x"),
    "an old one": lambda body: standard(body, at=time.time() - 301),
    "one ahead": lambda body: standard(body, at=time.time() + 400),
    "no time": lambda body: {**standard(body), "webhook-timestamp": "soon"},
    "a negative time": lambda body: {**standard(body), "webhook-timestamp": "-5"},
    "an empty signature": lambda body: {**standard(body), "webhook-signature": "v1,"},
    "letters beyond ASCII": lambda body: {**standard(body), "webhook-signature": "v1,\xe4\xf6"},
    "a signature of another scheme": github,
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_signed_wrong_starts_nothing(hooks, how) -> None:
    body, before = b'{"id": 1}', hooks.runs()
    headers = {name: value.encode("latin-1") for name, value in WRONG[how](body).items()}
    answer = hooks.post("orders", headers, body)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}
    assert hooks.runs() == before


def test_what_cannot_be_taken_is_said(hooks) -> None:
    before = hooks.runs()
    long = b'"' + b"x" * 2000 + b'"'
    assert hooks.post("orders", standard(long), long).status_code == 413
    assert hooks.post("nobody", standard(b"{}"), b"{}").status_code == 404
    assert hooks.post("nightly", standard(b"{}"), b"{}").status_code == 404
    body = b'{"no": "ref"}'
    refused = hooks.post("push", github(body), body)
    assert (refused.status_code, "ref" in refused.json()["error"]) == (422, True)
    assert httpx2.get(f"{hooks.url}/orders").status_code == 405
    assert hooks.runs() == before


@pytest.mark.parametrize("body", [b"plain text", b"\xff\xfe", b"NaN", b"[" * 900, b""])
def test_what_is_no_json_is_text(hooks, body) -> None:
    answer = hooks.post("orders", standard(body, message=f"text {len(body)} {body[:5]!r}"), body)
    assert answer.status_code == 202
    assert hooks.done(answer.json()["run_id"]).outputs["keep"] == body.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("triggers", "message"),
    [
        ('[a]\nflow = "flow.yaml"\nfolder = "."', "no trigger has `webhook`"),
        ('[a]\nflow = "flow.yaml"\nwebhook = {secret = "{{ secrets.NONE }}"}', "secret NONE is not set"),
        ('[a]\nflow = "flow.yaml"\nwebhook = {secret = "whsec_abc"}', r"a\.webhook\.secret"),
        ('[a]\nflow = "flow.yaml"\nfolder = "."\nwebhook = {secret = "{{ secrets.ORDERS }}"}', "write one of"),
        ('[a]\nflow = "none.yaml"\nwebhook = {secret = "{{ secrets.ORDERS }}"}', "none.yaml"),
        ('[a]\nflow = "flow.yaml"\nwebhook = {secret = "{{ secrets.ORDERS }}", signature = "md5"}', "signature"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_received(tmp_path, triggers, message) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "triggers.toml").write_text(triggers)
    service = OrchestrationService(plugins=[Keep()], db="none", discover=False, secrets=SECRETS.get)
    with pytest.raises(IntendantError, match=message):
        webhooks(service, tmp_path / "triggers.toml")

"""`intendant webhooks` beside a worker, as processes of their own: a signed webhook becomes a run that is executed."""

import hmac
import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from hashlib import sha256

import httpx2

FLOW = """
name: order
inputs: {order: {type: object}}
steps:
  - {id: total, intent: transform, input: "{{ inputs.order.items }}", options: {op: select, fields: [price]}}
"""
TRIGGERS = """
[orders]
flow = "flow.yaml"
webhook = {secret = "{{ secrets.ORDERS }}"}
inputs = {order = "{{ trigger.body }}"}
"""
KEY = b"a key of twenty-four byte"


def test_a_webhook_becomes_a_run_that_a_worker_executes(tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "triggers.toml").write_text(TRIGGERS)
    env = {**os.environ, "INTENDANT_SECRET_ORDERS": f"whsec_{b64encode(KEY).decode()}"}
    command = [sys.executable, "-m", "intendant"]
    db = ["--db", f"sqlite:///{tmp_path}/runs.db"]
    serve = [*command, "webhooks", "triggers.toml", "--port", "0", *db]
    with subprocess.Popen(serve, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split()[1]
            body = json.dumps({"items": [{"price": 5, "name": "a"}]}).encode()
            signed = f"msg_1.{(now := str(int(time.time())))}.".encode() + body
            signature = "v1," + b64encode(hmac.digest(KEY, signed, sha256)).decode()
            headers = {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": signature}
            answer = httpx2.post(url, content=body, headers=headers, timeout=20)
        finally:
            server.terminate()
    assert answer.status_code == 202, answer.text
    work = [*command, "worker", "--triggers", "triggers.toml", "--once", "--json", *db]
    done = subprocess.run(work, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert (json.loads(done.stdout)["run_id"], json.loads(done.stdout)["status"]) == (
        answer.json()["run_id"],
        "completed",
    )

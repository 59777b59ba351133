"""A real dashboard on a loopback port, over a database with real runs."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import uvicorn
from sqlalchemy import create_engine, text

from intendant import OrchestrationService, Workflow
from intendant.plugin import (
    Compression,
    Compressor,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    StepError,
    StepResult,
)
from intendant.testing import ScriptedProvider, engine
from intendant_dashboard import dashboard

TOKEN, READ_TOKEN = "an-operator's-token", "a-reader's-token"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Ask(IntentHandler):
    """Asks the model; fails, or waits until it may go on, where it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    async def handle(self, request):
        while request.prompt == "slowly" and not self.may_go_on.is_set():
            await asyncio.sleep(0.02)
        text = await request.model.fit(request.input)
        asked = Message(content=f"{request.prompt}\n{text.text}")
        reply = await request.model.complete(ModelRequest(messages=(asked,), max_output_tokens=40))
        if request.prompt == "fail":
            raise StepError(f"not today {EVIL}")
        return StepResult(output=reply.text)


def flow(name: str, *last: dict[str, Any], agent: str = "mailer", **more: Any) -> Workflow:
    steps = [
        {"id": "read", "intent": "ask", "prompt": "Read it", "input": ["a line of a letter"] * 20},
        {
            "id": "label",
            "intent": "ask",
            "prompt": "Label",
            "for_each": ["x", "y"],
            "as": "it",
            "input": "{{ it }}",
        },
        *last,
    ]
    budget = {"tokens": 40_000, "usd": 1}
    return Workflow.model_validate({"name": name, "agent": agent, "budget": budget, "steps": steps, **more})


SEND = {"id": "send", "intent": "ask", "prompt": "Send it", "needs": ["read"], "approve": {"ask": f"Send? {EVIL}"}}
SLOW = {"id": "slow", "intent": "ask", "prompt": "slowly", "needs": ["read"]}


LONG = {
    "id": "long",
    "intent": "ask",
    "prompt": "Short",
    "input": "\n".join(f"The {chr(97 + n % 26) * 5} goes on and on." for n in range(300)),
}


class First(Compressor):
    """Keeps the beginning of a text."""

    name = "first"

    def compress(self, request):
        kept = request.text[: len(request.text) * request.target_tokens // (2 * request.tokens)]
        return Compression(
            text=kept,
            tokens_before=request.tokens,
            tokens_after=request.count(kept),
            strategy="first",
            lossless=False,
            quality=0.9,
            dropped=("the rest of the lines",),
        )


class Dies(ScriptedProvider):
    """Gets a call, and never answers: its process is as good as dead."""

    async def complete(self, hold, request):
        self.calls.append((hold, request))
        await asyncio.sleep(3600)
        return await super().complete(hold, request)


class Site:
    """A dashboard that is served, the service behind it, and runs that are in its database."""

    TOKEN, READ_TOKEN, SEND, SLOW = TOKEN, READ_TOKEN, SEND, SLOW
    flow = staticmethod(flow)

    def __init__(self, folder: Path, db: str | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.handler = Ask()
        self.db = db or f"sqlite:///{folder / 'runs.db'}"
        self.service: OrchestrationService = engine(
            self.handler,
            First(),
            ScriptedProvider("an answer of some words"),
            db=self.db,
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        app = dashboard(self.service, token={"ada": TOKEN}, read_token=READ_TOKEN)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.server.serve([self.socket]))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def run(self, workflow: Workflow, inputs: dict[str, Any] | None = None) -> str:
        """Execute a workflow; returns the run's id."""
        return self.do(self.service.run(workflow, inputs)).run_id

    def begin(self, workflow: Workflow) -> str:
        """Begin to execute a workflow; returns the run's id when it is there."""
        before = {row.id for row in self.do(self.service.operations.runs())}
        asyncio.run_coroutine_threadsafe(self.service.run(workflow), self.loop)
        return self.until(
            lambda: next((row.id for row in self.do(self.service.operations.runs()) if row.id not in before), "")
        )

    def doubtful(self) -> str:
        """A run that waits for a decision about a call that was in flight when its process died."""

        async def make() -> str:
            dead = Dies()
            steps = [{"id": "dear", "intent": "ask", "prompt": "dear", "in_doubt": "hold"}]
            workflow = Workflow.model_validate(
                {"name": "dear letters", "budget": {"tokens": 5000}, "steps": steps}
            )
            async with engine(Ask(), dead, db=self.db) as other:
                run = asyncio.create_task(other.run(workflow))
                while not dead.calls:
                    await asyncio.sleep(0.01)
                result = await self.service.resume("last", take_over=True)
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
            return result.run_id

        return self.do(make())

    @staticmethod
    def until(look: Callable[[], Any]) -> Any:
        """What *look* finds, as soon as it finds something."""
        for _ in range(400):
            if found := look():
                return found
            time.sleep(0.05)
        raise AssertionError("it did not happen")

    def status(self, run: str) -> str:
        return self.do(self.service.operations.run(run)).status

    def client(self, token: str | None = None, **options: Any) -> httpx2.Client:
        headers = {"accept": "text/html", **({"authorization": f"Bearer {token}"} if token else {})}
        return httpx2.Client(base_url=self.base, headers=headers, verify=False, **options)

    @contextmanager
    def signed_in(self, token: str = TOKEN) -> Iterator[httpx2.Client]:
        """A client with a session, as a browser has one."""
        with self.client() as client:
            client.headers["origin"] = self.base
            assert client.post("/sign-in", data={"token": token}).status_code == 303
            yield client

    def close(self) -> None:
        self.handler.may_go_on.set()
        self.server.should_exit = True
        self.thread.join(10)
        self.loop.run_until_complete(self.service.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = filled(Site(tmp_path_factory.mktemp("site")))
    yield made
    made.close()


@pytest.fixture
def server_site(tmp_path: Path) -> Iterator[Site]:
    """The same over PostgreSQL, in a database of its own."""
    url = os.environ.get("INTENDANT_TEST_POSTGRESQL")
    if not url:
        pytest.skip("needs a PostgreSQL server: run `nox -s postgresql`")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    made = filled(Site(tmp_path, server.url.set(database=name).render_as_string(hide_password=False)))
    yield made
    made.close()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def filled(made: Site) -> Site:
    """A site with some runs: one that failed, one that is completed, one that waits, one that compressed a text."""
    made.failed = made.run(
        flow(f"fails {EVIL}", {"id": "b", "intent": "ask", "prompt": "fail"}, agent=f"evil {EVIL}")
    )
    made.completed = made.run(flow("letters"))
    made.waiting = made.run(flow("asks", SEND))
    made.compressed = made.run(flow("a long letter", LONG, budget={"tokens": 3600}))
    events = made.do(made.service.operations.events(made.compressed, kinds=("token_compressed",)))
    made.original = json.loads(events[-1].data)["original"]
    return made

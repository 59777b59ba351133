"""What workers of a fleet execute: a step that asks a model which takes its time and keeps books."""

import asyncio
import os
import time

from fleet_worker import Machine

from intendant.pilot import heartbeats
from intendant.pilot.embedded_dispatch import EmbeddedDispatcher
from intendant.pilot.worker_loop import Worker
from intendant.plugin import Dispatcher, IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import ScriptedProvider, engine

ANSWER = "x" * 450
LONGEST = 500
"""Tokens that an answer may have."""


def note(path, *words):
    """Append a line to the books; short lines of several processes do not mix."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


class Ask(IntentHandler):
    """Asks the model once."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask it",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=LONGEST)
        return StepResult(output=(await request.model.complete(asked)).text)


class Books(ScriptedProvider):
    """Answers after a while, and writes down what it is asked and what it bills."""

    def __init__(self, machine: Machine):
        super().__init__(ANSWER)
        self._machine = machine

    async def complete(self, hold, request):
        note(self._machine.books, "asked", time.monotonic(), hold.key, os.getpid())
        await asyncio.sleep(self._machine.seconds)
        reply = await super().complete(hold, request)
        tokens = reply.usage.input_tokens + reply.usage.output_tokens
        note(self._machine.books, "billed", time.monotonic(), hold.key, tokens)
        return reply


def flow_of(steps, agent="fleet"):
    """A chain of so many steps that each ask the model once."""
    needs = [{"needs": [f"s{number - 1}"]} if number else {} for number in range(steps)]
    made = [{"id": f"s{n}", "intent": "ask", "prompt": f"part {n}", **need} for n, need in enumerate(needs)]
    return {"name": "chain", "agent": agent, "steps": made}


async def work(machine: Machine) -> None:
    """Work until it is stopped."""

    heartbeats.LEASE_SECONDS, heartbeats.BEAT_SECONDS = machine.lease, machine.beat
    dispatcher: Dispatcher = EmbeddedDispatcher()
    if machine.dispatcher == "dbos":
        from intendant_dbos import DbosDispatcher

        url, schema = machine.db, machine.schema
        dispatcher = DbosDispatcher({"url": url, "table_schema": schema, "poll_seconds": 0.1})
    elif machine.dispatcher == "absurd":
        from intendant_absurd import AbsurdDispatcher

        dispatcher = AbsurdDispatcher({"url": machine.db, "poll_seconds": 0.1, "claim_seconds": 3})
    settings = {} if machine.holds is None else {"run": {"call_timeout": machine.holds}}
    async with engine(Ask(), Books(machine), db=machine.db, settings=settings) as service:
        worker = Worker(service._engine, dispatcher=dispatcher, concurrency=machine.concurrency)
        print("ready", flush=True)
        await worker.run()

"""The contract kit sees what it is for: each of these plugins breaks one promise, and the contract names it."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Json,
    Message,
    ModelReply,
    ModelRequest,
    Options,
    Provider,
    ProviderError,
    StepError,
    StepResult,
    Usage,
    operation,
)
from intendant.testing import ConnectorContract, IntentContract, Peer, Place, ProviderContract, Use, watching
from intendant.testing.contract_base import heavy_imports, light_together

SPEC = IntentSpec(name="bad", summary="Be bad", examples=("a", "b", "c", "d", "e"))


class Handler(IntentHandler):
    """Breaks what a subclass breaks."""

    spec = SPEC

    async def handle(self, request):
        return StepResult(output=request.input)


def intent_contract(handler, *steps):
    return type("Contract", (IntentContract,), {"plugin": handler, "steps": steps})()


# --- plugins of any kind ---


def test_a_plugin_that_imports_a_heavy_library_is_seen(request, monkeypatch, tmp_path) -> None:
    texts = {"a_broken": "1 / 0", "b_light": "", "c_heavy": "import sqlalchemy", "d_light": "x = 1"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert light_together(tuple(texts)) == {"b_light"}, "after the heavy one nothing is known"
    assert [heavy_imports(name) for name in ("b_light", "c_heavy", "d_light")] == [(), ("sqlalchemy",), ()]
    contract = intent_contract(type("Heavy", (Handler,), {"__module__": "c_heavy.inner"}))
    with pytest.raises(AssertionError, match=r"importing c_heavy\.inner imports sqlalchemy"):
        contract.test_importing_it_is_light(request)


# --- handlers ---


async def test_a_handler_that_waits_without_awaiting_is_seen(monkeypatch) -> None:
    monkeypatch.setattr(watching, "IDLE_SECONDS", 0.3)

    class Sleeps(Handler):
        """Sleeps."""

        async def handle(self, request):
            time.sleep(0.8)
            return StepResult(output=1)

    monkeypatch.setattr("intendant.testing.intent_contract.AT_ONCE", 1)
    contract = intent_contract(Sleeps, {"input": 1})
    with pytest.raises(AssertionError, match=r"holds the event loop(.|\n)*time\.sleep"):
        await asyncio.to_thread(contract.test_does_its_own_steps)


async def test_a_handler_that_prints_is_seen() -> None:
    class Prints(Handler):
        """Prints."""

        async def handle(self, request):
            print("debug")
            return StepResult(output=1)

    with pytest.raises(AssertionError, match="it printed 'debug"):
        await asyncio.to_thread(intent_contract(Prints, {"input": 1}).test_does_its_own_steps)


async def test_a_handler_that_changes_its_input_is_seen() -> None:
    class Changes(Handler):
        """Changes its input."""

        async def handle(self, request):
            if isinstance(request.input, list):
                request.input.append("mine")
            return StepResult(output=1)

    contract = intent_contract(Changes)
    with pytest.raises(AssertionError, match="it changed its input"):
        await asyncio.to_thread(contract.test_answers_or_refuses_any_input, [{"id": 1}])


async def test_a_handler_that_swallows_cancellation_is_seen(monkeypatch) -> None:
    monkeypatch.setattr(watching.cancelled_within, "__defaults__", (0.5,))

    class Stays(Handler):
        """Goes on when it is cancelled."""

        async def handle(self, request):
            asked = ModelRequest(messages=(Message(content="x"),), max_output_tokens=5)
            try:
                await request.model.complete(asked)
            except asyncio.CancelledError:
                await asyncio.sleep(3)
            return StepResult(output=1)

    with pytest.raises(AssertionError, match="does not end when it is cancelled"):
        await asyncio.to_thread(intent_contract(Stays, {"input": 1}).test_ends_when_it_is_cancelled)


async def test_a_contract_whose_steps_nobody_can_guess_does_not_pass() -> None:
    class Picky(Handler):
        """Does nothing that a stranger would think of."""

        async def handle(self, request):
            raise StepError("say the word")

    with pytest.raises(AssertionError, match="name `steps` that the handler can do"):
        await asyncio.to_thread(intent_contract(Picky).test_does_its_own_steps)


async def test_a_test_that_does_not_end_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0.5)

    class Hangs(Handler):
        """Waits for nothing."""

        async def handle(self, request):
            await asyncio.sleep(3)
            return StepResult(output=1)

    with pytest.raises(AssertionError, match="did not end within"):
        await asyncio.to_thread(intent_contract(Hangs, {"input": 1}).test_does_its_own_steps)


# --- providers ---


class Vendor(Provider):
    """A provider whose vendor is a scenario."""

    name = "vendor"

    def __init__(self, scenario=None) -> None:
        super().__init__()
        self.scenario, self.asked = scenario, None

    def available(self):
        return True

    def models(self):
        return {"fast": "contract-model"}

    async def complete(self, hold, request):
        self.asked = hold.max_output_tokens
        scenario = self.scenario
        if scenario.hangs:
            await asyncio.sleep(60)
        if scenario.status != 200:
            passes = scenario.status in (429, 503)
            raise ProviderError("no", billed=scenario.status >= 500, retryable=passes)
        usage = Usage(input_tokens=scenario.input_tokens, output_tokens=scenario.output_tokens)
        return ModelReply(text=scenario.text, usage=usage, model=hold.model, provider=self.name)


def provider_contract(provider):
    @asynccontextmanager
    async def peer(_self, scenario):
        made = provider(scenario)
        yield Peer(made, lambda: made.asked)

    return type("Contract", (ProviderContract,), {"plugin": provider, "peer": peer})()


class Unclamped(Vendor):
    """Asks for what the request asks for."""

    async def complete(self, hold, request):
        reply = await super().complete(hold, request)
        self.asked = request.max_output_tokens
        return reply


class Own(Vendor):
    """Lets the SDK's errors through."""

    async def complete(self, hold, request):
        try:
            return await super().complete(hold, request)
        except ProviderError:
            raise OSError("the SDK says no") from None


class Guesses(Vendor):
    """Reports what it thinks."""

    async def complete(self, hold, request):
        reply = await super().complete(hold, request)
        return reply.model_copy(update={"usage": Usage(input_tokens=1, output_tokens=1)})


class Billed(Vendor):
    """Takes every error for one that is charged."""

    async def complete(self, hold, request):
        try:
            return await super().complete(hold, request)
        except ProviderError as error:
            raise ProviderError(error.message, billed=True, retryable=error.retryable) from None


PROVIDERS = [
    (Unclamped, "test_asks_for_no_longer_answer_than_is_held", (), "4000 were asked for"),
    (Guesses, "test_answers_with_what_the_vendor_reports", (), r"\(1, 1\)"),
    (Own, "test_raises_provider_errors", (401,), "the SDK says no"),
    (Billed, "test_raises_provider_errors", (429,), "is not charged"),
]


@pytest.mark.parametrize(("provider", "test", "given", "said"), PROVIDERS)
async def test_a_provider_that_breaks_a_promise_is_seen(provider, test, given, said) -> None:
    with pytest.raises((AssertionError, OSError), match=said):
        await asyncio.to_thread(getattr(provider_contract(provider), test), *given)


async def test_a_provider_that_keeps_all_promises_passes() -> None:
    contract = provider_contract(Vendor)
    for name in dir(contract):
        if name.startswith("test_") and name != "test_refuses_unknown_settings" and "light" not in name:
            given = (401,) if name == "test_raises_provider_errors" else ()
            await asyncio.to_thread(getattr(contract, name), *given)


async def test_a_provider_that_cannot_be_called_does_not_pass() -> None:
    contract = type("Contract", (ProviderContract,), {"plugin": Vendor})()
    with pytest.raises(AssertionError, match="override `peer`"):
        await asyncio.to_thread(contract.test_answers_with_what_the_vendor_reports)


# --- connectors ---


class Box(Connector):
    """A box."""

    name = "box"

    @operation(side_effects=False)
    async def look(self, parameters: Options, call: ConnectorCall) -> Json:
        """Look into it."""
        return {"seen": call.input}


class Untyped(Box):
    """Gives what is no JSON."""

    @operation(side_effects=False)
    async def look(self, parameters: Options, call: ConnectorCall) -> Json:
        """Look into it."""
        return {"seen": {1, 2}}


class Sorts(Box):
    """Sorts what it was given."""

    @operation(side_effects=False)
    async def look(self, parameters: Options, call: ConnectorCall) -> Json:
        """Look into it."""
        call.input.sort()
        return None


CONNECTORS = [
    (Untyped, {"look": Use({}, [2, 1])}, "gave what is no JSON"),
    (Sorts, {"look": Use({}, [2, 1])}, "changed the step's input"),
    (Box, {}, "has no use of look"),
    (Box, {"look": Use({}, [2, 1])}, ""),
]


@pytest.mark.parametrize(("connector", "uses", "said"), CONNECTORS)
async def test_each_operation_of_a_connector_is_done_and_looked_at(connector, uses, said) -> None:
    @asynccontextmanager
    async def place(_self):
        yield Place(connector(), uses)

    contract = type("Contract", (ConnectorContract,), {"plugin": connector, "place": place})()
    if not said:
        await asyncio.to_thread(contract.test_does_each_operation)
        return
    with pytest.raises(AssertionError, match=said):
        await asyncio.to_thread(contract.test_does_each_operation)

"""What every plugin promises, as tests. Subclass the class of your plugin's kind:

```python
from intendant.testing import IntentContract

class TestHaiku(IntentContract):
    plugin = Haiku
```

or sweep everything that is installed: see `intendant.testing.sweep`.
"""

import asyncio
import copy
import functools
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import lru_cache
from typing import Any, ClassVar

import pytest

from intendant.hooks.bases import BudgetStrategy, Classifier, Compressor, IntentHandler, Plugin, Tier
from intendant.hooks.connectors import Connector, ConnectorCall
from intendant.hooks.providers import Provider
from intendant.model.errors import ConnectorError, IntendantError, SettingsError
from intendant.model.requests import (
    BudgetLine,
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    ModelOffer,
    Options,
    RouteRequest,
)
from intendant.model.workflow import Json, Step
from intendant.spending.tokens import estimate_tokens
from intendant.testing.fakes import ScriptedProvider, run_steps


def _in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs an async test with the standard library alone, so that authors need no pytest plugin."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


EXAMPLES = 5
HEAVY = ("anthropic", "openai", "sqlalchemy", "tiktoken", "bpe_openai", "genai_prices", "duckdb")

INPUTS: tuple[Json, ...] = (
    None,
    "",
    "Order 17 of 2026-03-04 for Ada Lovelace is NOT paid: 1,250.00 EUR are open. See https://example.org/17.",
    [
        {"id": 1, "name": "Ada", "total": 12.5},
        {"id": 2, "name": "Bo", "total": None},
        {"id": 2, "name": "Çağ"},
    ],
    [1, "two", None, {"three": [3]}],
    {"rows": [{"a": 1}], "next": None},
    17,
)
"""Inputs that any handler may meet; it answers, or refuses with a `StepError`."""

TEXTS = {
    "prose": "The fleet has 12 ships. Not one of them is lost. " * 40,
    "json": json.dumps([{"id": n, "state": "open", "owner": {"name": f"user{n % 7}"}} for n in range(80)]),
    "log": "\n".join(f"2026-01-02 03:04:{n % 60:02d} INFO worker-{n % 3} done in {n} ms" for n in range(120)),
    "markdown": "# Title\n\n| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 50 + "\n```python\nif x:\n    y = 1\n```\n",
    "code": "def f(x):\n    if x:\n        return 1\n    return 2\n\n\n" * 40,
    "one line": "word " * 4000,
    "other scripts": "数据 обработка données 🚀 " * 200,
    "lone surrogate": "broken \ud800 text " * 200,
    "deep": "[" * 500 + "]" * 500,
    "empty": "",
}


class PluginContract:
    """What plugins of every kind promise."""

    plugin: ClassVar[type[Plugin]]
    """The plugin's class."""
    entry_point: ClassVar[str | None] = None
    """Its entry point's name, if it is installed."""

    def make(self) -> Any:
        """The plugin with its default settings."""
        return self.plugin()

    def test_needs_no_arguments_and_says_its_name(self) -> None:
        """It can be made without arguments, and calls itself what its entry point says."""
        made = self.make()
        assert made.name, "a plugin has a name"
        if self.entry_point is not None:
            assert made.name == self.entry_point, f"it calls itself '{made.name}', not '{self.entry_point}'"

    def test_is_described(self) -> None:
        """Its class has a docstring of its own."""
        assert (self.plugin.__dict__.get("__doc__") or "").strip(), f"{self.plugin.__name__} has no docstring"

    def test_refuses_unknown_settings(self) -> None:
        """A setting it does not know is an error, not ignored."""
        with pytest.raises(SettingsError):
            self.plugin({"no_such_setting_": 1})

    def test_importing_it_is_light(self) -> None:
        """Importing it imports no SDK, database or tokenizer."""
        heavy = heavy_imports(self.plugin.__module__.partition(".")[0])
        assert not heavy, (
            f"importing {self.plugin.__module__} imports {', '.join(heavy)}; import them where they are used"
        )

    def test_hooks_are_plain_functions(self) -> None:
        """No hook is an `async def`, whose coroutine would count as an answer."""
        for name in ("classify", "allocate_budget", "compress", "route", "handle_intent"):
            hook = getattr(self.plugin, name, None)
            assert not inspect.iscoroutinefunction(hook), f"`{name}` is an async def"

    def test_contract_is_not_overridden(self) -> None:
        """A test of the contract that a plugin cannot pass is marked `xfail(reason=…)`, not replaced."""
        contract = next(base for base in type(self).__mro__ if base.__module__ == __name__)
        for name in dir(contract):
            if name.startswith("test_"):
                own, original = getattr(type(self), name), getattr(contract, name)
                marks = [mark.name for mark in getattr(own, "pytestmark", [])]
                assert own is original or "xfail" in marks, f"{name} is overridden without xfail(reason=…)"


class IntentContract(PluginContract):
    """What intent handlers promise."""

    plugin: ClassVar[type[IntentHandler]]
    steps: ClassVar[tuple[dict[str, Json], ...]] = ()
    """Steps that it can do, besides those the contract makes up."""

    def test_declares_its_intent(self) -> None:
        """It has five different example steps or more, and a one-line summary."""
        spec = self.make().spec
        assert len(set(spec.examples)) >= EXAMPLES, "five different examples teach the classifier"
        assert spec.summary
        assert "\n" not in spec.summary

    @pytest.mark.parametrize("value", INPUTS, ids=lambda value: type(value).__name__)
    @_in_a_loop
    async def test_answers_or_refuses_any_input(self, value: Json) -> None:
        """Whatever comes in, it answers with JSON or refuses with a user's error, and changes nothing."""
        before = copy.deepcopy(value)
        extras: tuple[dict[str, Json], ...] = ({}, {"prompt": "Do what you are for"}, {"with": {}})
        for extra in extras:
            step = {"id": "a", "intent": self.make().name, "input": "{{ inputs.value }}", **extra}
            try:
                result = await run_steps([step], self.make(), ScriptedProvider("{}"), inputs={"value": value})
            except IntendantError:
                continue  # refused before the run
            failure = result.steps["a"].failure
            refused = failure is None or "raised" not in failure.message
            assert refused, f"on {value!r} with {extra}: {failure}"
            assert value == before, "it changed its input"

    @_in_a_loop
    async def test_does_its_own_steps(self) -> None:
        """It can do the steps given as `steps`, many at once."""
        for step in self.steps:
            many = [{**step, "id": f"s{n}", "intent": self.make().name} for n in range(20)]
            result = await run_steps(many, self.make())
            assert not result.failures, result.failures


class CompressorContract(PluginContract):
    """What compressors promise."""

    plugin: ClassVar[type[Compressor]]

    @pytest.mark.parametrize("name", TEXTS)
    @_in_a_loop
    async def test_is_never_longer_and_counts_right(self, name: str) -> None:
        """What it returns is shorter than what it got, by the count it was given, and the same each time."""
        text = TEXTS[name]
        tokens = estimate_tokens(text)
        for target in (tokens, tokens // 2, tokens // 10, 1):
            request = self._request(text, tokens, target)
            answer = await _settled(self.make().compress(request))
            if answer is None:
                continue
            assert answer.tokens_after == estimate_tokens(answer.text)
            assert answer.tokens_after <= tokens
            assert answer.strategy == self.make().name
            assert answer.text == (await _settled(self.make().compress(request))).text

    @_in_a_loop
    async def test_lossless_ones_are_lossless_in_the_lossless_round(self) -> None:
        """In the lossless round, which only asks lossless compressors, the answer loses nothing."""
        made = self.make()
        if not made.lossless:
            return
        text = TEXTS["json"]
        request = self._request(text, estimate_tokens(text), 10).model_copy(update={"lossless_only": True})
        answer = await _settled(made.compress(request))
        assert answer is None or answer.lossless or answer.preserving

    def _request(self, text: str, tokens: int, target: int) -> CompressRequest:
        return CompressRequest(text=text, tokens=tokens, target_tokens=target, count=estimate_tokens)


class TierContract(PluginContract):
    """What tiers promise."""

    plugin: ClassVar[type[Tier]]

    def _ask(self, difficulty: float, **more: Any) -> Any:
        made = self.make()
        offers = (ModelOffer(provider="p", models={made.name: "m"}),)
        request = RouteRequest(step_id="s", intent="x", difficulty=difficulty, offers=offers, **more)
        return made.route(request)

    def test_takes_easier_steps_before_harder_ones(self) -> None:
        """A tier that takes a step takes every easier one."""
        taken = [self._ask(score / 2) is not None for score in range(21)]
        assert taken == sorted(taken, reverse=True)
        assert taken[0], "even the easiest step is declined, so the tier can never be reached"

    def test_answers_for_itself(self) -> None:
        """The route names this tier, and the model that was offered for it."""
        route = self._ask(0)
        assert (route.tier, route.provider, route.model) == (self.make().name, "p", "m")

    def test_helps_as_a_last_resort(self) -> None:
        """Where every tier declined, the hardest step is taken too."""
        assert self._ask(10, last_resort=True) is not None


class BudgetContract(PluginContract):
    """What budget strategies promise."""

    plugin: ClassVar[type[BudgetStrategy]]

    @pytest.mark.parametrize("count", [0, 1, 3, 50])
    @pytest.mark.parametrize("total", [0, 10, 20_000, 10**9])
    def test_shares_what_there_is(self, count: int, total: int) -> None:
        """The sum is within the total, each share within its cap, and nothing that could be used is stranded."""
        made = self.make()
        lines = tuple(
            BudgetLine(step_id=f"s{n}", intent=("a", "b")[n % 2], baseline=500 + n, critical=n == 1)
            for n in range(count)
        )
        answer = made.allocate(BudgetRequest(total=total, lines=lines, strategy=made.name))
        caps = {line.step_id: line.cap for line in lines}
        assert all(0 <= answer.tokens[step] <= caps[step] for step in answer.tokens)
        assert sum(answer.tokens.values()) == min(total, sum(caps.values()))


class ClassifierContract(PluginContract):
    """What classifiers promise."""

    plugin: ClassVar[type[Classifier]]

    @pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
    @_in_a_loop
    async def test_is_as_sure_as_asked(self, threshold: float) -> None:
        """It declines rather than answer with less confidence than the threshold."""
        for step in (
            Step(id="a", name="Send the report to the team"),
            Step(id="b"),
            Step(id="c", name="数据", prompt="\ud800"),
            Step(id="d", uses="file.read", with_={"path": "x"}),
        ):
            answer = await _settled(
                self.make().classify(ClassifyRequest(step=step, intents=(), threshold=threshold))
            )
            assert answer is None or answer.confidence >= threshold


class ProviderContract(PluginContract):
    """What providers promise."""

    plugin: ClassVar[type[Provider]]

    def test_tells_its_models_without_a_network(self) -> None:
        """Whether it can be used and which models it has is known at once."""
        made = self.make()
        assert isinstance(made.available(), bool)
        assert all(isinstance(tier, str) and isinstance(model, str) for tier, model in made.models().items())


class ConnectorContract(PluginContract):
    """What connectors promise."""

    plugin: ClassVar[type[Connector]]

    def test_describes_its_operations(self) -> None:
        """Each operation has a summary, and parameters that refuse unknown names."""
        made = self.make()
        assert made.operations, "a connector can do something"
        for name, operation in made.operations.items():
            assert operation.summary, f"{name} has no docstring"
            assert issubclass(made.parameters_of(name), Options), f"the parameters of {name} are no Options"

    @_in_a_loop
    async def test_refuses_unknown_parameters(self) -> None:
        """A parameter it does not know is an error meant for users."""
        made = self.make()
        for name in made.operations:
            with pytest.raises(ConnectorError):
                await made.do(name, {"no_such_parameter_": 1}, ConnectorCall(None, "k", "r", "s"))


async def _settled(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


@lru_cache(maxsize=256)
def heavy_imports(module: str) -> tuple[str, ...]:
    """The heavy libraries that importing *module* imports, tried in a fresh interpreter."""
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(  # noqa: S603  # our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(done.stdout.split())


CONTRACTS: dict[str, type[PluginContract]] = {
    "intent": IntentContract,
    "compress": CompressorContract,
    "tier": TierContract,
    "budget": BudgetContract,
    "classify": ClassifierContract,
    "provider": ProviderContract,
    "connector": ConnectorContract,
}


def sweep() -> Iterator[type[PluginContract]]:
    """A test class for each installed plugin, so that one short file tests them all:

    ```python
    from intendant.testing import sweep

    globals().update({contract.__name__: contract for contract in sweep()})
    ```
    """
    from intendant.hooks import discovery

    classes, _ = discovery.load(discovery.list_plugins())
    for record, plugin in classes:
        base = CONTRACTS.get(record.kind, PluginContract)
        name = f"Test_{record.kind}_{record.name}"
        yield type(name, (base,), {"plugin": plugin, "entry_point": record.name, "__module__": "contracts"})

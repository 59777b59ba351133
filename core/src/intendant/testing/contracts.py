"""What every plugin promises, as tests. Subclass the class of your plugin's kind:

```python
from intendant.testing import IntentContract

class TestHaiku(IntentContract):
    plugin = Haiku
    steps = ({"prompt": "rain"},)
```

or sweep everything that is installed: see `intendant.testing.sweep`. Tests run under watch-dogs: see `watching`.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from intendant.hooks.bases import BudgetStrategy, Classifier, Compressor, Tier
from intendant.model.requests import (
    BudgetLine,
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    ModelOffer,
    RouteRequest,
)
from intendant.model.workflow import Step
from intendant.spending.tokens import estimate_tokens
from intendant.testing.connector_contract import ConnectorContract
from intendant.testing.contract_base import PluginContract, settled
from intendant.testing.dispatcher_contract import DispatcherContract
from intendant.testing.intent_contract import IntentContract
from intendant.testing.provider_contract import ProviderContract
from intendant.testing.watching import watched

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


class CompressorContract(PluginContract):
    """What compressors promise."""

    plugin: ClassVar[type[Compressor]]

    @pytest.mark.parametrize("name", TEXTS)
    @watched
    async def test_is_never_longer_and_counts_right(self, name: str) -> None:
        """What it returns is shorter than what it got, by the count it was given, and the same each time."""
        text = TEXTS[name]
        tokens = estimate_tokens(text)
        for target in (tokens, tokens // 2, tokens // 10, 1):
            request = self._request(text, tokens, target)
            answer = await settled(self.make().compress(request))
            if answer is None:
                continue
            assert answer.tokens_after == estimate_tokens(answer.text)
            assert answer.tokens_after <= tokens
            assert answer.strategy == self.make().name
            assert answer.text == (await settled(self.make().compress(request))).text

    @watched
    async def test_lossless_ones_are_lossless_in_the_lossless_round(self) -> None:
        """In the lossless round, which only asks lossless compressors, the answer loses nothing."""
        made = self.make()
        if not made.lossless:
            return
        text = TEXTS["json"]
        request = self._request(text, estimate_tokens(text), 10).model_copy(update={"lossless_only": True})
        answer = await settled(made.compress(request))
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
    @watched
    async def test_is_as_sure_as_asked(self, threshold: float) -> None:
        """It declines rather than answer with less confidence than the threshold."""
        for step in (
            Step(id="a", name="Send the report to the team"),
            Step(id="b"),
            Step(id="c", name="数据", prompt="\ud800"),
            Step(id="d", uses="file.read", with_={"path": "x"}),
        ):
            answer = await settled(
                self.make().classify(ClassifyRequest(step=step, intents=(), threshold=threshold))
            )
            assert answer is None or answer.confidence >= threshold


CONTRACTS: dict[str, type[PluginContract]] = {
    "intent": IntentContract,
    "compress": CompressorContract,
    "tier": TierContract,
    "budget": BudgetContract,
    "classify": ClassifierContract,
    "provider": ProviderContract,
    "connector": ConnectorContract,
    "dispatcher": DispatcherContract,
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
        facts = {"plugin": plugin, "entry_point": record.name, "swept": True, "__module__": "contracts"}
        yield type(name, (base,), facts)

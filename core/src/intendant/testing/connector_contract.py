"""What connectors promise, as tests."""

import copy
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, NamedTuple

import pytest

from intendant.hooks.connectors import Connector, ConnectorCall
from intendant.model.errors import ConnectorError
from intendant.model.requests import Options
from intendant.model.workflow import Json
from intendant.testing.contract_base import PluginContract
from intendant.testing.watching import watched


class Use(NamedTuple):
    """One use of an operation."""

    parameters: Mapping[str, Json]
    """What a step says under `with`."""
    input: Json = None
    """The step's input."""


class Place(NamedTuple):
    """A connector, and a use of each of its operations, in the order in which they are done."""

    connector: Connector
    uses: Mapping[str, Use]


class ConnectorContract(PluginContract):
    """What connectors promise.

    Example:
        ```python
        class TestWeather(ConnectorContract):
            plugin = WeatherConnector

            @asynccontextmanager
            async def place(self):
                async with weather_station() as url:
                    yield Place(WeatherConnector({"url": url}), {"today": Use({"city": "Paris"})})
        ```
    """

    plugin: ClassVar[type[Connector]]

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """The connector in front of a place of its own, and a use of each operation."""
        self.unsaid("override `place`, so that the contract can do each operation")
        yield Place(self.make(), {})

    def test_describes_its_operations(self) -> None:
        """Each operation has a summary, and parameters that refuse unknown names."""
        made = self.make()
        assert made.operations, "a connector can do something"
        for name, operation in made.operations.items():
            assert operation.summary, f"{name} has no docstring"
            assert issubclass(made.parameters_of(name), Options), f"the parameters of {name} are no Options"

    @watched
    async def test_refuses_unknown_parameters(self) -> None:
        """A parameter it does not know is an error meant for users."""
        made = self.make()
        for name in made.operations:
            with pytest.raises(ConnectorError):
                await made.do(name, {"no_such_parameter_": 1}, ConnectorCall(None, "k", "r", "s"))

    @watched
    async def test_does_each_operation(self) -> None:
        """Each operation gives JSON, leaves what it was given as it is, and says what it does to the outside."""
        async with self.place() as (connector, uses):
            try:
                missing = [name for name in connector.operations if name not in uses]
                assert not missing, f"`place` has no use of {', '.join(missing)}"
                for name, use in uses.items():
                    await _used(connector, name, use)
            finally:
                await connector.close()


async def _used(connector: Connector, name: str, use: Use) -> None:
    parameters, given = dict(copy.deepcopy(use.parameters)), copy.deepcopy(use.input)
    effect = await connector.effect_of(name, connector.checked(name, parameters))
    marked = connector.operations[name]
    assert not (effect.side_effects and not marked.side_effects), f"{name} changes more than it says"
    found: Any = await connector.do(name, parameters, ConnectorCall(given, f"key-{name}", "run", "step"))
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name} gave what is no JSON: {error}") from None
    assert given == use.input, f"{name} changed the step's input"
    assert parameters == dict(use.parameters), f"{name} changed its parameters"

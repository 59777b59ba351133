"""The base class of connectors: places that steps read from and write to."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_type_hints

from pydantic import BaseModel, ValidationError

from intendant.hooks.bases import Plugin, first_error
from intendant.model.errors import ConnectorError
from intendant.model.requests import Operation
from intendant.model.workflow import Json


@dataclass(frozen=True, slots=True)
class ConnectorCall:
    """What a connector's operation is told besides its parameters."""

    input: Json
    """The step's input: what to send or write."""
    idempotency_key: str
    run_id: str
    step_id: str


OperationMethod = Callable[..., Awaitable[Json]]


def operation(*, side_effects: bool, idempotent: bool = False) -> Callable[[OperationMethod], OperationMethod]:
    """Mark a method of a `Connector` as something that workflows may use.

    Args:
        side_effects: True if it changes anything outside.
        idempotent: True if doing it twice leaves the same state as doing it once.
    """

    def mark(method: OperationMethod) -> OperationMethod:
        method.__intendant_operation__ = (side_effects, idempotent)  # type: ignore[attr-defined]
        return method

    return mark


class Connector(Plugin):
    """Reads from and writes to one kind of place.

    Example:
        ```python
        class Ask(Options):
            city: str

        class WeatherConnector(Connector):
            \"\"\"Tells the weather.\"\"\"

            name = "weather"

            @operation(side_effects=False)
            async def today(self, parameters: Ask, call: ConnectorCall) -> Json:
                \"\"\"Today's weather in a city.\"\"\"
                return {"city": parameters.city, "sky": "blue"}
        ```
        A step then says `uses: weather.today` and `with: {city: Paris}`.
    """

    kind = "connector"

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """What it can do, by name."""
        return {name: self._describe(name) for name in dir(type(self)) if self._mark(name) is not None}

    def _mark(self, name: str) -> tuple[bool, bool] | None:
        return getattr(inspect.getattr_static(self, name, None), "__intendant_operation__", None)

    def parameters_of(self, name: str) -> type[BaseModel]:
        """The model of the parameters of operation *name*."""
        model: type[BaseModel] = get_type_hints(getattr(type(self), name))["parameters"]
        return model

    def _describe(self, name: str) -> Operation:
        mark = self._mark(name)
        if mark is None:
            raise KeyError(name)
        doc = inspect.getdoc(getattr(self, name)) or ""
        return Operation(
            name=name,
            summary=doc.partition("\n")[0],
            side_effects=mark[0],
            idempotent=mark[1],
            parameters=self.parameters_of(name).model_json_schema(),
        )

    async def do(self, name: str, parameters: Mapping[str, Json], call: ConnectorCall) -> Json:
        """Do operation *name*.

        Raises:
            ConnectorError: The parameters are wrong, or the place cannot be read or written.
        """
        try:
            checked = self.parameters_of(name).model_validate(dict(parameters))
        except ValidationError as error:
            raise ConnectorError(f"`with` of {self.name}.{name} is wrong: {first_error(error)}") from None
        method: OperationMethod = getattr(self, name)
        return await method(checked, call)

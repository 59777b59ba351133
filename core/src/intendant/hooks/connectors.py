"""The base class of connectors: places that steps read from and write to."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import ClassVar, NamedTuple, get_type_hints

from pydantic import BaseModel, ValidationError

from intendant.hooks.bases import Plugin, first_error
from intendant.hooks.file_roots import FileRoots
from intendant.model.errors import ConnectorError
from intendant.model.record_access import RecordSource
from intendant.model.requests import Operation
from intendant.model.workflow import Json


@dataclass(frozen=True, slots=True)
class ConnectorCall:
    """What a connector's operation is told besides its parameters."""

    input: Json
    """The step's input: what to send or write."""
    idempotency_key: str
    """The same for each attempt at a delivery; hand it on to whatever can recognise a repetition."""
    run_id: str
    step_id: str
    folder: str = ""
    """The folder of the workflow's file, where relative paths are looked for first; empty if it has none."""
    notes: list[str] = field(default_factory=list)
    """Add what the step's reader should know."""
    charged: list[int] = field(default_factory=list)
    """Add what the use has cost, in micro-US$, where that is known. Without it, what `Connector.cost_of` said is
    charged."""

    def short_key(self, characters: int = 40) -> str:
        """The idempotency key in so many characters at most, of letters and digits; deliveries differ in it.

        A step's second delivery differs from its first at the end of the key alone, so that a key which was cut
        would be that of both.
        """
        first, _, use = self.idempotency_key.partition("~")
        return (sha256(self.idempotency_key.encode()).hexdigest() if use else first)[:characters]


class Effect(NamedTuple):
    """What one use of an operation does to the outside."""

    side_effects: bool
    """True if it changes anything outside: it is then recorded before it begins and after it ended."""
    idempotent: bool = False
    """True if doing it twice leaves the same state as doing it once."""


class LocalFiles(NamedTuple):
    """The files of this machine that one use of an operation reads and writes, as they stand in its parameters."""

    roots: FileRoots
    """Where they may be, and are looked for."""
    reads: Sequence[str] = ()
    """Paths or patterns."""
    writes: Sequence[str] = ()


OperationMethod = Callable[..., Awaitable[Json | RecordSource]]


def operation(
    *,
    side_effects: bool,
    idempotent: bool = False,
    varies: bool = False,
    flows: bool = False,
    needs_input: bool | None = None,
) -> Callable[[OperationMethod], OperationMethod]:
    """Mark a method of a `Connector` as something that workflows may use.

    Args:
        side_effects: True if it changes anything outside.
        idempotent: True if doing it twice leaves the same state as doing it once.
        varies: True if `effect_of` may say less of a use with certain parameters.
        flows: True if it takes records that are too many to be held: `call.input` is then a
            `RecordStream` in place of a list, which is read in a thread.
        needs_input: True if a step has to give an `input`, which is sent or written; by default so where it
            changes anything outside. Override `Connector.needs_input` where that depends on the parameters.
    """

    def mark(method: OperationMethod) -> OperationMethod:
        method.__intendant_operation__ = (side_effects, idempotent)  # type: ignore[attr-defined]
        method.__intendant_varies__ = varies  # type: ignore[attr-defined]
        method.__intendant_flows__ = flows  # type: ignore[attr-defined]
        method.__intendant_input__ = side_effects if needs_input is None else needs_input  # type: ignore[attr-defined]
        return method

    return mark


def _mark_of(kind: type, name: str) -> tuple[bool, bool] | None:
    return getattr(inspect.getattr_static(kind, name, None), "__intendant_operation__", None)


@lru_cache(maxsize=1024)
def _operation_names(kind: type) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if _mark_of(kind, name) is not None)


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
        A step then says `uses: weather.today` and `with: {city: Paris}`. Connectors that reach other machines
        subclass `NetworkConnector`.
    """

    kind = "connector"
    statements: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are statements of a language, such as `sql`. A reference within other text is an error of
    the workflow there, because what it stands for would become part of the statement."""

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """What it can do, by name."""
        return {name: self._describe(name) for name in self.operation_names()}

    def operation_names(self) -> tuple[str, ...]:
        """The names of `operations`, which describe their parameters besides."""
        return _operation_names(type(self))

    def _mark(self, name: str) -> tuple[bool, bool] | None:
        return _mark_of(type(self), name)

    def needs_input(self, name: str, given: Mapping[str, Json]) -> bool:  # noqa: ARG002  # for subclasses
        """Whether a step that uses operation *name* has to give an `input`; by default what `operation` says.

        Args:
            name: The operation.
            given: The step's `with`, in which references may stand.
        """
        return bool(getattr(inspect.getattr_static(self, name), "__intendant_input__", False))

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:  # noqa: ARG002  # for subclasses
        """Why a step that uses operation *name* cannot succeed with the settings as they are: plans warn of it.
        Must not reach outside. By default nothing.

        Args:
            name: The operation.
            given: The step's `with`. What is known before the run is put in place of references; others stand as
                they are written.
        """
        return ()

    def files(self, name: str, given: Mapping[str, Json], folder: str) -> LocalFiles | None:  # noqa: ARG002
        """Which files operation *name* reads and writes: plans warn of those that are not there, unless a step
        before writes them. Must not reach outside. By default none.

        Args:
            name: The operation.
            given: As of `doubts`.
            folder: The folder of the workflow's file; empty if it has none.
        """
        return None

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
            varies=getattr(inspect.getattr_static(self, name), "__intendant_varies__", False),
            parameters=self.parameters_of(name).model_json_schema(),
        )

    async def effect_of(self, name: str, parameters: BaseModel) -> Effect:  # noqa: ARG002  # for subclasses
        """What operation *name* with these parameters does to the outside; by default what `operation` says.

        Override it where that depends on the parameters.

        Raises:
            ConnectorError: It cannot be told.
        """
        mark = self._mark(name)
        if mark is None:
            raise KeyError(name)
        return Effect(*mark)

    async def cost_of(self, name: str, parameters: BaseModel) -> int:  # noqa: ARG002  # for subclasses
        """What operation *name* with these parameters costs at most at the service that charges for it, in
        micro-US$; by default 0. It is held in the budgets before the operation is done, and charged afterwards.

        Raises:
            ConnectorError: It cannot be told.
        """
        return 0

    async def parameters_known(self, name: str, fixed: Mapping[str, Json]) -> Mapping[str, Json]:  # noqa: ARG002
        """What is known more closely of parameters of operation *name* where *fixed* are given: JSON Schemas by
        their names, for models that may call it. By default nothing.

        Raises:
            ConnectorError: It cannot be told.
        """
        return {}

    def checked(self, name: str, parameters: Mapping[str, Json]) -> BaseModel:
        """The parameters of operation *name* as its model.

        Raises:
            ConnectorError: They are wrong; the message shows no value.
        """
        try:
            return self.parameters_of(name).model_validate(dict(parameters))
        except ValidationError as error:
            message = f"`with` of {self.name}.{name} is wrong: {first_error(error, parameters)}"
            raise ConnectorError(message, delivered=False) from None

    async def do(self, name: str, parameters: Mapping[str, Json], call: ConnectorCall) -> Json | RecordSource:
        """Do operation *name*.

        Raises:
            ConnectorError: The parameters are wrong, or the place cannot be read or written.
        """
        method: OperationMethod = getattr(self, name)
        return await method(self.checked(name, parameters), call)

    def flows(self, name: str) -> bool:
        """True if operation *name* takes records that are too many to be held."""
        return bool(getattr(inspect.getattr_static(self, name), "__intendant_flows__", False))

    def open_records(self, about: Mapping[str, Json]) -> Iterator[list[Json]]:
        """Read again what a `RecordSource` of this connector stands for, in batches; it runs in a thread.

        Args:
            about: What the source said.

        Raises:
            ConnectorError: It cannot be read, or has changed since.
        """
        raise ConnectorError(f"the connector '{self.name}' has no records that can be read again: {sorted(about)}")

    def check_records(self, about: Mapping[str, Json]) -> None:
        """Pass if what a `RecordSource` stands for is what it was; it runs in a thread.

        Raises:
            ConnectorError: It has changed, or is gone.
        """
        next(self.open_records(about), None)

    async def close(self) -> None:
        """Give connections back. By default there are none."""

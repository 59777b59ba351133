"""Calls the tools that a model asks for. Whatever it asks for is checked here; what changes the outside is made
once, as any delivery of a step.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

from intendant.hooks.connectors import Effect
from intendant.model.errors import (
    ConnectorError,
    IntendantError,
    PossiblySent,
    SecretMissing,
    StepError,
    StoreError,
)
from intendant.model.requests import Tool
from intendant.model.results import ToolCall
from intendant.model.workflow import Json
from intendant.pilot.deliveries import ConnectorUse, Permit
from intendant.pilot.tool_offers import OfferedTool

Outcome = Literal["done", "failed", "refused", "repeated"]
SHOWN = 60
"""Characters of a name that a model made up that are shown."""
LONGEST_ERROR = 600
"""Characters of an error that the model is told."""


class Told(NamedTuple):
    """What came of a call, for the model."""

    outcome: Outcome
    value: Json
    """What the tool gave, or what is to be said instead."""


class NotPermitted(StepError):
    """A call would change something outside, and its step does not permit that. Nothing was done."""


AskPeople = Callable[[OfferedTool, Mapping[str, Json], Json], Awaitable[str]]
"""Asks people about a call; gives why it is not made, or nothing. Raises where they have not answered yet."""
MakeUse = Callable[[OfferedTool, Mapping[str, Json], str, Permit], ConnectorUse]
"""Binds a tool to what the model gave, under a key for what it delivers."""


class ToolBox:
    """The tools of one attempt at a step.

    Args:
        tools: What the model may call.
        use: Makes the connector's use of a call.
        identity: Of the step in its run: what is delivered is keyed by it.
        ask: Asks people about calls that change something outside; None where nothing is changed.

    Attributes:
        notes: What the step's reader should know of what connectors did.
    """

    def __init__(
        self, tools: Sequence[OfferedTool], use: MakeUse, identity: str, ask: AskPeople | None = None
    ) -> None:
        self._tools = {tool.tool.name: tool for tool in tools}
        self._use = use
        self._identity = identity
        self._ask = ask
        self.notes: list[str] = []

    @property
    def offers(self) -> tuple[Tool, ...]:
        """What the model is told of the tools, always in the same order."""
        return tuple(tool.tool for tool in self._tools.values())

    def operation_of(self, name: str) -> str:
        """The operation behind a name; empty if there is none."""
        tool = self._tools.get(name)
        return "" if tool is None else tool.use.uses

    async def call(self, call: ToolCall, before: int = 0) -> Told:
        """Do what a model asks for, if that may be done.

        Args:
            call: What it asks for.
            before: How often it was told before what this call gives.

        Raises:
            AsksPeople: People are to decide first.
            ConnectorError: A change to the outside may have been made, now or by an earlier attempt.
            SecretMissing: A secret of the tool's `with` is not set.
            StoreError: The database cannot be used.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return Told("refused", f"there is no tool '{call.name[:SHOWN]}'; there are: {', '.join(self._tools)}")
        if call.malformed:
            return Told("refused", f"its arguments are no JSON object: {call.malformed[:SHOWN]}")
        if before == 1:
            return Told("repeated", "you made this call before: what it gave stands above")
        if before:
            return Told("refused", "you made this call before, and were told so: use what it gave, or answer")
        if faults := await tool.schema.errors_async(dict(call.arguments)):
            return Told("refused", f"its arguments are wrong: {'; '.join(faults)}")
        return await self._made(tool, call)

    async def _made(self, tool: OfferedTool, call: ToolCall) -> Told:
        given, value = tool.split(call.arguments)

        async def permit(effect: Effect) -> None:
            if tool.use.approve is None:
                _check_permitted(tool, effect)
            elif self._ask is not None and (reason := await self._ask(tool, given, value)):
                raise NotPermitted(reason)

        use = self._use(tool, given, self._key(call), permit)
        try:
            return Told("done", await use(value))
        except NotPermitted as error:
            return Told("refused", error.message)
        except (PossiblySent, SecretMissing, StoreError):
            raise
        except ConnectorError as error:
            if use.delivering and error.delivered is not False:
                raise  # the model might try it in other words, and what was done would be done twice
            return Told("failed", _said(error))
        except StepError as error:
            return Told("failed", _said(error))
        finally:
            self.notes += use.notes

    def _key(self, call: ToolCall) -> str:
        """The idempotency key of what a call delivers: the same for the same call in every attempt."""
        return sha256(f"{self._identity}\x1f{signature_of(call)}\x1fdelivery".encode()).hexdigest()


def signature_of(call: ToolCall) -> str:
    """The same for calls of the same tool with the same arguments."""
    return json.dumps([call.name, dict(call.arguments)], sort_keys=True, ensure_ascii=True)


def tool_of(signature: str) -> str:
    """The tool that is called in a call with this signature."""
    return str(json.loads(signature)[0])


def _check_permitted(tool: OfferedTool, effect: Effect) -> None:
    """Pass if a call may change what it changes.

    Raises:
        NotPermitted: It may not.
    """
    allowed = tool.use.effects
    if allowed == "any" or (allowed == "idempotent" and effect.idempotent):
        return
    what = "may change nothing outside" if allowed == "none" else "may change only what can be changed twice"
    raise NotPermitted(f"it would change something outside, and it {what}")


def _said(error: IntendantError) -> str:
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    return text[:LONGEST_ERROR]

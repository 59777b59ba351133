"""What is said of an agent in a file of its own, `agents/NAME.toml`, or in the database."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from intendant.config.layers import parse_toml, read_bounded
from intendant.config.trusted_files import TrustedFiles
from intendant.model.described import Described
from intendant.model.errors import SettingsError
from intendant.model.graph_keys import Limits

FOLDER = "agents"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Agents of other names have no file."""
NOBODY = "default"
"""The agent of workflows that name none; nothing is said, counted or remembered of it as of one agent."""
_TOOL = re.compile(r"(\*|[a-z][a-z0-9_]*)\.(\*|[a-z][a-z0-9_]*)")


class AgentDefinition(Described):
    """What an agent is for, and what its runs may do and take.

    Example:
        ```toml
        description = "Keeps the books"
        tools = ["file.*", "http.get"]
        memory = true

        [budget]
        tokens = 8000

        [limits]
        tokens = 20000
        usd = 0.50
        ```
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field(default="", max_length=5000)
    budget: Limits = Limits()
    """What a run gets where its workflow does not say."""
    limits: Limits = Limits()
    """The most that a run may get, whatever its workflow says."""
    tools: tuple[str, ...] | None = None
    """Operations that its workflows may use, such as `file.read` or `http.*`; None for all that are installed."""
    memory: bool | None = None
    """Whether runs are told what earlier ones came to, and are summed up themselves. None: they are told what is
    there, and not summed up."""
    intensity: bool | float = True
    """Whether its intensity is a prior of what is decided about its runs; or the score itself, 0 to 10."""

    @field_validator("tools")
    @classmethod
    def _are_operations(cls, tools: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for tool in tools or ():
            if not _TOOL.fullmatch(tool):
                raise ValueError(f"'{tool}' is no operation: write such as file.read, or file.*")
        return tools

    @field_validator("intensity")
    @classmethod
    def _is_a_score(cls, intensity: bool | float) -> bool | float:
        if not isinstance(intensity, bool) and not 0 <= intensity <= 10:  # noqa: PLR2004  # a score's range
            raise ValueError("write true, false, or a score from 0 to 10")
        return intensity

    def allows(self, operation: str) -> bool:
        """True if its workflows may use *operation*, such as `file.read`."""
        connector, _, name = operation.partition(".")
        return self.tools is None or any(
            of in ("*", connector) and what in ("*", name)
            for of, _, what in (tool.partition(".") for tool in self.tools)
        )


Origin = Literal["file", "database"]


class Allowance(Described):
    """All that is said of an agent: its file and the database. Limits and tools hold where either sets them."""

    model_config = ConfigDict(frozen=True)

    said: tuple[tuple[Origin, AgentDefinition], ...] = ()
    """What wins comes first: the file, which belongs to the workflow, then the database."""
    file: str = ""

    @property
    def known(self) -> bool:
        """True if anything is said of the agent."""
        return bool(self.said)

    @property
    def budget(self) -> Limits:
        """What a run gets where its workflow does not say: the first that is said."""
        tokens = next((each.budget.tokens for _, each in self.said if each.budget.tokens is not None), None)
        usd = next((each.budget.usd for _, each in self.said if each.budget.usd is not None), None)
        return Limits(tokens=tokens, usd=usd)

    @property
    def limits(self) -> Limits:
        """The most that a run may get: the lowest that is said."""
        tokens = [each.limits.tokens for _, each in self.said]
        usd = [each.limits.usd for _, each in self.said]
        return Limits(tokens=_least(*tokens), usd=_least(*usd))

    def allows(self, operation: str) -> bool:
        """True if nothing that is said forbids *operation*."""
        return all(each.allows(operation) for _, each in self.said)

    @property
    def memory(self) -> bool | None:
        """The first that is said; None where nothing is."""
        return next((each.memory for _, each in self.said if each.memory is not None), None)

    @property
    def intensity(self) -> bool | float:
        """The first that is said other than that it is measured."""
        return next((each.intensity for _, each in self.said if each.intensity is not True), True)

    @property
    def description(self) -> str:
        """The first that is said."""
        return next((each.description for _, each in self.said if each.description), "")


def _least(*amounts: Any) -> Any:
    return min((amount for amount in amounts if amount is not None), default=None)


def file_of(folder: str, name: str) -> Path | None:
    """The file of an agent beside its workflow, or in the working folder; None if there is none."""
    if not NAME.fullmatch(name) or name == NOBODY:
        return None
    places = [Path(folder or "."), Path()]
    found = (place / FOLDER / f"{name}.toml" for place in places)
    return next((path for path in found if path.is_file()), None)


def read_definition(path: Path, content: bytes | None = None) -> AgentDefinition:
    """The definition in a file.

    Raises:
        SettingsError: It cannot be read, or says something wrong.
    """
    return parse_definition(parse_toml(path, read_bounded(path) if content is None else content), str(path))


def parse_definition(values: Mapping[str, Any], source: str) -> AgentDefinition:
    """The definition that nested *values* from *source* are.

    Raises:
        SettingsError: They say something wrong.
    """
    try:
        return AgentDefinition.model_validate(values)
    except ValidationError as error:
        item = error.errors()[0]
        key = ".".join(str(part) for part in item["loc"])
        known = ", ".join(AgentDefinition.model_fields)
        raise SettingsError(f"{source}: {key}: {item['msg']}", hint=f"its keys: {known}") from None


def trusted_definition(path: Path) -> AgentDefinition:
    """The definition in a file of a folder that somebody else may have made.

    Raises:
        SettingsError: It is not trusted as it is now: its limits may have been taken away; or it is wrong.
    """
    content = read_bounded(path)
    definition = read_definition(path, content)
    if (path, content) not in TrustedFiles():
        raise SettingsError(
            f"{path} is not trusted, or was changed since",
            hint=f"read it; `intendant trust {path}` lets it say what its agent may do",
        )
    return definition

"""What a workflow asks for when it starts."""

from math import isfinite
from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from intendant.model.base import Frozen, Json

InputType = Literal["string", "integer", "number", "boolean", "array", "object", "any", "path"]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "path": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Input(Frozen):
    """A value the workflow asks for when it starts."""

    type: InputType = Field(default="string", description="Type of the value; `path` is a file or a folder.")
    default: Json = Field(
        default=None, description="Used where none is given; an input without a default must be given."
    )
    description: str = ""
    choices: tuple[Json, ...] | None = Field(default=None, description="The only values allowed.")

    @model_serializer(mode="wrap")
    def _without_missing_default(self, write: SerializerFunctionWrapHandler) -> dict[str, Json]:
        """No default is not the same as the default null."""
        written: dict[str, Json] = write(self)
        if self.required:
            written.pop("default", None)
        return written

    @property
    def required(self) -> bool:
        """True if the run cannot start without a value."""
        return "default" not in self.model_fields_set

    def accepts(self, value: Json) -> bool:
        """True if *value* has this input's type. A bool is not a number."""
        if self.type == "any":
            return True
        if isinstance(value, bool):
            return self.type == "boolean"
        if isinstance(value, float) and not isfinite(value):
            return False
        return isinstance(value, _PYTHON_TYPES[self.type])

    def read(self, text: str) -> Json:
        """The value that *text*, as typed on a command line, means for this input.

        Raises:
            ValueError: The text does not have this input's type.
        """
        import json

        if self.type in ("string", "path"):
            return text
        try:
            value = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            if self.type == "any":
                return text
            raise ValueError(f"'{text}' is not of type {self.type}") from None
        if not self.accepts(value):
            raise ValueError(f"'{text}' is not of type {self.type}")
        return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")

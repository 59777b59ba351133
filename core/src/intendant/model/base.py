"""What all models share: the frozen base class, JSON values and names."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from intendant.model.described import Described

Json = Any
"""A JSON value: None, bool, int, float, str, list of these, dict of str to these."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
MAX_AMOUNT = 2**53
"""Tokens; what every database and every JSON reader can hold."""
MAX_USD = 1e9


class Frozen(Described):
    """An immutable record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

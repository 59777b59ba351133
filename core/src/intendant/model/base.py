"""What all models share: the frozen base class, JSON values and names."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

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

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for the fields in *update*; properties that were cached are computed anew."""
        copied = super().model_copy(update=update, deep=deep)
        known = copied.__dict__
        if update and len(known) > len(fields := type(self).__pydantic_fields__):
            for name in known.keys() - fields.keys():
                del known[name]  # of a cached property
        return copied

"""The base of all groups of settings."""

from pydantic import ConfigDict

from intendant.model.described import Described


class Section(Described):
    """A group of settings; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

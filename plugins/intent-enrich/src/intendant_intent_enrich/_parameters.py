"""Parameters of an enrichment."""

from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options


class Keys(Options):
    """The key field of each side."""

    left: str
    right: str


class EnrichParameters(Options):
    """What to add to the input's records, and where to look it up."""

    from_: list[Json] | dict[str, Json] = Field(default_factory=list, alias="from")
    """A list of records, or a map from key to record or value."""
    on: str | Keys = ""
    """The key field: one name for both sides, or one for each."""
    fields: list[str] | dict[str, str] | None = None
    """Which fields to add; a map renames them (`{new: old}`). By default all. With a prompt: the fields that the
    model fills, as a list of names or a map from name to meaning; by default the model names them."""
    allowed: dict[str, list[Json]] = Field(default_factory=dict)
    """With a prompt: the allowed values by field; null is always allowed."""
    key: str | None = None
    """With `uses`: the path of the parameter in `with` that receives the key, such as `query.id` or
    `parameters.ids`; with `url`, the key replaces `{key}` in the address."""
    batch: int = Field(1, ge=1, le=10_000)
    """With `uses`: keys per request; with more than one, the parameter receives a list."""
    records: str | None = None
    """With `uses`: path of the records in a response, such as `data.items`; by default the response is a record or
    a list of records."""
    per_second: float | None = Field(None, gt=0)
    """With `uses`: rate limit in requests per second."""
    concurrency: int = Field(4, ge=1, le=64)
    """With `uses`: how many requests may be in flight at once."""
    prefix: str = ""
    """Prefix for the names of the added fields."""
    into: str | None = None
    """Name of a single field to add: it contains the record found, the list of records, or the map's value."""
    missing: Literal["keep", "drop", "fail"] = "keep"
    """What to do with a record whose key is not found."""
    many: Literal["first", "list", "fail"] = "fail"
    """What to do if a key is found more than once; `list` requires `into`."""
    overwrite: bool | Literal["null"] = False
    """Whether to replace an existing field: never (`false`), if it is null or empty (`"null"`), or always
    (`true`)."""

    @model_validator(mode="after")
    def _consistent(self) -> "EnrichParameters":
        if self.many == "list" and self.into is None:
            raise ValueError("`many: list` needs `into`: the field that holds the list")
        if self.into is not None and self.prefix:
            raise ValueError("`prefix` has no effect with `into`")
        return self

    @property
    def keys(self) -> tuple[str, str]:
        """The key's field on the left and on the right."""
        return (self.on, self.on) if isinstance(self.on, str) else (self.on.left, self.on.right)

    @property
    def names(self) -> dict[str, str] | None:
        """Old names by new ones; None for all fields under their own names."""
        if self.fields is None:
            return None
        return self.fields if isinstance(self.fields, dict) else {name: name for name in self.fields}

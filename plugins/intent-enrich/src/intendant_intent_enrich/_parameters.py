"""Parameters of an enrichment."""

from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options


class Keys(Options):
    """The key's field on either side."""

    left: str
    right: str


class EnrichParameters(Options):
    """What is added to the records of the input, and from where."""

    from_: list[Json] | dict[str, Json] = Field(default_factory=list, alias="from")
    """A list of records, or a map from key to record or value."""
    on: str | Keys = ""
    """The key's field, on both sides or on each."""
    fields: list[str] | dict[str, str] | None = None
    """Which fields to add; a map gives them new names (`{new: old}`). By default all. With a prompt: the names of
    the fields that the model fills, or a map from name to what it holds; by default the model names them."""
    allowed: dict[str, list[Json]] = Field(default_factory=dict)
    """With a prompt: the values that a field may have, by its name; null is always one."""
    key: str | None = None
    """With a `uses`: the parameter of `with` that takes the key, by its path, such as `query.id` or
    `parameters.ids`; for `url`, the key takes the place of `{key}` in it."""
    batch: int = Field(1, ge=1, le=10_000)
    """With a `uses`: keys of one request; of more than one, the parameter takes a list."""
    records: str | None = None
    """With a `uses`: where in an answer the records are, such as `data.items`; by default the answer is a record,
    or a list of them."""
    per_second: float | None = Field(None, gt=0)
    """With a `uses`: requests in a second at most."""
    concurrency: int = Field(4, ge=1, le=64)
    """With a `uses`: requests at once."""
    prefix: str = ""
    """Put before the names of the added fields."""
    into: str | None = None
    """Adds one field that holds the record found, or the list of them, or a map's value."""
    missing: Literal["keep", "drop", "fail"] = "keep"
    """What happens to a record whose key is not found."""
    many: Literal["first", "list", "fail"] = "fail"
    """What happens where a key is found more than once; `list` needs `into`."""
    overwrite: bool | Literal["null"] = False
    """Whether a field that is there already is replaced: never, where it is null or empty, or always."""

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

"""Parameters of a decision."""

from pydantic import Field, model_validator

from intendant.plugin import Json, Options


class Case(Options):
    """A condition, and the branch that is taken if it is true."""

    when: str
    then: str = Field(min_length=1)


class Level(Options):
    """The upper bound of a level."""

    below: float | None = None
    """The figure at which the next level begins (exclusive); the last level needs none."""
    then: str = Field(min_length=1)


class ConditionalParameters(Options):
    """One of `cases` (the first true one is taken), `if`, `switch` and `measure`; none of them with a prompt."""

    cases: list[Case] = Field(default_factory=list)
    switch: str | None = None
    """A CEL expression on `input` and `values`; its value is looked up in `routes`."""
    routes: dict[str, str] = Field(default_factory=dict)
    """Branches by the value of `switch`, as text: `true`, `17`, `open`."""
    measure: str | None = None
    """A CEL expression for the figure that is compared with `levels`."""
    levels: list[Level] = Field(default_factory=list)
    """Levels in ascending order; the first one whose `below` exceeds the figure is taken."""
    default: str | None = None
    """The branch if no case is true; without it that is an error. With a prompt: the branch if the model cannot
    tell."""
    branches: list[str] = Field(default_factory=list)
    """With a prompt: the branches to choose from; by default `then` and `else`."""
    if_: str | None = Field(None, alias="if")
    then: str = "true"
    """The branch if `if` is true."""
    else_: str = Field("false", alias="else")
    """The branch if `if` is false."""
    values: dict[str, Json] = Field(default_factory=dict)
    """Values that the conditions may use as `values.<name>`; put references here."""

    @model_validator(mode="after")
    def _one_form(self) -> "ConditionalParameters":
        ways = {"cases": self.cases, "if": self.if_, "switch": self.switch, "measure": self.measure}
        given = [name for name, value in ways.items() if value]
        if len(given) > 1:
            raise ValueError(f"give either `{given[0]}` or `{given[1]}`, and not both")
        if bool(self.routes) != (self.switch is not None):
            raise ValueError("`switch` and `routes` belong together")
        if bool(self.levels) != (self.measure is not None):
            raise ValueError("`measure` and `levels` belong together")
        self._check_levels()
        if self.cases and self.model_fields_set & {"then", "else_"}:
            raise ValueError("`then` and `else` belong to `if`; with `cases` write `default`")
        if self.if_ is not None and (self.default is not None or self.branches):
            raise ValueError("`default` and `branches` do not belong to `if`; write `else`")
        return self

    def _check_levels(self) -> None:
        limits = [level.below for level in self.levels]
        if None in limits[:-1]:
            raise ValueError("every level but the last one needs `below`")
        known = [limit for limit in limits if limit is not None]
        if known != sorted(set(known)):
            raise ValueError("`levels` begin with the lowest, and each `below` is larger than the one before")

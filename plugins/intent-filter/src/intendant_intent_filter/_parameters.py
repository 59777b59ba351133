"""Parameters of a filter."""

from typing import Literal

from pydantic import Field

from intendant.plugin import Json, Options
from intendant.records import caseless
from intendant_intent_filter._sets import Between, Members, SimilarBy, Window


class ContainsAny(Options):
    """Matches records of which one of `fields` contains one of `words`, whatever the case.

    Text contains a word as a part; a list contains it as an element. A field that is null or absent contains none.
    """

    fields: list[str] = Field(min_length=1)
    words: str | list[str]
    """A list, or one text with commas between the words."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The words, trimmed and folded to one case; empty ones are left out."""
        words = self.words.split(",") if isinstance(self.words, str) else self.words
        return tuple(caseless(word.strip()) for word in words if word.strip())


class FilterParameters(Options):
    """Parameters of a filter; they apply in this order."""

    where: str | None = None
    """A CEL condition on `item`, `index` and `values`."""
    values: dict[str, Json] = Field(default_factory=dict)
    """What the condition may use as `values.<name>`; the place for references."""
    contains_any: ContainsAny | None = None
    between: Between | None = None
    """Records whose date lies within a time."""
    only_in: Members | None = None
    """Records that another list has too."""
    not_in: Members | None = None
    """Records that another list has not: the difference of both."""
    unique_by: str | list[str] | None = None
    """Fields whose values may occur once only; `*` for the whole record."""
    keep: Literal["first", "last"] = "first"
    """Which of several alike is kept."""
    similar_by: SimilarBy | None = None
    """Drops records that are nearly the same as one before; needs the extra `fuzzy`."""
    window: Window | None = None
    """Keeps the first records of each group."""
    offset: int = Field(0, ge=0)
    limit: int | None = Field(None, ge=0)
    on_error: Literal["fail", "drop", "keep"] = "fail"
    """What happens to a record whose condition cannot be evaluated."""
    reasons: bool = False
    """With a prompt: the model says why of each record, and the notes show the first reasons."""
    unknown: Literal["keep", "drop", "fail"] = "keep"
    """With a prompt: what happens to a record of which the model cannot tell."""

    @property
    def unique_names(self) -> list[str]:
        """The fields whose values may occur once only."""
        return [self.unique_by] if isinstance(self.unique_by, str) else self.unique_by or []

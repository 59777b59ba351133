"""Parameters of a filter."""

from typing import Literal

from pydantic import Field

from intendant.plugin import Json, Options
from intendant.records import caseless
from intendant_intent_filter._sets import Between, Members, SimilarBy, Window


class ContainsAny(Options):
    """Matches records in which one of `fields` contains one of `words`, ignoring case.

    A text contains a word as a substring; a list contains it as an element. A null or absent field contains none.
    """

    fields: list[str] = Field(min_length=1)
    words: str | list[str]
    """A list, or a text with the words separated by commas."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The words, trimmed and folded to one case; empty ones are left out."""
        words = self.words.split(",") if isinstance(self.words, str) else self.words
        return tuple(caseless(word.strip()) for word in words if word.strip())


class FilterParameters(Options):
    """Parameters of a filter, applied in this order."""

    where: str | None = None
    """A CEL condition on `item`, `index` and `values`."""
    values: dict[str, Json] = Field(default_factory=dict)
    """Values that the condition may use as `values.<name>`; put references here."""
    contains_any: ContainsAny | None = None
    between: Between | None = None
    """Keeps records whose date is within a period."""
    only_in: Members | None = None
    """Keeps records that are also in another list."""
    not_in: Members | None = None
    """Keeps records that are not in another list."""
    unique_by: str | list[str] | None = None
    """Fields by which to remove duplicates; `*` for the whole record."""
    keep: Literal["first", "last"] = "first"
    """Which of several duplicates is kept."""
    similar_by: SimilarBy | None = None
    """Drops records that are nearly identical to an earlier one; requires the extra `fuzzy`."""
    window: Window | None = None
    """Keeps the first records of each group."""
    offset: int = Field(0, ge=0)
    limit: int | None = Field(None, ge=0)
    on_error: Literal["fail", "drop", "keep"] = "fail"
    """What to do with a record for which the condition cannot be evaluated."""
    reasons: bool = False
    """With a prompt: the model gives a reason for each record, and the notes show the first ones."""
    unknown: Literal["keep", "drop", "fail"] = "keep"
    """With a prompt: what to do with a record that the model cannot judge."""

    @property
    def unique_names(self) -> list[str]:
        """The fields whose values may occur once only."""
        return [self.unique_by] if isinstance(self.unique_by, str) else self.unique_by or []

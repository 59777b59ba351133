"""Whether records match."""

from intendant.plugin import Expression, Json
from intendant.records import caseless

NAMES = ("item", "index", "values")


class Condition:
    """A CEL condition on one record after the other.

    Args:
        source: The condition.
        values: What it may use as `values.<name>`.
    """

    def __init__(self, source: str, values: dict[str, Json]) -> None:
        self._expression = Expression(source, NAMES)
        self._values = values

    async def test(self, item: Json, index: int) -> bool:
        """Whether a record matches.

        Raises:
            ExpressionFailed: It cannot be evaluated.
        """
        return await self._expression.test_async(item=item, index=index, values=self._values)


def hint_of(message: str) -> str:
    """What to do about an evaluation that failed."""
    if "Key not found" in message:
        return "write has(item.field) && … where a field may be absent, or set on_error: drop"
    return "convert with double(…) or string(…), test for null, or set on_error: drop"


def contains(value: Json, words: tuple[str, ...]) -> bool:
    """Whether a text has one of the words as a part, or a list as an element; the words are caseless."""
    if isinstance(value, list):
        return any(isinstance(part, str) and caseless(part.strip()) in words for part in value)
    text = caseless(value) if isinstance(value, str) else ""
    return any(word in text for word in words)

"""The longest answer that a room admits, beside a search through all lengths."""

from hypothesis import given, strategies as st

from intendant.record.rows import Room
from intendant.spending.holding import longest

COUNTS = st.integers(0, 60)
LIMITS = st.none() | st.integers(0, 120)


@given(LIMITS, LIMITS, COUNTS, COUNTS, COUNTS, st.lists(st.integers(0, 3), min_size=61, max_size=61))
def test_no_longer_answer_fits_and_none_is_shorter_than_the_least(
    tokens, micro, counted, most, least, steps
) -> None:
    """Whatever the prices are, as long as a longer answer costs no less."""
    costs = [sum(steps[:length]) for length in range(61)]

    def fits(length: int) -> bool:
        return (tokens is None or length + counted <= tokens) and (micro is None or costs[length] <= micro)

    found = longest(Room(tokens, micro), costs.__getitem__, counted, most, least)
    assert found == max((length for length in range(min(most, least), most + 1) if fits(length)), default=0)


def test_what_fits_exactly_is_admitted() -> None:
    assert longest(Room(36, 16), int, 20, 100, 16) == 16
    assert longest(Room(35, 16), int, 20, 100, 16) == 0
    assert longest(Room(36, 15), int, 20, 100, 16) == 0
    assert longest(Room(None, 40), int, 20, 100, 16) == 40
    assert longest(Room(70, None), int, 20, 100, 16) == 50
    assert longest(Room(None, 100), int, 20, 100, 16) == 100

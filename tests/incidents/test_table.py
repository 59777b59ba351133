"""The table of `docs/incidents.md` names every situation once, and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SITUATIONS = {"R": 18, "F": 19, "X": 11, "S": 9, "M": 5, "O": 7, "G": 32, "B": 12}
ROWS = re.findall(r"^\| ([A-Z]\d+) \| .+? \| (.+) \|$", (ROOT / "docs/incidents.md").read_text(), re.MULTILINE)


def test_every_situation_has_its_row() -> None:
    wanted = [f"{cluster}{number + 1}" for cluster, count in SITUATIONS.items() for number in range(count)]
    assert [name for name, _ in ROWS] == wanted


@pytest.mark.parametrize(("name", "said"), ROWS, ids=[name for name, _ in ROWS])
def test_it_is_contained_by_a_test_or_says_why_not(name: str, said: str) -> None:
    kind, _, why = said.partition(": ")
    if kind in ("not applicable", "open"):
        assert len(why) > 20, name
        return
    file, _, test = said.removeprefix("contained: ").strip("`").partition("::")
    assert f"def {test}(" in (ROOT / file).read_text(), name


def test_the_counts_are_those_of_the_rows() -> None:
    said = (ROOT / "docs/incidents.md").read_text()
    kinds = [row.partition(": ")[0] for _, row in ROWS]
    expected = (
        f"{kinds.count('contained')} are contained, {kinds.count('not applicable')} not applicable, "
        f"{kinds.count('open')} open."
    )
    assert expected in said

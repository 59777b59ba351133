"""Reads the project's own steps: `steps.jsonl`, and the rows of `machinery.toml` where that file names a table.

Each line is a JSON object of one of three kinds:

- With `step` it is a row: `gold`, perhaps `alt`, and whatever of `platform`, `difficulty`, `weight` and `workflow`
  is not as the head above it says.
- With `machinery` it stands for the rows of that table, without those that are there already.
- Any other is a head; what it says holds for the rows below until the next head. `family` and `of` spread them
  over the platforms `family0`, `family1` … in turn, `each` rows at a time; from a row that names another platform
  it goes on from there. With `workflows`, rows whose step has an `id` of its own are each a workflow of that name
  and the number in the `id`. `numbered` begins to count: steps without an `id` get that letter and their number,
  and rows without a `workflow` share one with the rows of their platform among the same four numbers.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machinery import machinery
from wording import Row, Step

STEPS = Path(__file__).parent / "steps.jsonl"
_SHARE_A_WORKFLOW = 4


def material(path: Path = STEPS) -> list[Row]:
    """All rows, complete and in their order; `row` is `T` and the place."""
    reader = _Reader()
    rows = [row for line in path.read_text("utf-8").splitlines() for row in reader.rows_of(json.loads(line))]
    return [{**row, "row": f"T{place:04}"} for place, row in enumerate(rows)]


class _Reader:
    """What was read so far, as far as later lines depend on it."""

    def __init__(self) -> None:
        self.head: Row = {}
        self.letter = ""
        self.number = 0
        self.turn = 0
        self.seen: set[str] = set()

    def rows_of(self, entry: Row) -> Iterator[Row]:
        """The rows a line stands for: one, none (a head), or those of a table."""
        if "step" in entry:
            yield self._counted({"alt": None, **self._headed(entry)})
        elif "machinery" in entry:
            for row in machinery(entry["machinery"]):
                if _key(row["step"]) not in self.seen:
                    yield self._counted(row)
        else:
            self.head, self.turn = {key: entry[key] for key in entry if key != "numbered"}, 0
            if "numbered" in entry:
                self.letter, self.number, self.seen = entry["numbered"], 0, set()

    def _headed(self, entry: Row) -> Row:
        """The row with what the head says."""
        row: dict[str, Any] = {**self.head, **entry}
        family, of, each = row.pop("family", ""), row.pop("of", 1), row.pop("each", 1)
        workflows = row.pop("workflows", "")
        if workflows and "id" in row["step"] and "workflow" not in entry:
            row["workflow"] = f"{workflows}-{row['step']['id'][1:]}"
        if family and "platform" in entry:
            self.turn = int(row["platform"].removeprefix(family)) * each
        elif family:
            row["platform"] = f"{family}{self.turn // each % of}"
        self.turn += 1
        return row

    def _counted(self, row: Row) -> Row:
        """The row with its number in the step's `id` and in `workflow`, unless it has its own."""
        workflow = f"{row['platform']}-{self.number // _SHARE_A_WORKFLOW}"
        step = row["step"] if "id" in row["step"] else {"id": f"{self.letter}{self.number}", **row["step"]}
        self.seen.add(_key(step))
        self.number += 1
        return {"workflow": workflow, **row, "step": step}


def _key(step: Step) -> str:
    """The step without its number; two of a key are the same step."""
    return json.dumps({key: value for key, value in step.items() if key != "id"}, sort_keys=True)

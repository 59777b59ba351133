"""Which memories of runs are kept, which are put together, and which are let go. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from intendant.planning.experience import Learned
from intendant.record.rows import MemoryRow

DAY = 86_400
LASTING = 8
"""Importance, of 10, from which a memory is neither put together with others nor let go."""
MOST_EVIDENCE = 500
"""Ids that a memory that was put together names, the newest."""
_DIGEST = re.compile(r"(\d+) completed, (\d+) not")
_RUN = re.compile(r"(\d{4}-\d{2})-\d{2} '(.*?)': (\w+)")


class Due(NamedTuple):
    """What is to be done."""

    gone: list[MemoryRow]
    new: list[Learned]


def due(memories: Sequence[MemoryRow], now: float, *, keep: int, days: float) -> Due:
    """What is to be put together and let go.

    Of the summaries of runs the newest *keep* stay. Older ones below importance 8 become one memory a workflow and
    month, which says how many runs there were and how they ended. What is older than *days*, below importance 8,
    drawn from runs alone, and was told to no run in that time, is let go. What a person or a host said stays.

    (The reference puts together what has an importance below 0.5 on a scale from 1 to 10, which is nothing: its
    defect D-36.)

    Args:
        memories: What an agent remembers, the newest first.
        now: The time, in seconds since 1970.
        keep: Summaries that stay as they are.
        days: How long memories are kept that nobody is told of.
    """
    drawn = [row for row in memories if row.source == "run" and row.importance < LASTING]
    old = [row for row in drawn if max(row.created_at, row.used_at or 0.0) < now - days * DAY]
    stale = {row.id for row in old}
    summaries = [row for row in memories if row.kind == "run"]
    excess = [row for row in summaries[keep:] if row in drawn and row.id not in stale]
    readable = [row for row in excess if _RUN.match(row.text)]
    return Due([*old, *readable], list(_digests(readable, memories, stale)))


def _digests(rows: Iterable[MemoryRow], memories: Sequence[MemoryRow], stale: set[int]) -> Iterable[Learned]:
    known = {row.subject: row for row in memories if row.id not in stale}
    groups: dict[tuple[str, str], list[MemoryRow]] = {}
    for row in rows:
        if found := _RUN.match(row.text):
            groups.setdefault((found[1], found[2]), []).append(row)
    for (month, workflow), group in groups.items():
        subject = f"digest:{workflow}/{month}"
        before = known.get(subject)
        well, ill = _counted(before)
        completed = sum(1 for row in group if (found := _RUN.match(row.text)) and found[3] == "completed")
        well, ill = well + completed, ill + len(group) - completed
        text = f"{month} '{workflow}': {well + ill} earlier runs: {well} completed, {ill} not."
        evidence = [*(json.loads(before.evidence) if before else []), *(row.subject or "" for row in group[::-1])]
        importance = max([row.importance for row in group] + ([before.importance] if before else []))
        yield Learned(subject, text, importance, tuple(evidence[-MOST_EVIDENCE:]), "note")


def _counted(before: MemoryRow | None) -> tuple[int, int]:
    found = _DIGEST.search(before.text) if before is not None else None
    return (int(found[1]), int(found[2])) if found else (0, 0)

"""Searches texts for regular expressions, in a process of its own that can be killed.

Reads a job as JSON from standard input and writes what it found to standard output. Run as a script, with the
standard library alone.
"""

import json
import re
import sys

MEMORY = 1 << 30
"""Bytes this process may take, where the system can limit it."""
MOST = 10_000
"""Matches of one pattern in one text."""


def main() -> None:
    """Do one job."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):
        pass  # no such limit here; time is limited all the same
    job = json.load(sys.stdin)
    try:
        patterns = [(re.compile(item["pattern"], item["flags"]), item["group"]) for item in job["patterns"]]
        found = [[search(pattern, group, text) for pattern, group in patterns] for text in job["texts"]]
        json.dump({"found": found}, sys.stdout)
    except MemoryError:
        json.dump({"error": "it finds more than fits into memory"}, sys.stdout)
    except (re.error, IndexError, RecursionError) as error:
        json.dump({"error": str(error)}, sys.stdout)


def search(pattern: "re.Pattern[str]", group: "int | str | None", text: str) -> "list[str | None]":
    """What a group of each match holds."""
    chosen = (1 if pattern.groups else 0) if group is None else group
    return [match[chosen] for match, _ in zip(pattern.finditer(text), range(MOST), strict=False)]


if __name__ == "__main__":
    main()

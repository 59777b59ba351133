"""Reads what `git log -z --numstat` prints."""

import re
from collections.abc import Iterator

from intendant.plugin import Json

FORMAT = "%H%x00%aN%x00%aE%x00%aI%x00%s%x00%b"
"""Hash, author, e-mail (both by .mailmap), author date in ISO 8601, subject, body; fields end with NUL."""
FIELDS = FORMAT.count("%x00") + 1
_CHANGE = re.compile(r"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)


def commits(text: str) -> Iterator[dict[str, Json]]:
    """The commits, newest first. NUL ends every field and path, so that no text can be taken for another."""
    parts = text.split("\0")
    at = 0
    while at + FIELDS <= len(parts):
        digest, author, email, date, subject, body = parts[at : at + FIELDS]
        at += FIELDS
        files: list[dict[str, Json]] = []
        while at < len(parts) and (change := _CHANGE.fullmatch(parts[at])):
            at += 1
            path, old = change[3], None
            if not path:  # a rename: the old path and the new one follow
                old, path = parts[at : at + 2]
                at += 2
            files.append(_file(path, old, change[1], change[2]))
        yield {
            "hash": digest,
            "author": author,
            "email": email,
            "date": date,
            "subject": subject,
            "body": body.strip("\n"),
            "files": files,
            "added": sum(file["added"] for file in files),
            "removed": sum(file["removed"] for file in files),
        }


def _file(path: str, old: str | None, added: str, removed: str) -> dict[str, Json]:
    file: dict[str, Json] = {
        "path": path,
        "folder": path.partition("/")[0] if "/" in path else ".",
        "added": 0 if added == "-" else int(added),
        "removed": 0 if removed == "-" else int(removed),
    }
    if old is not None:
        file["renamed_from"] = old
    if added == "-":
        file["binary"] = True
    return file

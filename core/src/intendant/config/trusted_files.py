"""Which settings files of folders may set what could hurt: base URLs, roots, prices, plugins, the store.

A folder that was cloned or unpacked may hold an `intendant.toml` of somebody else. Until a person says
`intendant trust`, such a file sets only `HARMLESS` keys. Trust is given to a path and its content: a file that
changes needs it again.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from intendant.config.own_folders import data_folder
from intendant.model.errors import SettingsError

HARMLESS = frozenset(
    {
        "flags",
        "budget.strategy",
        "budget.tokens_per_workflow",
        "budget.usd_per_workflow",
        "budget.tokens_per_step",
        "budget.memory_tokens",
        "budget.overage_allowed",
        "budget.overage_threshold",
        "budget.critical_factor",
        "budget.baselines",
        "classification",
        "compression.policies",
        "routing.default_tier",
        "run.max_parallel",
        "run.step_timeout",
        "run.call_timeout",
        "calls.attempts",
        "calls.deadline",
        "calls.fallback",
        "calls.breaker_failures",
        "calls.breaker_seconds",
        "calls.refusals",
        "calls.prompt_cache",
    }
)
"""What the file of a folder may set without trust: a section, or one key of it. A workflow file, which a person
reads and names, can ask for as much. All other keys need trust, new ones too."""


def harmless(values: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """Nested settings without what needs trust, and the keys of what was left out."""
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in HARMLESS:
            kept[name] = value
        elif isinstance(value, Mapping) and not prefix:
            inner, refused = harmless(value, f"{key}.")
            left_out += refused
            if inner:
                kept[name] = inner
        else:
            left_out.append(key)
    return kept, left_out


class TrustedFiles:
    """The files that a person trusts, each by its path and content.

    Args:
        folder: Where that is kept; by default in the user's data folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder

    @property
    def _folder(self) -> Path:
        return data_folder() / "trusted" if self._given is None else self._given

    def __contains__(self, file: tuple[Path, bytes]) -> bool:
        try:
            return self._mark(*file).is_file()
        except SettingsError:  # without a home nothing was trusted
            return False

    def __iter__(self) -> Iterator[Path]:
        """The paths of all files that were trusted with the content they have now."""
        for mark in sorted(self._folder.glob("*")):
            path = Path(mark.read_text(encoding="utf-8", errors="replace"))
            if path.is_file() and self._mark(path, path.read_bytes()) == mark:
                yield path

    def add(self, path: Path, content: bytes) -> None:
        """Trust a file while its content stays the same."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark(path, content).write_text(str(path.resolve()), encoding="utf-8")

    def remove(self, path: Path) -> int:
        """Trust a file no more, whatever it contains; says how many contents were trusted."""
        name = str(path.resolve())
        marks = [mark for mark in self._folder.glob("*") if mark.read_text(encoding="utf-8") == name]
        for mark in marks:
            mark.unlink(missing_ok=True)
        return len(marks)

    def _mark(self, path: Path, content: bytes) -> Path:
        digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape") + b"\0" + content)
        return self._folder / digest.hexdigest()

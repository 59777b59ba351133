"""Hints that name what to install: only distributions that are known to exist."""

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def known_distributions() -> frozenset[str]:
    """The distributions that this project publishes: a name that was made up could belong to anybody."""
    text = files("intendant.hooks").joinpath("known_distributions.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def install_hint(kind: str, name: str, installed: Iterable[str] = ()) -> str:
    """How to get a plugin that is not installed; if it is none of ours, what is installed.

    Args:
        kind: The plugin's kind, such as `intent`.
        name: Its name, as the user typed it.
        installed: The names that are installed.
    """
    of_contrib = [f"intendant-{name}"] if kind in ("connector", "extension") else []
    for distribution in (f"intendant-{kind}-{name}", *of_contrib):
        if distribution in known_distributions():
            return f"pip install {distribution}"
    names = ", ".join(installed)
    return f"installed: {names}" if names else f"install a plugin that provides {kind} '{name}'"

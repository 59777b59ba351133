"""Writes what docs/connectors.md says of each connector, from its code. What stands above the mark is by hand.

python docs/connector_reference.py
"""

import re
from pathlib import Path

from intendant.hooks import discovery
from intendant.hooks.reference import as_markdown, reference_of

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).with_name("connectors.md")
MARK = "<!-- Below this line it is written from the code: python docs/connector_reference.py -->"


def readme(distribution: str) -> str:
    """The README of a member of the workspace."""
    name = distribution.removeprefix("intendant-")
    found = next(ROOT.glob(f"*/{name}/README.md"))
    return found.read_text(encoding="utf-8")


def on_this_page(text: str) -> str:
    """A section with the links of its README as they are from here."""
    text = re.sub(r"\]\(\.\./connector-(\w+)/README\.md\)", r"](#connector\1)", text)
    return text.replace("](../../docs/", "](")


def page() -> str:
    """The page as it should be."""
    records = discovery.describe(discovery.list_plugins(kinds=("connector",)))
    found, _ = discovery.load(records)
    ours = [(record, plugin) for record, plugin in found if record.target.startswith("intendant_")]
    sections = [
        on_this_page(as_markdown(reference_of(plugin(), readme(record.distribution)))) for record, plugin in ours
    ]
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return "\n".join([f"{by_hand}{MARK}\n", *sections])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

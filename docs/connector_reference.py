"""Writes what docs/connectors.md says of each connector, from its code. What stands above the mark is by hand.

python docs/connector_reference.py
"""

from pathlib import Path

from intendant.hooks import discovery
from intendant.hooks.reference import as_markdown, reference_of

PAGE = Path(__file__).with_name("connectors.md")
MARK = "<!-- Below this line it is written from the code: python docs/connector_reference.py -->"


def page() -> str:
    """The page as it should be."""
    records = discovery.describe(discovery.list_plugins(kinds=("connector",)))
    found, _ = discovery.load(records)
    ours = [(record, plugin) for record, plugin in found if record.target.startswith("intendant_")]
    sections = [as_markdown(reference_of(plugin(), record.distribution)) for record, plugin in ours]
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return "\n".join([f"{by_hand}{MARK}\n", *sections])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

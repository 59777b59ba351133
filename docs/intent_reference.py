"""Writes docs/intents.md from the READMEs of the handlers. What stands above the mark is by hand.

python docs/intent_reference.py
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).with_name("intents.md")
MARK = "<!-- Below this line it is the handlers' READMEs: python docs/intent_reference.py -->"
INTENTS = (
    "extract",
    "transform",
    "filter",
    "aggregate",
    "validate",
    "conditional",
    "enrich",
    "summarize",
    "generate",
    "send",
)


def on_this_page(text: str) -> str:
    """A README with its headings one level down, and its links as they are from here."""
    text = re.sub(r"^# intendant-intent-(\w+)$", r"# \1", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE)
    name = text[3:].partition("\n")[0]
    text = text.replace("### With a model\n", f"### {name} with a model\n")
    text = text.replace("### Through a connector\n", f"### {name} through a connector\n")
    text = text.replace("](../../docs/", "](")
    return re.sub(r"\]\(\.\./connector-(\w+)/README\.md\)", r"](connectors.md#connector\1)", text)


def page() -> str:
    """The page as it should be."""
    sections = [
        on_this_page((ROOT / f"plugins/intent-{name}/README.md").read_text(encoding="utf-8")) for name in INTENTS
    ]
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    return "\n".join([f"{by_hand}{MARK}\n", *sections])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

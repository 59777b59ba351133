"""Writes `settings.md`: every key of the settings, as the classes of `intendant.config` say it."""

from pathlib import Path
from typing import Any

from intendant.config.catalogue import all_keys
from intendant.config.settings import Settings
from intendant.config.spellings import SPELLINGS

PAGE = Path(__file__).parent / "settings.md"
HEAD = """# Settings

Made by `python docs/settings_reference.py`; a test holds it to the code. How settings are given, and which layer
is stronger, is in [operating.md](operating.md#settings). *live*: `intendant config set` may set it, and running
services take it over. *harmless*: the `intendant.toml` of a folder may set it without `intendant trust`.

`{intent}`, `{tier}` and the like stand for a name; a name with a dot is quoted:
`prices.models."openai/gpt-6.1".input`. In the environment a dot is written `__`, as in
`INTENDANT_BUDGET__STRATEGY=equal`.
"""


OLD = """
## Old spellings

Keys of the reference system, which write `orchestration_` before the name. They stand at the top of a file, or
after `-s` and `config set`.

| old key | key |
|---|---|
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    for group, field in Settings.model_fields.items():
        own = [key for key in all_keys() if key.group == group]
        summary = (type(field.default).__doc__ or "").strip().splitlines()[0]
        parts.append(f"\n## {group}\n\n{summary}\n\n| key | type | default | | meaning |\n|---|---|---|---|---|\n")
        for key in own:
            kind = key.kind + (f": {key.range}" if key.range else "")
            marks = ", ".join(name for name, on in (("live", key.live), ("harmless", key.harmless)) if on)
            parts.append(f"| `{key.name}` | {kind} | {_default(key.default)} | {marks} | {_cell(key.meaning)} |\n")
    parts.append(_old())
    return "".join(parts)


def _old() -> str:
    lines = [OLD]
    lines += [
        f"| `{one.name}` | `{one.key}`{f', {one.note}' if one.note else ''} |\n" for one in SPELLINGS if one.key
    ]
    lines.append("\nSuperseded, with what took their place; to set one is an error that says so.\n\n")
    lines.append("| old key | instead |\n|---|---|\n")
    lines += [f"| `{one.name}` | {_cell(one.instead)} |\n" for one in SPELLINGS if not one.key]
    return "".join(lines)


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) else str(value) if value != [] else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""docs/security.md names only tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`([\w/.]*)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs/security.md").read_text()
    found, file = [], ""
    for path, name in NAMED.findall(page):
        file = path or file
        found.append((file, name))
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file} has no {name}"
    assert len(found) > 10

"""Draws `docs/run.svg`: what `intendant run` shows for the first example. Run from the root of a checkout:

python docs/picture.py
"""

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from intendant import SyncOrchestrationService
from intendant.cli.view import RunView, live, summary

FLOW = Path("docs/examples/release-notes/flow.yaml")
WIDTH = 118


def main() -> None:
    view = RunView()
    with tempfile.TemporaryDirectory(dir=".") as folder, SyncOrchestrationService(db="none") as service:
        result = service.run(service.load(FLOW), {"folder": folder}, on_event=view)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ intendant run {FLOW}", "bold"))
    console.print(live(view)())
    for line in summary(result):
        console.print(line, highlight=False)
    picture = console.export_svg(title="intendant")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)  # fonts from elsewhere are not needed
    Path("docs/run.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()

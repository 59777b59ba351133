"""Text of models, workflows and plugins on a terminal: control characters are shown, never sent.

A terminal obeys control characters: they hide text, rename its window, or answer in the user's name.
"""

import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType
    from rich.segment import Segment

PLAIN_WIDTH = 200
"""Characters of a line where there is no terminal that has a width of its own."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters of ASCII and Latin-1 but tab and line feed, and those that turn the direction of writing."""


def printable(text: str) -> str:
    """The text with each control character written as an escape in JSON's form."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableStream:
    """A stream that writes control characters as escapes.

    Args:
        stream: What is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream

    def write(self, text: str) -> int:
        """Write a text with its control characters escaped."""
        self.unfiltered.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts in the same way."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


def protect_streams() -> None:
    """Let standard output and standard error write no control characters from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process: what is written goes nowhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # until the end
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest
        setattr(sys, name, PrintableStream(stream))


def unfiltered(stream: TextIO) -> TextIO:
    """The stream itself, for what must arrive as it is, such as a document in a pipe."""
    return cast("TextIO", getattr(stream, "unfiltered", stream))


def write_document(text: str) -> None:
    """Write a text to standard output: as it is into a file or a pipe, printable on a terminal."""
    (sys.stdout if sys.stdout.isatty() else unfiltered(sys.stdout)).write(text)


class Printable:
    """Something for `rich` to draw, with the control characters of its texts escaped."""

    def __init__(self, inner: "RenderableType") -> None:
        self._inner = inner

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterable[Segment]":
        from rich.segment import Segment

        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def make_console(*, stderr: bool = False, **options: Any) -> "Console":
    """A console whose own control sequences reach the terminal, and no others."""
    from rich.console import Console, RenderHook

    class Hook(RenderHook):
        """Escapes the texts of all that is printed."""

        def process_renderables(self, renderables: "list[ConsoleRenderable]") -> "list[ConsoleRenderable]":
            return [Printable(renderable) for renderable in renderables]

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    console = Console(file=unfiltered(stream), width=width, **options)
    console.push_render_hook(Hook())
    return console

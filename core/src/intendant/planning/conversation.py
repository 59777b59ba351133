"""Shortens what tools put out, knowing the conversation that it goes into.

Each text is decided once, when it enters. What was sent is never rewritten, so the provider's cache of the prompt
holds, and no text becomes longer.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intendant.text.line_worth import WORD, Asked, chances, kind_of_command
from intendant.text.observations import close_numbers, plain
from intendant.text.seen_lines import SeenLines

SHORT = 160
"""Characters of a text of which only the envelope is taken."""
LONG = 3200
"""Characters of a text from which on lines may be left out: below, a cut loses most and saves least."""
LONGS = {"list": 1200, "test": 1200}
"""The same where hardly a line is needed again."""
RATE = 0.0019
"""The chance of being needed later, for each token of a line, below which it is left out."""
RATES = {"file": 0.35, "range": 0.3}
"""How much lower the rate is for files: they are printed to be changed, above all those asked for line by line."""
MOST = 400
"""Characters of a line that count against it; names of a listing come on one line."""
LEAST_GAP = 2
"""Lines that are left out together; fewer stay."""
FIRST, LAST = 2, 4
"""Lines at the ends of a text that stay: they say what it is and how it ended."""
_A_TOKEN = 3.6
"""Characters, in text that programs print."""
_ENVELOPE = re.compile(r"(?:<(\w+)>([^<>\n]*)</\1>\n)?<(\w+)>\n?(.*?)\n?</\3>\s*", re.DOTALL)
_FENCE = re.compile(r"```(\w*)\n(.*?)(?:```|\Z)", re.DOTALL)
_SHELLS = frozenset({"", "bash", "sh", "shell", "zsh", "console"})


@dataclass(frozen=True, slots=True)
class ShownText:
    """What is sent for a text.

    Attributes:
        text: That.
        tokens_before: Of the text as it came.
        tokens_after: Of what is sent; never more.
        left_out: Lines that were left out and that the conversation shows nowhere else.
    """

    text: str
    tokens_before: int
    tokens_after: int
    left_out: int = 0


class ContextCompressor:
    """The conversation of one agent, and what of each new text has to be sent.

    What the conversation shows already becomes a reference; padding, colours and the columns of listings go. Of
    long outputs, lines go that are unlikely to be needed later, and `[…12 lines]` says so. Line numbers stay,
    and shorter texts keep every line.

    Args:
        lossless: Leave nothing out but what the conversation shows already and what only lays a text out.
        prompt_tokens: Tokens of the prompt before the first text: system text, tools, task.
        least_cached: Tokens below which the provider caches no prompt (1,024 to 4,096, by model). As long as the
            conversation is shorter, texts stay as they are: it would become dearer if it fell below.
        count: Counts tokens; by default the tokenizer of an installed provider, else an estimate.

    Example:
        ```python
        context = intendant.ContextCompressor(prompt_tokens=3900, least_cached=1024)
        for answer, output in turns:
            messages.append(context.fit(output, query=answer).text)
        ```
    """

    def __init__(
        self,
        *,
        lossless: bool = False,
        prompt_tokens: int = 0,
        least_cached: int = 0,
        count: Callable[[str], int] | None = None,
    ) -> None:
        if count is None:
            from intendant.planning.standalone import default_counter

            count = default_counter()
        self._lossless = lossless
        self._left_alone = least_cached - prompt_tokens
        self._count = count
        self._seen = SeenLines()
        self._words: set[str] = set()
        self._asked: set[str] = set()
        self._turn = 0
        self._envelope: tuple[str | None, str] | None = None
        self._usual: str | None = None

    def fit(self, text: str, *, query: str = "") -> ShownText:
        """What to send for *text*, which is remembered as shown from now on.

        Args:
            text: What a tool put out.
            query: What the model said just before, with the command or the call; remembered as well.
        """
        command = _command(query)
        if query:
            self._seen.add(query, "you wrote")
        lines, left_out = self._shortened(text, command, query)
        self._remember(query, text)
        said = close_numbers("\n".join(lines))
        before, after = self._count(text), self._count(said)
        if after >= before or self._left_alone > 0:
            lines, said, after, left_out = [text], text, before, 0
        if self._left_alone > 0:
            self._left_alone -= after + self._count(query)
        self._seen.add("\n".join(lines), f"shown by: {command}" if command else "shown above")
        return ShownText(said, before, after, left_out)

    def _shortened(self, text: str, command: str, query: str) -> tuple[list[str], int]:
        said = self._without_envelope(text)
        if len(said) <= SHORT:
            return [said], 0
        kind = kind_of_command(command)
        whole = self._lossless or len(said) < LONGS.get(kind, LONG)
        lines = self._seen.referring(plain(said, whole=whole).split("\n"))
        return (lines, 0) if whole else self._worthy(lines, kind, query)

    def _remember(self, query: str, text: str) -> None:
        asked = WORD.findall(query)
        self._asked.update(asked)
        self._words.update(asked, WORD.findall(text))
        self._turn += 1

    def _worthy(self, lines: Sequence[str], kind: str, query: str) -> tuple[list[str], int]:
        """*lines* without those that are too dear for the chance that they are needed, and how many went."""
        words = frozenset(WORD.findall(query))
        asked = Asked(kind, words, self._asked, self._words, self._turn)
        rate = RATE * RATES.get(kind, 1.0)
        kept = [
            chance >= rate * (1 + min(len(line), MOST) / _A_TOKEN)
            or not FIRST <= place < len(lines) - LAST
            or line.startswith("[")
            for place, (line, chance) in enumerate(zip(lines, chances(lines, asked), strict=True))
        ]
        return _without(lines, kept)

    def _without_envelope(self, text: str) -> str:
        """The text without the elements that it stands in, as soon as the conversation has shown those once."""
        match = _ENVELOPE.fullmatch(text)
        if match is None or f"</{match[3]}>" in match[4]:
            return text
        name, value, tag, inner = match.groups()
        if self._envelope != (name, tag):
            self._envelope = (name, tag)
            self._usual = value
            return text
        head = f"[{name} {value}]" if value != self._usual else "" if inner else "[no output]"
        return "\n".join(filter(None, (head, inner)))


def _without(lines: Sequence[str], kept: Sequence[bool]) -> tuple[list[str], int]:
    """The lines that are kept, with marks for the others, and how many those are."""
    written: list[str] = []
    left_out = at = 0
    while at < len(lines):
        size = next((size for size, keep in enumerate(kept[at:]) if keep), len(lines) - at)
        if size >= LEAST_GAP:
            written.append(f"[…{size} lines]")
            left_out += size
        else:
            size = max(size, 1)
            written += lines[at : at + size]
        at += size
    return written, left_out


def _command(query: str) -> str:
    """What was run: the first line of the last block of a shell's code in a message; the last line of one without
    code. Empty if neither is there.
    """
    blocks = _FENCE.findall(query)
    shells = [text for language, text in blocks if language in _SHELLS]
    said = shells[-1] if shells else "" if blocks else query
    lines = [line for line in said.strip().split("\n") if line.strip()]
    return lines[0 if shells else -1] if lines else ""

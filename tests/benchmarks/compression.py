"""What compression saves, what survives it and what it costs, side by side with peers in the same run.

    python tests/benchmarks/compression.py [FOLDER] [--kinds json,log] [--only intendant]

FOLDER holds `dev.jsonl` (documents with facts that must survive) and `score.py`; without it the invented documents
of `compression_data.py` are used. Peers that are not installed are left out, and said so:
`pip install headroom-ai toon-format`.

"saved" is 1 - after/before, of a document; "macro" its mean over the kinds of documents. "critical" is the share of
the critical facts that can be read verbatim in what is left. Speed is in tokens of the input per second of CPU time,
all counting included; the first row is what counting each document once costs.
"""

import argparse
import importlib.util
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from compression_data import CRITICAL, Document, invented
from compression_peers import peers

import intendant
from intendant.plugin import CompressRequest, estimate_tokens, kind_of

Compress = Callable[[Document], str]


def counter() -> tuple[Callable[[str], int], str]:
    """Counts by o200k where its ranks are installed, else by estimate."""
    try:
        import bpe_openai
    except ImportError:
        return estimate_tokens, "tokens by estimate"
    encoding = bpe_openai.get_encoding("o200k_base")
    return lambda text: len(encoding.encode_ordinary(text)), "tokens by o200k"


def exact_calls(count: Callable[[str], int]) -> Compress:
    """The two exact compressors called by themselves: what they cost without the chain around them."""
    from intendant_compress_structural import StructuralCompressor
    from intendant_compress_template import TemplateCompressor

    compressors = (StructuralCompressor(), TemplateCompressor())

    def compress(document: Document) -> str:
        text, kind = document.text, kind_of(document.text)
        tokens = count(text)
        for one in compressors:
            request = CompressRequest(text=text, tokens=tokens, target_tokens=0, count=count, kind=kind)
            answer = one.compress(request)
            if answer is not None:
                text, tokens = answer.text, answer.tokens_after
        return text

    return compress


def own() -> Iterable[tuple[str, Compress]]:
    """What this project has to offer."""

    def made(**how: Any) -> Compress:
        def compress(document: Document) -> str:
            return intendant.compress(document.text, query=document.query, **how).text

        return compress

    yield "lossless", made(lossless=True)
    yield "lossless, dense", made(lossless=True, dense=True)
    yield "target 0.5, query", made(target=0.5)
    yield "target 0.3, query", made(target=0.3)


def read(folder: Path) -> tuple[list[Document], Callable[[str, str], bool]]:
    """The documents of a folder, and its way to look for a fact."""
    specification = importlib.util.spec_from_file_location("score", folder / "score.py")
    assert specification is not None
    assert specification.loader is not None
    score = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(score)
    with (folder / "dev.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    documents = [
        Document(
            row["kind"],
            row["text"],
            row.get("query") or "",
            [(one["cls"], tuple(one["any"])) for one in row["probes"]],
        )
        for row in rows
    ]
    seen: dict[str, Any] = {}

    def holds(text: str, fact: str) -> bool:
        if text not in seen:
            seen.clear()
            seen[text] = score.Text(text)
        return bool(seen[text].holds(fact))

    return documents, holds


def plainly(text: str, fact: str) -> bool:
    """True if *fact* can be read in *text*, whatever the blanks."""
    return " ".join(fact.split()) in re.sub(r"\s+", " ", text)


@dataclass
class Board:
    """The figures of one tool."""

    saved: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    before: int = 0
    after: int = 0
    longer: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """For the table."""
        macro = fmean(fmean(kind) for kind in self.saved.values())
        critical = fmean(fmean(kind) if kind else 1.0 for kind in (self.kept[name] for name in self.saved))
        whole = 1 - self.after / self.before
        speed = self.before / self.seconds / 1e6
        return f"{macro:7.1%} {whole:7.1%} {critical:9.1%} {self.longer:7d} {speed:8.2f}"


def measured(
    documents: list[Document], compress: Compress, count: Callable[[str], int], holds: Callable[[str, str], bool]
) -> Board:
    """One tool over all documents."""
    board = Board()
    for document in documents:
        begin = process_time()
        text = compress(document)
        board.seconds += process_time() - begin
        before, after = count(document.text), count(text)
        board.saved[document.kind].append(1 - after / before)
        board.before += before
        board.after += after
        board.longer += after > before
        for name, fact in document.facts:
            if name in CRITICAL:
                board.kept[document.kind].append(any(holds(text, one) for one in fact))
    return board


def main() -> None:
    """Print the boards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--only", default="", help="intendant, or a peer")
    options = parser.parse_args()
    documents, holds = read(options.folder) if options.folder else (invented(), plainly)
    if options.kinds:
        documents = [document for document in documents if document.kind in options.kinds.split(",")]
    count, how = counter()

    def count_only(document: Document) -> str:
        count(document.text)
        return document.text

    tools: list[tuple[str, str, Compress]] = [("", "counting once", count_only)]
    tools.append(("intendant", "structural + template", exact_calls(count)))
    tools += [("intendant", name, compress) for name, compress in own()]
    found, missing = peers(count)
    tools += found
    print(f"{len(documents)} documents of {len({one.kind for one in documents})} kinds; {how}")
    print(f"{'tool':32s}   saved     all  critical  longer  Mtok/s")
    boards = []
    for tool, name, compress in tools:
        if options.only and tool not in ("", options.only):
            continue
        compress(documents[0])  # imports and the loading of plugins are not the tool's speed
        board = measured(documents, compress, count, holds)
        boards.append((f"{tool} {name}".strip(), board))
        print(f"{boards[-1][0]:32s} {board.line()}", flush=True)
    print("\nsaved per kind")
    kinds = sorted({document.kind for document in documents})
    print(f"{'':32s} " + " ".join(f"{kind[:7]:>7s}" for kind in kinds))
    for name, board in boards[1:]:
        print(f"{name:32s} " + " ".join(f"{fmean(board.saved[kind]):7.1%}" for kind in kinds))
    for note in missing:
        print(note)


if __name__ == "__main__":
    main()

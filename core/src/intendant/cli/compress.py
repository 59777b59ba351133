"""`intendant compress`: text in, text out."""

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import WRONG, command, print_json
from intendant.model.errors import IntendantError

if TYPE_CHECKING:
    from intendant.model.results import Compression


@command()
def compress(
    file: Annotated[Path | None, typer.Argument(help="A text, or JSONL (`id`, `text`, `query`).")] = None,
    *,
    strategy: Annotated[str, typer.Option("--strategy", help="A compressor's name, or auto.")] = "auto",
    target: Annotated[
        float | None, typer.Option("--target", help="Share of tokens to leave, such as 0.5.")
    ] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", help="Tokens to leave.", min=0)] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Leave nothing out.")] = False,
    dense: Annotated[bool, typer.Option("--dense", help="Split values into prefixes and references too.")] = False,
    protect: Annotated[
        list[str] | None, typer.Option("--protect", help="Keep what this regular expression matches.")
    ] = None,
    query: Annotated[str, typer.Option("--query", help="What is wanted of the text.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures too, as JSON.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what went, line by line.")] = False,
) -> None:
    """Make texts smaller and keep what matters. JSONL in, JSONL out; any other text in, text out."""
    from intendant.planning.standalone import compress as make_smaller

    def made(text: str, wanted: str) -> "Compression":
        return make_smaller(
            text,
            strategy=strategy,
            target=target,
            tokens=tokens,
            lossless=lossless,
            dense=dense,
            protect=tuple(protect or ()),
            query=wanted or query,
        )

    if file is not None and file.suffix == ".jsonl":
        bad = 0
        for number, row in _rows(file):
            if isinstance(row, str):
                bad += 1
                print(json.dumps({"line": number, "error": row}))
            else:
                done = made(row["text"], str(row.get("query") or ""))
                print(json.dumps({"id": row.get("id"), **_document(row["text"], done)}, ensure_ascii=False))
        if bad:
            print(f"{bad} lines could not be read", file=sys.stderr)
            raise typer.Exit(WRONG)
        return
    text = _read(file)
    done = made(text, "")
    if as_json:
        print_json(_document(text, done))
    elif diff:
        _show_diff(text, done)
    else:
        sys.stdout.write(done.text)


def _read(file: Path | None) -> str:
    if file is None:
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise IntendantError(f"{file} cannot be read: {error.strerror}") from None


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield number, f"not JSON: {error}"
                    continue
                good = isinstance(row, dict) and isinstance(row.get("text"), str)
                yield number, row if good else "it has no `text`"
    except OSError as error:
        raise IntendantError(f"{file} cannot be read: {error.strerror}") from None


def _document(text: str, done: "Compression") -> dict[str, Any]:
    from intendant.planning.standalone import default_counter

    return {
        "text": done.text,
        "tokens_before": done.tokens_before,
        "tokens_after": done.tokens_after,
        "counted": default_counter().name,
        "saved": round(done.saved / done.tokens_before, 4) if done.tokens_before else 0.0,
        "quality": round(done.quality, 4),
        "strategies": [] if done.strategy == "none" else done.strategy.split("+"),
        "receipt": {
            "sha256": sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            "lossless": done.lossless,
            "preserving": done.preserving,
            "dropped": list(done.dropped),
        },
    }


def _show_diff(text: str, done: "Compression") -> None:
    from difflib import unified_diff

    lines = unified_diff(text.splitlines(), done.text.splitlines(), "original", done.strategy, lineterm="", n=1)
    print("\n".join(lines))
    print(f"{done.tokens_before} tokens → {done.tokens_after}; {', '.join(done.dropped) or 'nothing left out'}")

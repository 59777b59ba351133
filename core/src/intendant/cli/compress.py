"""`intendant compress`: text in, text out."""

import json
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import WRONG, command, print_json
from intendant.cli.terminal import write_document
from intendant.model.errors import ConnectorError, IntendantError
from intendant.text.decoding import LOOKED_AT, decode_lines, decode_text, encoding_of

if TYPE_CHECKING:
    from intendant.model.results import Compression


MOST_BYTES = 500_000_000
"""Of a file; more is refused."""
SHORT = 100
"""Tokens of a text of which nothing is left out unless a size is asked for."""
NAMED = 8
"""Lost facts that are named."""
MOST_LOST = 200
"""Lost facts in a receipt."""


@command()
def compress(
    file: Annotated[Path | None, typer.Argument(help="A text, or JSONL (`id`, `text`, `query`).")] = None,
    *,
    strategy: Annotated[str, typer.Option("--strategy", help="A compressor's name, `auto`, or `none`.")] = "auto",
    target: Annotated[
        float | None, typer.Option("--target", help="Share of the tokens to keep, such as 0.5.")
    ] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", help="Number of tokens to keep.", min=0)] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Lossless compression only.")] = False,
    dense: Annotated[
        bool, typer.Option("--dense", help="Also split values into prefixes and references.")
    ] = False,
    protect: Annotated[
        list[str] | None, typer.Option("--protect", help="Keep what this regular expression matches.")
    ] = None,
    floor: Annotated[
        float, typer.Option("--floor", min=0, max=1, help="Share of critical facts that must survive.")
    ] = 0.0,
    risk: Annotated[
        float | None, typer.Option("--risk", help="Share of documents that may fall below the floor, such as 0.1.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", help="A file written by --calibrate; by default the project's own calibration."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", help="Write a calibration computed from rows with `text`, `query`, `facts`."),
    ] = None,
    query: Annotated[str, typer.Option("--query", help="The question that the text is to answer.")] = "",
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Encoding of the text, such as cp1252; by default UTF-8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON that includes the figures.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what was left out, line by line.")] = False,
    conversation: Annotated[
        bool, typer.Option("--conversation", help="Rows are the outputs of tools, in the order of `turn`.")
    ] = False,
) -> None:
    """Compress texts and keep what matters. JSONL in, JSONL out; any other text in, text out.

    Without --lossless, --target or --tokens about half of a longer text is left; what is lost is said on
    standard error. With --conversation (rows `id`, `conversation`, `turn`, `text`, `query`) what a conversation
    shows already becomes a reference, and lines of long texts go that are unlikely to be needed; each row is
    decided once.
    """
    if calibrate is not None:
        _calibrate(file, encoding, calibrate)
        return
    if conversation:
        _conversations(file, encoding, lossless=lossless)
        return
    from intendant.planning.standalone import compress as make_smaller, default_counter

    own = "" if calibration is None else str(calibration)
    held = _held(floor, risk, own)

    def made(text: str, wanted: str) -> "Compression":
        short = target is None and tokens is None and default_counter()(text) <= SHORT
        return make_smaller(
            text,
            strategy=strategy,
            target=target,
            tokens=tokens,
            lossless=lossless or short,
            dense=dense,
            protect=tuple(protect or ()),
            floor=floor,
            risk=risk,
            calibration=own,
            query=wanted or query,
        )

    if file is not None and file.suffix == ".jsonl":
        _each(file, encoding, made, held)
        return
    text = _read(file, encoding)
    done = made(text, "")
    _tell_lost(text, done)
    if as_json:
        print_json(_document(text, done, held))
    elif diff:
        _show_diff(text, done)
    else:
        write_document(done.text)


def _held(floor: float, risk: float | None, calibration: str) -> dict[str, Any]:
    """What the receipt says of a floor that has a risk."""
    from intendant.planning.risk import least_quality, read, shipped

    if risk is None:
        return {}
    known = read(Path(calibration)) if calibration else shipped()
    asked = least_quality(floor, risk, calibration)
    return {"floor": floor, "risk": risk, "least_quality": asked, "calibrated_on": len(known.documents)}


def _calibrate(file: Path | None, encoding: str | None, out: Path) -> None:
    """Compress documents whose critical facts are given, and write what survives at which quality."""
    from intendant.planning.risk import calibrate as measured
    from intendant.planning.standalone import compress as make_smaller

    if file is None or file.suffix != ".jsonl":
        raise IntendantError("--calibrate needs a file of rows", hint="name a .jsonl file")

    def made(text: str, query: str, size: float) -> tuple[str, float]:
        done = make_smaller(text, target=size, query=query)
        return done.text, done.quality

    rows = []
    for number, row in _rows(file, encoding):
        facts = row.get("facts") if isinstance(row, dict) else None
        if isinstance(row, str) or not isinstance(facts, list) or not all(isinstance(one, str) for one in facts):
            why = row if isinstance(row, str) else "it has no `facts`, a list of texts that stand in `text`"
            raise IntendantError(f"{file}, line {number}: {why}")
        rows.append((row["text"], str(row.get("query") or ""), facts))
    found = measured(rows, made)
    try:
        out.write_text(json.dumps(found.document()) + "\n", "utf-8")
    except OSError as error:
        raise IntendantError(f"{out} cannot be written: {error.strerror}") from None
    print(f"wrote {out}: {len(found.documents)} documents")


def _each(
    file: Path, encoding: str | None, made: "Callable[[str, str], Compression]", held: dict[str, Any]
) -> None:
    """Compress the text of each line of a JSONL file."""
    bad = lossy = 0
    for number, row in _rows(file, encoding):
        if isinstance(row, str):
            bad += 1
            print(json.dumps({"line": number, "error": row}))
            continue
        done = made(row["text"], str(row.get("query") or ""))
        lossy += _is_lossy(done)
        print(json.dumps({"id": row.get("id"), **_document(row["text"], done, held)}, ensure_ascii=False))
    if lossy:
        print(f"lossy: {lossy} texts lost content; `receipt.lost` names their lost facts", file=sys.stderr)
    _end(bad)


def _conversations(file: Path | None, encoding: str | None, *, lossless: bool) -> None:
    """What is sent for each text of each conversation."""
    from intendant.planning.conversation import ContextCompressor

    if file is None or file.suffix != ".jsonl":
        raise IntendantError("--conversation needs a file of rows", hint="name a .jsonl file")
    contexts: dict[str, ContextCompressor] = {}
    bad = 0
    for number, row in _rows(file, encoding):
        if isinstance(row, str):
            bad += 1
            print(json.dumps({"line": number, "error": row}))
            continue
        name = str(row.get("conversation") or "")
        if name not in contexts:
            contexts[name] = ContextCompressor(lossless=lossless)
        shown = contexts[name].fit(row["text"], query=str(row.get("query") or ""))
        figures = {"tokens_before": shown.tokens_before, "tokens_after": shown.tokens_after}
        done = {"id": row.get("id"), "text": shown.text, **figures, "left_out": shown.left_out}
        print(json.dumps(done, ensure_ascii=False))
    _end(bad)


def _end(bad: int) -> None:
    """Say how many lines could not be read, if any, and exit with that."""
    if bad:
        print(f"{bad} lines could not be read", file=sys.stderr)
        raise typer.Exit(WRONG)


def _read(file: Path | None, encoding: str | None) -> str:
    name = "standard input" if file is None else str(file)
    return decode_text(_bytes(file, name), name, encoding, hint="name its encoding, such as --encoding cp1252")


def _bytes(file: Path | None, name: str) -> bytes:
    try:
        with sys.stdin.buffer if file is None else file.open("rb") as source:
            data = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise IntendantError(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise IntendantError(f"{name} is larger than {MOST_BYTES} bytes", hint="compress it in parts")
    return data


def _rows(file: Path, encoding: str | None) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(_lines(file, encoding), 1):
        if isinstance(line, ConnectorError):
            yield number, line.message
        elif line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"
                continue
            good = isinstance(row, dict) and isinstance(row.get("text"), str)
            yield number, row if good else "it has no `text`"


def _lines(file: Path, encoding: str | None) -> Iterator[str | ConnectorError]:
    """The lines of a file; of one in UTF-8 a line that is not is an error of its own."""
    try:
        with file.open("rb") as source:
            codec = encoding_of(source.read(LOOKED_AT), encoding)
            if codec == "utf-8":
                source.seek(0)
                yield from decode_lines(source)
                return
    except OSError as error:
        raise IntendantError(f"{file} cannot be read: {error.strerror}") from None
    yield from _read(file, encoding).split("\n")


def _is_lossy(done: "Compression") -> bool:
    return done.strategy != "none" and not done.lossless and not done.preserving


def _lost(text: str, done: "Compression") -> list[str]:
    """The facts of *text* that are gone, the weightiest first."""
    from intendant.text.facts import facts_in

    if not _is_lossy(done):
        return []
    gone = [(weight, fact) for fact, weight in facts_in(text).items() if fact not in done.text]
    return [fact for _, fact in sorted(gone, key=lambda pair: -pair[0])]


def _tell_lost(text: str, done: "Compression") -> None:
    """Say on standard error what is lost."""
    if not _is_lossy(done):
        return
    lost = _lost(text, done)
    names = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED} more" if len(lost) > NAMED else "")
    facts = f"facts lost: {names}" if lost else "no figure, name or identifier is lost"
    left = f"{done.tokens_after} of {done.tokens_before} tokens are left"
    dropped = f"; left out: {', '.join(done.dropped)}" if done.dropped else ""
    print(f"lossy: {left}{dropped}; {facts} (--lossless leaves nothing out)", file=sys.stderr)


def _document(text: str, done: "Compression", held: dict[str, Any]) -> dict[str, Any]:
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
            "lost": _lost(text, done)[:MOST_LOST],
            **held,
        },
    }


def _show_diff(text: str, done: "Compression") -> None:
    from difflib import unified_diff

    lines = unified_diff(text.splitlines(), done.text.splitlines(), "original", done.strategy, lineterm="", n=1)
    print("\n".join(lines))
    print(f"{done.tokens_before} tokens → {done.tokens_after}; {', '.join(done.dropped) or 'nothing left out'}")

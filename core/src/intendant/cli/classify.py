"""`intendant classify`: classifies steps of any platform by intent, one JSON object per line."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer  # noqa: TID253

from intendant.cli.shared import WRONG, DbOption, Session, SetOption, command
from intendant.cli.terminal import make_console
from intendant.model.errors import IntendantError
from intendant.model.results import Classification
from intendant.planning.classification import ClassificationMemory, step_key
from intendant.text.surrogates import writable

CHUNK = 500
"""Lines that are in memory at a time."""
DIGITS = 4


@command()
def classify(
    file: Annotated[Path, typer.Argument(help="JSONL: one step per line, or an object with `row` and `step`.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; by default standard output.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Readable output, with the signals that decided.")
    ] = False,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="The lines have labels (`gold`): print an evaluation of the answers."),
    ] = False,
    correct: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--correct",
            metavar="ROW INTENT",
            help="Remember a correction: the intent of a row's step; `none`: not a step.",
        ),
    ] = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Classify steps of any platform by intent.

    The output has one JSON object per line: row (or id), intent (null: not a step of work), confidence, second,
    method and signals. Exit code 2 if lines could not be read; their answer is an `error`.
    """
    if not file.exists() or file.is_dir():
        raise IntendantError(f"there is no file {file}")
    with Session(settings, db) as session:
        if correct is not None:
            _correct(session, file, *correct)
        elif evaluate:
            _evaluate(session, file)
        else:
            bad = _classify(session, file, out, explain=explain)
            if bad:
                print(f"{bad} lines could not be read", file=sys.stderr)
                raise typer.Exit(WRONG)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each line's number, and its object or what is wrong with it."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"
                continue
            step = row.get("step", row) if isinstance(row, dict) else None
            yield number, row if isinstance(step, dict) else "neither a step nor an object with `step`"


def _step(row: dict[str, Any]) -> dict[str, Any]:
    step: dict[str, Any] = row.get("step", row)
    return step


def _name(row: dict[str, Any]) -> dict[str, Any]:
    if "row" in row:
        return {"row": row["row"]}
    return {"id": _step(row).get("id")}


def answers(session: Session, file: Path) -> Iterator[tuple[int, dict[str, Any] | str, Classification | None]]:
    """Each line's number, its row or what is wrong with it, and the answer; in chunks, in constant memory."""
    classifiers = [item for item in session.engine.plugins.classifiers.values() if not item.asks_model]
    if not classifiers:
        raise IntendantError("no classifier is installed", hint="pip install intendant-classify-local")
    specs = session.engine.plugins.specs
    rows = _rows(file)
    while chunk := list(islice(rows, CHUNK)):
        known = _corrections(session, [_step(row) for _, row in chunk if isinstance(row, dict)])
        for number, row in chunk:
            answer: Classification | None = None
            if isinstance(row, dict):
                answer = known.get(step_key(_step(row)))
                for classifier in classifiers:
                    answer = answer or classifier.classify_raw(_step(row), specs)
            yield number, row, answer


def _corrections(session: Session, steps: list[dict[str, Any]]) -> dict[str, Classification]:
    from intendant.record.store import intent_labels

    if not session.engine.store_exists:
        return {}
    labels = intent_labels.find(step_key(step) for step in steps)
    found = session.do(session.engine.store.do(labels))
    return {key: Classification.model_validate_json(text) for key, text in found.items()}


def _classify(session: Session, file: Path, out: Path | None, *, explain: bool) -> int:
    bad = 0
    # Beside the target first: the target may be the file that is read.
    part = out.with_name(f"{out.name}.part") if out is not None else None
    target = part.open("w", encoding="utf-8") if part is not None else nullcontext(sys.stdout)
    with target as stream, _progress(file, out) as advance:
        for number, row, answer in answers(session, file):
            if isinstance(row, str):
                bad += 1
                _print(stream, {"line": number, "error": row})
            elif explain:
                _explain(stream, row, answer)
            else:
                _print(stream, {**_name(row), **_document(answer)})
            advance()
    if part is not None and out is not None:
        part.replace(out)
    return bad


def _print(stream: TextIO, value: dict[str, Any]) -> None:
    print(json.dumps(writable(value), ensure_ascii=False), file=stream)


def _document(answer: Classification | None) -> dict[str, Any]:
    if answer is None:
        return {"intent": None, "confidence": 0.0, "second": None, "method": "none", "signals": []}
    return {
        "intent": answer.intent,
        "confidence": round(answer.confidence, DIGITS),
        "second": answer.second,
        "method": answer.method,
        "signals": [
            {"text": item.text, "intent": item.intent, "weight": round(item.weight, DIGITS)}
            for item in answer.signals
        ],
    }


def _explain(stream: TextIO, row: dict[str, Any], answer: Classification | None) -> None:
    name = next(iter(_name(row).values()))
    found = _document(answer)
    second = f", else {found['second']}" if found["second"] else ""
    print(
        f"{name}: {found['intent'] or 'no step of work'} ({found['confidence']:.0%}{second}, {found['method']})",
        file=stream,
    )
    for signal in found["signals"]:
        print(f"    {signal['weight']:+.2f} {signal['intent']}: {signal['text']}", file=stream)


class _progress:  # noqa: N801  # used as a function
    """A progress bar on a terminal, where the answers themselves go to a file."""

    def __init__(self, file: Path, out: Path | None) -> None:
        self._shown = out is not None and sys.stderr.isatty()
        self._file = file

    def __enter__(self) -> Any:
        if not self._shown:
            return lambda: None
        from rich.progress import Progress

        with self._file.open("rb") as lines:
            total = sum(1 for _ in lines)
        self._bar = Progress(console=make_console(stderr=True))
        self._bar.start()
        task = self._bar.add_task("classifying", total=total)
        return lambda: self._bar.advance(task)

    def __exit__(self, *_error: object) -> None:
        if self._shown:
            self._bar.stop()


def _correct(session: Session, file: Path, name: str, intent: str) -> None:
    wanted = None if intent == "none" else intent
    if wanted is not None and wanted not in session.engine.plugins.intents:
        known = ", ".join(session.engine.plugins.intents)
        raise IntendantError(f"no handler for intent '{intent}'", hint=f"installed: {known}; or say none")
    for _, row in _rows(file):
        if isinstance(row, dict) and str(next(iter(_name(row).values()))) == name:
            memory = ClassificationMemory(session.engine.store)
            session.do(memory.correct(_step(row), wanted))
            print(f"remembered: steps like {name} have the intent {intent}")
            return
    raise IntendantError(f"no line of {file} has the row or id '{name}'")


def _evaluate(session: Session, file: Path) -> None:
    from intendant.planning.evaluation import LabelledStep, evaluate

    steps, given = [], []
    for number, row, answer in answers(session, file):
        hint = "each line needs `step` and `gold` (an intent, or `none`)"
        if isinstance(row, str):
            raise IntendantError(f"{file}:{number}: {row}", hint=hint)
        try:
            steps.append(LabelledStep.of_row(row))
        except ValueError as error:
            raise IntendantError(f"{file}:{number}: {error}", hint=hint) from None
        given.append(answer)
    left = iter(given)
    print(evaluate(steps, lambda _step: next(left)).report())

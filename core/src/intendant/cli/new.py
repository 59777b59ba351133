"""`intendant new`: a workflow to start from."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated
from zipfile import ZipFile

import typer  # noqa: TID253

from intendant.cli.shared import JsonOption, app, command, print_json
from intendant.model.errors import IntendantError

new_app = typer.Typer(help="Create a workflow to start from.", no_args_is_help=True)
app.add_typer(new_app, name="new")

PACK = Path(__file__).with_name("jobs.zip")
"""The examples of the documentation; `docs/pack_jobs.py` makes it."""
FLOW = "flow.yaml"
NAME = re.compile(r"^name:.*$", re.MULTILINE)
START = """\
name: NAME
description: What this workflow is for
budget: {tokens: 20000, usd: 0.10}
inputs:
  text: {type: string, default: "The pump failed at 10:15. It was replaced by noon."}
steps:
  - id: summary
    intent: summarize
    input: "{{ inputs.text }}"
    prompt: What happened?
    options: {max_words: 60}
  - id: save
    intent: send
    uses: file.write
    with: {path: out/summary.md}
    input: "{{ steps.summary.output }}"
returns: {summary: "{{ steps.summary.output }}"}
"""


@command(name="flow", group=new_app)
def new_flow(
    name: Annotated[str, typer.Argument(help="The name of the workflow and of its folder.")],
    *,
    job: Annotated[str | None, typer.Option("--from", metavar="JOB", help="An example, such as invoices.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a workflow in a new folder: a small one, or an example with its data."""
    written = write_flow(Path(name), job)
    if as_json:
        print_json([str(path) for path in written])
        return
    for path in written:
        print(path)
    readme = Path(name) / "README.md"
    told = f"read {readme}, then: " if readme in written else ""
    print(f"{told}intendant plan {Path(name) / FLOW}")
    if job is None:
        print(f"to begin with an example: --from {', '.join(jobs())}")


def jobs() -> list[str]:
    """The names of the examples."""
    with ZipFile(PACK) as pack:
        return sorted({name.partition("/")[0] for name in pack.namelist()})


def write_flow(folder: Path, job: str | None) -> list[Path]:
    """Write a workflow that is called as its folder.

    Args:
        folder: Must be new, or empty.
        job: The example to begin with; None for a small workflow.

    Raises:
        IntendantError: There is no such example, or the folder has files, or cannot be written.
    """
    title = folder.resolve().name
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise IntendantError(f"{folder} is there already", hint="give another name; nothing was written")
    files = {FLOW: START.encode()} if job is None else _files_of(job)
    files[FLOW] = NAME.sub(f"name: {_quoted(title)}", files[FLOW].decode(), count=1).encode()
    try:
        return list(_write(folder, files))
    except OSError as error:
        raise IntendantError(f"{error.filename or folder} cannot be written: {error.strerror}") from None


def _write(folder: Path, files: Mapping[str, bytes]) -> Iterable[Path]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        yield path


def _files_of(job: str) -> dict[str, bytes]:
    from difflib import get_close_matches

    with ZipFile(PACK) as pack:
        found = {
            name.removeprefix(f"{job}/"): pack.read(name) for name in pack.namelist() if name.startswith(f"{job}/")
        }
    if FLOW not in found:
        known = jobs()
        close = get_close_matches(job, known, 1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        raise IntendantError(f"there is no example '{job}'", hint=f"{meant}there are: {', '.join(known)}")
    return found


def _quoted(title: str) -> str:
    """A name as YAML."""
    import json

    return title if re.fullmatch(r"[A-Za-z][\w-]*", title) else json.dumps(title, ensure_ascii=False)

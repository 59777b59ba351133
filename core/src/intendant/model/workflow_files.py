"""Reads the text of workflow files."""

from pathlib import Path

from intendant.model.errors import Problem, WorkflowError

MAX_FILE_BYTES = 20_000_000
STDIN = "standard input"
"""What a workflow from there is called in messages."""


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        WorkflowError: It cannot be read, is too long, or not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise WorkflowError([Problem(f"the file is larger than {MAX_FILE_BYTES} bytes", file=str(path))])
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise WorkflowError([Problem("there is no such file", file=str(path))]) from None
    except OSError as error:
        raise WorkflowError([Problem(error.strerror or "cannot be read", file=str(path))]) from None
    except UnicodeDecodeError as error:
        problem = Problem(f"byte {error.start} is not UTF-8", "save the file as UTF-8", file=str(path))
        raise WorkflowError([problem]) from None


def standard_input() -> str:
    """The text of standard input.

    Raises:
        WorkflowError: It is too long, or not UTF-8.
    """
    import sys

    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise WorkflowError([Problem(f"it is longer than {MAX_FILE_BYTES} bytes", file=STDIN)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WorkflowError([Problem(f"byte {error.start} is not UTF-8", file=STDIN)]) from None

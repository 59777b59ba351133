"""What the commands share: the application, options, errors as messages and exit codes."""

import asyncio
import errno
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, Self, TypeVar

import typer  # noqa: TID253  # this module is the command line

from intendant.cli.signals import run_until_done
from intendant.config.logs import get_logger
from intendant.hooks.redaction import redacted
from intendant.model.errors import BudgetExceeded, IntendantError, Problem, RecordBroken, WorkflowError
from intendant.model.money import money as money  # noqa: PLC0414  # what commands share

if TYPE_CHECKING:
    from intendant.config.settings import Settings
    from intendant.model.results import Failure

log = get_logger("intendant.settings")
P = ParamSpec("P")
R = TypeVar("R")

FAILED, WRONG, REFUSED, WAITING, BROKEN, INTERRUPTED = 1, 2, 3, 4, 5, 130
"""Exit codes: a step failed; the file or the arguments are wrong; refused for budget, or overrun; waiting for a
person; the record is broken; interrupted by Ctrl-C."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""Why standard output cannot be written."""

COMMANDS = {
    "run_not_found": "`intendant runs` lists the runs",
    "run_active": "make sure that its process has ended, then take it over: intendant resume RUN --take-over",
}
"""What to do about errors, by code."""

app = typer.Typer(
    name="intendant",
    help="Runs LLM workflows under a token budget that cannot be overspent.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DbOption = Annotated[
    str | None, typer.Option("--db", help="Where runs are stored: a database URL, or `none` for memory only.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
FullOption = Annotated[
    bool, typer.Option("--full", help="Print long return values in full and, with --json, large outputs.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="A setting, such as budget.strategy=equal. May be repeated."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from intendant import __version__

        print(f"intendant {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to standard error.")] = False,
    config: Annotated[
        str | None, typer.Option("--config", help="A settings file to read instead of the user's own.")
    ] = None,
) -> None:
    """Runs LLM workflows under a token budget that cannot be overspent."""
    if config is not None:
        os.environ["INTENDANT_CONFIG"] = config
    _log_to_stderr(logging.DEBUG if verbose else logging.ERROR)


def _be_verbose(wanted: bool) -> None:
    if wanted:
        _log_to_stderr(logging.DEBUG)


VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log to standard error.", callback=_be_verbose)
]


def _log_to_stderr(level: int) -> None:
    logging.getLogger("intendant").setLevel(level)
    level = max(level, logging.INFO)  # what other libraries report at DEBUG concerns their developers
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)
    quiet_structlog(level)


def quiet_structlog(level: int | None = None) -> None:
    """Keep libraries that use structlog's own printing loggers from writing into our output.

    Done again when plugins have been imported: structlog is not imported for it, and takes effect as late as that.
    """
    structlog = sys.modules.get("structlog")
    if structlog is not None:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level or logging.root.level),
            logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        )


def command(
    *, name: str | None = None, group: typer.Typer | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a command, in a *group* such as `intendant budget` where one is given.

    Errors meant for users become a message and an exit code, never a traceback.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        made = guarded(function)
        (app if group is None else group).command(name=name)(made)
        return made

    return register


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """The same, with errors as messages and exit codes."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except IntendantError as error:
            give_up(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            sys.stdout = None  # nobody reads: do not complain at exit either
            raise typer.Exit(FAILED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            log.debug("unexpected_error", exc_info=True)
            if isinstance(error, OSError) and (where := _place_of(error)):
                # The system's word, and no defect: a folder that is not this user's, a disk that is full.
                print(f"error: {where}: {error.strerror}", file=sys.stderr)
                raise typer.Exit(FAILED) from None
            # A defect of ours, or of a plugin's: users can do no more than report it.
            print(f"error: unexpected {type(error).__name__}: {redacted(str(error))}", file=sys.stderr)
            print("    hint: `intendant -v …` shows where; please report it", file=sys.stderr)
            raise typer.Exit(FAILED) from None

    return called


def _place_of(error: OSError) -> str:
    """What could not be used: a file, or the output; empty if neither was it."""
    if error.filename is None and error.errno in UNWRITABLE:
        sys.stdout = None  # do not complain at exit either
        return "the output cannot be written"
    return str(error.filename) if error.filename is not None and error.errno is not None else ""


def give_up(error: IntendantError, *, as_json: bool) -> NoReturn:
    """Show an error and exit with its code."""
    if as_json:
        print_json({"error": describe_error(error)})
    else:
        print(
            f"error: {error.message}" if not isinstance(error, WorkflowError) else error.message,
            file=sys.stderr,
        )
        if hint := hint_of(error):
            print(f"    hint: {hint}", file=sys.stderr)
    raise typer.Exit(code_of(error))


def code_of(error: IntendantError) -> int:
    """The exit code of an error."""
    if isinstance(error, RecordBroken):
        return BROKEN
    return REFUSED if isinstance(error, BudgetExceeded) else WRONG


def hint_of(error: IntendantError) -> str:
    """What to do about an error, in terms of commands where there is one for it."""
    if isinstance(error, BudgetExceeded) and error.scope.startswith(("agent:", "tenant:")):
        scope, _, period = error.scope.rpartition("/")
        return f"raise the limit: intendant budget set {scope} --per {period.partition(':')[0]} …"
    return COMMANDS.get(error.code, "") or error.hint


_STANDING = re.compile(r"budget of ((?:agent|tenant):.+)/(day|month):")


def hint_of_failure(failure: "Failure") -> str:
    """The same for the failure of a step."""
    standing = _STANDING.search(failure.message) if failure.code == BudgetExceeded.code else None
    if standing is not None:
        return f"raise the limit: intendant budget set {standing[1]} --per {standing[2]} …"
    return COMMANDS.get(failure.code, "") or failure.hint


def describe_error(error: IntendantError) -> dict[str, Any]:
    """An error as JSON."""
    described: dict[str, Any] = {"type": type(error).__name__, "code": error.code}
    described |= {"message": error.message, "hint": hint_of(error)}
    if isinstance(error, WorkflowError):
        described["problems"] = [_problem(problem) for problem in error.problems]
    return described


def _problem(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__slots__}


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def load_settings(assignments: list[str] | None) -> "Settings":
    """The settings of a command: all files and the environment, and over them its `--set` options.

    Says on standard error what a file of the working folder may not set.
    """
    from intendant.config.layers import merge_assignments
    from intendant.config.settings import Settings

    settings = Settings.load(merge_assignments(assignments or []))
    for file, keys in settings.left_out.items():
        print(
            f"warning: {file} of this folder is not trusted; left out: {', '.join(keys)}\n"
            "    hint: read the file; `intendant trust` lets it set them",
            file=sys.stderr,
        )
    log.info("settings_in_force", **settings.in_force)
    return settings


class Session:
    """An engine, and a loop to use it in, for one command.

    Args:
        settings: `--set` options.
        db: Database URL, `none` for memory only.
    """

    def __init__(self, settings: list[str] | None, db: str | None = None) -> None:
        from intendant.pilot.engine import Engine
        from intendant.pilot.service import OrchestrationService

        self.engine = Engine(load_settings(settings), db=db)
        self.service = OrchestrationService.of(self.engine)
        quiet_structlog()
        self._loop = asyncio.new_event_loop()

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine; SIGINT and SIGTERM cancel it."""
        return run_until_done(self._loop, work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.run_until_complete(self.engine.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

"""Breaks the code in one place at a time, and looks which tests see it: a mutation sample.

    python tests/mutants.py [--count 200] [--seed 1] [--jobs 2] [--coverage FILE] [MODULE...]

Mutants are those of cosmic-ray's operators, drawn from `planning`, `spending`, `pilot` and `record`, or from modules
and folders of them, such as `planning/risk.py` and `record/store`. Each is executed in a copy of the core's sources,
with the tests that reach its line, until one fails. A mutant that no test reaches, or that all tests pass, has
survived; it is listed with its change. A test that fails, or a run of tests that takes too long, counts only where the
sources as they are pass.
"""

import argparse
import ast
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from queue import Queue

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import apply_mutation
from coverage import CoverageData

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "core/src"
WINGS = ("planning", "spending", "pilot", "record")
SUITES = ("core/tests", "tests", "plugins", "contrib")
LEFT_OUT = ("tests/e2e", "tests/test_ledger_trials.py", "tests/test_writer_kills.py", "tests/test_docs.py")
"""Too slow for each mutant, or about the text of the sources."""
FIRST, MOST = 40, 400
"""So many of the tests that reach a line are tried at first, and so many where these pass."""
OF_ONE_FUNCTION = 4
"""Of the parameters of one test, so many are tried before those of all others."""
SECONDS, SECONDS_OF_ONE = 600, 30
"""A mutant that lets its tests, or one of them, run for longer hangs."""
OUTCOMES = {0: "passed", 1: "failed"}


@dataclass(frozen=True)
class Mutant:
    """One change of one place."""

    module: str
    """The path of its file below `core/src`."""
    operator: str
    occurrence: int
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.operator.partition('/')[2]}"


def mutants_of(path: Path) -> Iterable[Mutant]:
    """Every mutant of a file, but for those of signatures and annotations, which type checkers see."""
    module = str(path.relative_to(SOURCES))
    tree, ignored = get_ast_from_path(path), declarations(path)
    for name in cosmic_ray.plugins.operator_names():
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or name.endswith("NoOp"):
            continue
        made = operator()
        places = (start for node in ast_nodes(tree) for start, _ in made.mutation_positions(node))
        for occurrence, (line, column) in enumerate(places):
            if not any(first <= (line, column) < last for first, last in ignored):
                yield Mutant(module, name, occurrence, line)


def declarations(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a file has signatures, annotations and what is for type checkers alone, as first and last places.

    They also see what the arguments of a `dataclass` are for: an attribute that is set, or unknown.
    """
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AnnAssign):
            noted = node.annotation
            found.append(((noted.lineno, noted.col_offset), (noted.end_lineno or 0, noted.end_col_offset or 0)))
        elif isinstance(node, ast.ClassDef):
            calls = [each for each in node.decorator_list if isinstance(each, ast.Call) and each.keywords]
            found += [
                (
                    (each.keywords[0].lineno, each.keywords[0].col_offset),
                    (each.end_lineno or 0, each.end_col_offset or 0),
                )
                for each in calls
                if ast.unparse(each.func) == "dataclass"
            ]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            found.append(((node.lineno, node.col_offset), (node.body[0].lineno, node.body[0].col_offset)))
    return found


def cover(file: Path) -> None:
    """Run the tests once, and note which lines each of them reaches."""
    left_out = [f"--ignore={name}" for name in LEFT_OUT]
    command = ["pytest", "-q", "-n", "auto", "-m", "not slow", "-p", "no:cacheprovider", *left_out, *SUITES]
    measured = ["--cov=intendant", "--cov-context=test", "--cov-report="]
    environment = {**os.environ, "COVERAGE_FILE": str(file), "INTENDANT_SAMPLE": "10"}
    subprocess.run([sys.executable, "-m", *command, *measured], cwd=ROOT, env=environment, check=False)


class Reach:
    """Which tests could see a change of a line, by a coverage file."""

    def __init__(self, file: Path) -> None:
        self._data = CoverageData(str(file))
        self._data.read()
        self._lines: dict[str, Lines] = {}
        self._imports: dict[str, set[str]] = {}
        self.size = Counter(
            test
            for path in sorted(SOURCES.rglob("*.py"))
            for tests in self._of(str(path.relative_to(SOURCES))).values()
            for test in tests
        )
        """How many lines each test reaches."""
        self._named: dict[str, set[tuple[str, int]]] = {}
        for path in SOURCES.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = (
                    node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
                )
                self._named.setdefault(name, set()).add(
                    (str(path.relative_to(SOURCES)), getattr(node, "lineno", 0))
                )

    def _of(self, module: str) -> "Lines":
        if module not in self._lines:
            found = self._data.contexts_by_lineno(str(SOURCES / module))
            self._lines[module] = {
                line: {sys.intern(name.rpartition("|")[0]) for name in contexts if "|" in name}
                for line, contexts in found.items()
            }
        return self._lines[module]

    def tests(self, mutant: Mutant) -> Sequence[str]:
        """The tests that reach a line, or else its statement, in the order in which they are tried.

        What is executed at import is reached by the test that imports it first: there, the tests of files that import
        the module, and those that reach a line where the name stands that it defines. Last come those that reach
        the module: some start a process that reaches the line, or use what a cache has kept of another test.
        """
        module = self._of(mutant.module)
        lines, names = around((SOURCES / mutant.module).read_text(), mutant.line)
        about = {test for test in self.size if self._is_about(test.partition("::")[0], mutant.module)}
        if names:
            places = {place for name in names for place in self._named.get(name, ())}
            own = [place for place in places if place[0] == mutant.module and place[1] not in lines]
            choices = [[about, *(self._of(path).get(line, ()) for path, line in some)] for some in (own, places)]
        else:
            choices = [[module.get(mutant.line, ())], [module.get(line, ()) for line in lines]]
        found = next((tests for some in choices if (tests := set[str]().union(*some))), set[str]())
        rest = set[str]().union(*module.values()) - found
        return [*self._in_order(found, about), *self._in_order(rest, about)]

    def _is_about(self, file: str, module: str) -> bool:
        """True if a file of tests imports a module, or from it."""
        if file not in self._imports:
            nodes = ast.walk(ast.parse((ROOT / file).read_text()))
            self._imports[file] = {
                name
                for node in nodes
                if isinstance(node, ast.ImportFrom)
                for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
            }
        return module.removesuffix(".py").replace("/", ".") in self._imports[file]

    def _in_order(self, tests: Iterable[str], about: Collection[str]) -> Sequence[str]:
        """Tests of files about the module first, then those that reach little besides.

        Parameters of one test come late where others came before: they see much the same.
        """
        functions: Counter[str] = Counter()
        ordered: list[tuple[int, int, str]] = []
        for test in sorted(tests, key=lambda test: (test not in about, self.size[test], test)):
            function = test.partition("[")[0]
            ordered.append((functions[function] // OF_ONE_FUNCTION, len(ordered), test))
            functions[function] += 1
        return [test for _, _, test in sorted(ordered)]


Lines = Mapping[int, set[str]]
"""By line, the tests that reach it."""


def around(source: str, line: int) -> tuple[range, set[str]]:
    """The lines of a line's statement, without those of statements in it, and what it defines if executed at import."""
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    nest = sorted((node for node in statements if line in span(node)), key=lambda node: (start(node), -end(node)))
    if not nest:
        return range(line, line + 1), set()
    last = nest[-1]
    within = [start(node) for node in statements if node is not last and start(node) in span(last)]
    lines = range(start(last), max(min(within, default=end(last) + 1), start(last) + 1))
    functions = [node for node in nest if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if functions and (functions[0] is not last or line >= functions[0].body[0].lineno):
        return lines, set()
    if isinstance(last, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return lines, {last.name}
    stored = (node for node in ast.walk(last) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return lines, {node.id for node in stored}


def start(node: ast.stmt) -> int:
    """The first line of a statement, or of its decorators."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])


def end(node: ast.stmt) -> int:
    """The last line of a statement."""
    return node.end_lineno or node.lineno


def span(node: ast.stmt) -> range:
    """All lines of a statement."""
    return range(start(node), end(node) + 1)


class Trials:
    """Executes tests on a copy of the sources, and knows which of them pass without a mutant."""

    def __init__(self, untouched: Path) -> None:
        self._untouched = untouched
        self._passing: dict[tuple[str, ...], bool] = {}

    def is_seen(self, mutant: Mutant, tests: Sequence[str], copy: Path) -> bool:
        """True if one of *tests* fails with the mutant, and passes without it."""
        path = copy / mutant.module
        try:
            apply_mutation(path, cosmic_ray.plugins.get_operator(mutant.operator)(), mutant.occurrence)
            while tests:
                outcome, said = run(tests, copy)
                if outcome == "passed":
                    return False
                failed = failed_of(tests, said)
                if self._pass(failed or tuple(tests)):
                    return True
                if not failed:
                    print(f"{mutant}: its tests do not pass without it\n{said}", flush=True)
                    return False
                tests = [test for test in tests if test not in failed]
            return False
        finally:
            shutil.copy2(SOURCES / mutant.module, path)

    def _pass(self, tests: tuple[str, ...]) -> bool:
        if tests not in self._passing:
            self._passing[tests] = run(tests, self._untouched)[0] == "passed"
        return self._passing[tests]


def failed_of(tests: Iterable[str], said: str) -> tuple[str, ...]:
    """Which of *tests* failed, by what pytest says; none of them where a module could not be imported."""
    failed = re.findall(r"^(?:FAILED|ERROR) (.*)$", said, re.MULTILINE)
    return tuple(test for test in tests if any(f"{line} - ".startswith(f"{test} - ") for line in failed))


def run(tests: Sequence[str], sources: Path) -> tuple[str, str]:
    """How *tests* end on *sources*, until the first that fails, and what pytest says."""
    chosen = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", f"--timeout={SECONDS_OF_ONE}", *tests]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *chosen],
        cwd=ROOT,
        # A mutant may have the size, and the second, of the one before it: bytecode of that one would be taken for it.
        env={**os.environ, "PYTHONPATH": str(sources), "INTENDANT_SAMPLE": "10", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "hung", ""
    finally:
        # Also what the tests have started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return OUTCOMES.get(process.returncode, "broken"), said


def is_refused(mutant: Mutant) -> bool:
    """True if Python itself sees the change: it is no syntax, or `is` beside a literal, of which Python warns.

    Also where cosmic-ray cannot make it: it does not replace exceptions of other modules.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        try:
            compile(mutated(mutant), mutant.module, "exec")
        except (SyntaxError, SyntaxWarning, AttributeError):
            return True
    return False


def mutated(mutant: Mutant) -> str:
    """The source of a mutant's module, changed."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copy(SOURCES / mutant.module, name))
        apply_mutation(copy, cosmic_ray.plugins.get_operator(mutant.operator)(), mutant.occurrence)
        return copy.read_text()


def change_of(mutant: Mutant) -> str:
    """What a mutant changes, as lines with - and +."""
    before = (SOURCES / mutant.module).read_text().splitlines()
    changes = unified_diff(before, mutated(mutant).splitlines(), n=0, lineterm="")
    # A head of two lines, and one before each place.
    return "\n".join(f"    {line[0]} {line[1:].strip()}" for line in islice(changes, 2, None) if line[0] in "-+")


def files_of(path: Path) -> Sequence[Path]:
    """The modules of a folder, or the one of a file."""
    if not path.exists():
        sys.exit(
            f"there is no {path.relative_to(SOURCES / 'intendant')}: give files or folders of {', '.join(WINGS)}"
        )
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--coverage", type=Path, help="Which test reaches what; made where it is not there.")
    parser.add_argument(
        "modules", nargs="*", metavar="MODULE", default=WINGS, help="Files or folders to draw from."
    )
    options = parser.parse_args()
    chance = random.Random(options.seed)
    everything = [
        mutant
        for module in options.modules
        for path in files_of(SOURCES / "intendant" / module)
        if "migrations" not in path.parts
        for mutant in mutants_of(path)
    ]
    chance.shuffle(everything)
    sample = list(islice((mutant for mutant in everything if not is_refused(mutant)), options.count))
    with tempfile.TemporaryDirectory() as name:
        file = options.coverage or Path(name) / "coverage"
        if not file.is_file():
            cover(file)
        reach = Reach(file)
        trials = Trials(SOURCES)
        copies: Queue[Path] = Queue()
        for job in range(options.jobs):
            copies.put(Path(shutil.copytree(SOURCES, Path(name) / f"copy{job}")))

        def seen(mutant: Mutant) -> bool:
            tests = reach.tests(mutant)
            copy = copies.get()
            try:
                was_seen = any(
                    trials.is_seen(mutant, some, copy) for some in (tests[:FIRST], tests[FIRST:MOST]) if some
                )
            finally:
                copies.put(copy)
            if not was_seen:
                why = f"{len(tests)} tests reach it or its module" if tests else "no test reaches it"
                print(f"survived: {mutant}  ({why})\n{change_of(mutant)}", flush=True)
            return was_seen

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(seen, sample))
    print(
        f"{sum(results)} of {len(sample)} mutants were seen: {sum(results) / len(sample):.1%}; seed {options.seed}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Breaks the code in one place at a time, and looks which tests see it: a mutation sample.

    python tests/mutants.py [--count 200] [--seed 1] [--jobs 2] [--coverage FILE]

Mutants are those of cosmic-ray's operators, drawn from `planning`, `spending`, `pilot` and `record`. Each is executed
in a copy of the core's sources, with the tests that reach its line, until one fails. A mutant that no test reaches,
or that all tests pass, has survived; it is listed with its change.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import apply_mutation
from coverage import CoverageData

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "core/src"
WINGS = ("planning", "spending", "pilot", "record")
SUITES = ("core/tests", "tests", "plugins")
LEFT_OUT = ("tests/e2e", "tests/test_ledger_trials.py", "tests/test_writer_kills.py", "tests/test_docs.py")
"""Too slow for each mutant, or about the text of the sources."""
MOST_TESTS = 60
"""So many of the tests that reach a line are tried: those that reach most of its module, then others by chance."""
OF_THE_MODULE = 45
"""How many of them are those."""
SECONDS = 150
"""A mutant that lets its tests run for longer is seen: it hangs."""


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
    """Where a file has signatures and annotations, as first and last places."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AnnAssign):
            noted = node.annotation
            found.append(((noted.lineno, noted.col_offset), (noted.end_lineno or 0, noted.end_col_offset or 0)))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append(((node.lineno, node.col_offset), (node.body[0].lineno, node.body[0].col_offset)))
    return found


def cover(file: Path) -> None:
    """Run the tests once, and note which lines each of them reaches."""
    left_out = [f"--ignore={name}" for name in LEFT_OUT]
    command = ["pytest", "-q", "-n", "auto", "-m", "not slow", "-p", "no:cacheprovider", *left_out, *SUITES]
    measured = ["--cov=intendant", "--cov-context=test", "--cov-report="]
    environment = {**os.environ, "COVERAGE_FILE": str(file), "INTENDANT_SAMPLE": "10"}
    subprocess.run([sys.executable, "-m", *command, *measured], cwd=ROOT, env=environment, check=False)


def tests_by_line(file: Path, module: str) -> Mapping[int, Sequence[str]]:
    """The tests that reach each line of a module."""
    data = CoverageData(str(file))
    data.read()
    lines: dict[int, Sequence[str]] = {}
    for line, contexts in data.contexts_by_lineno(str(SOURCES / module)).items():
        lines[line] = sorted({name.rpartition("|")[0] for name in contexts if "|" in name})
    return lines


def chosen_of(tests: Sequence[str], by_line: Mapping[int, Sequence[str]], chance: random.Random) -> Sequence[str]:
    """The tests of a line that are tried: thousands reach some, and most of these are about something else."""
    if len(tests) <= MOST_TESTS:
        return tests
    lines = Counter(test for found in by_line.values() for test in found)
    about = sorted(tests, key=lambda test: (-lines[test], test))
    first, rest = about[:OF_THE_MODULE], about[OF_THE_MODULE:]
    return [*first, *chance.sample(rest, MOST_TESTS - OF_THE_MODULE)]


def is_seen(mutant: Mutant, tests: Sequence[str], copy: Path) -> bool:
    """True if one of *tests* fails with the mutant."""
    path = copy / mutant.module
    before = path.read_text()
    try:
        apply_mutation(path, cosmic_ray.plugins.get_operator(mutant.operator)(), mutant.occurrence)
        chosen = ["-x", "-q", "-p", "no:cacheprovider", f"--timeout={SECONDS // 2}", *tests]
        environment = {**os.environ, "PYTHONPATH": str(copy), "INTENDANT_SAMPLE": "10"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *chosen],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(before)
    return done.returncode != 0


def change_of(mutant: Mutant) -> str:
    """What a mutant changes, as lines with - and +."""
    before = (SOURCES / mutant.module).read_text().splitlines()
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "m.py"
        shutil.copy(SOURCES / mutant.module, copy)
        apply_mutation(copy, cosmic_ray.plugins.get_operator(mutant.operator)(), mutant.occurrence)
        after = copy.read_text().splitlines()
    pairs = zip(before, after, strict=False)
    return "\n".join(f"    - {old.strip()}\n    + {new.strip()}" for old, new in pairs if old != new)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--coverage", type=Path, help="Which test reaches what; made where it is not there.")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    everything = [
        mutant
        for wing in WINGS
        for path in sorted((SOURCES / "intendant" / wing).rglob("*.py"))
        if "migrations" not in path.parts
        for mutant in mutants_of(path)
    ]
    sample = chance.sample(everything, min(options.count, len(everything)))
    with tempfile.TemporaryDirectory() as name:
        file = options.coverage or Path(name) / "coverage"
        if not file.is_file():
            cover(file)
        reached = {module: tests_by_line(file, module) for module in {mutant.module for mutant in sample}}
        copies: Queue[Path] = Queue()
        for job in range(options.jobs):
            copies.put(Path(shutil.copytree(SOURCES, Path(name) / f"copy{job}")))

        def seen(mutant: Mutant) -> bool:
            tests = reached[mutant.module].get(mutant.line, ())
            if not tests:
                return False
            chosen = chosen_of(tests, reached[mutant.module], random.Random(f"{options.seed}{mutant}"))
            copy = copies.get()
            try:
                return is_seen(mutant, chosen, copy)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(seen, sample))
    survivors = [mutant for mutant, was_seen in zip(sample, results, strict=True) if not was_seen]
    for mutant in survivors:
        why = "" if reached[mutant.module].get(mutant.line) else "  (no test reaches it)"
        print(f"survived: {mutant}{why}\n{change_of(mutant)}")
    share = 1 - len(survivors) / len(sample)
    print(f"{len(sample) - len(survivors)} of {len(sample)} mutants were seen: {share:.1%}; seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

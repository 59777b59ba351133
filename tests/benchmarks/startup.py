"""What starting costs: `import intendant` and `intendant plugins`, best of several fresh processes.

Run with compiled bytecode. Fails if a heavy library is imported; times are reported, not asserted.
"""

import subprocess
import sys
from time import perf_counter

ROUNDS = 7
CASES = {
    "python -c pass": (["-c", "pass"], None),
    "import intendant": (["-c", "import intendant"], 200),
    "import intendant, and use it": (["-c", "from intendant import OrchestrationService, Workflow"], None),
    "intendant plugins": (["-m", "intendant", "plugins"], 400),
    "intendant --version": (["-m", "intendant", "--version"], None),
}
HEAVY = ("anthropic", "openai", "sqlalchemy", "tiktoken", "genai_prices", "duckdb")


def best(arguments: list[str]) -> float:
    """Milliseconds of the fastest of several processes."""
    times = []
    for _ in range(ROUNDS):
        started = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(perf_counter() - started)
    return min(times) * 1000


def main() -> int:
    bare = best(CASES["python -c pass"][0])
    for name, (arguments, asked) in CASES.items():
        took = best(arguments)
        verdict = "" if asked is None else f"  asked: at most {asked} ms: {'met' if took <= asked else 'MISSED'}"
        print(f"{name:<30} {took:7.0f} ms  ({took - bare:+.0f} over the interpreter){verdict}")
    code = f"import sys, intendant; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    heavy = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    print(f"heavy imports of `import intendant`: {', '.join(heavy) or 'none'}")
    return 1 if heavy else 0


if __name__ == "__main__":
    sys.exit(main())

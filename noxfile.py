"""Every habit of the project is a session here. Needs `nox` and `uv`, both from the package index.

python -m nox -s demo       a real workflow on this checkout's own history
python -m nox -s tests      the default tests
python -m nox -l            all sessions
"""

import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
MEMBERS = sorted(
    path.parent
    for pattern in ("core", "plugins/*", "contrib/*")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
PYTHONS = ["3.11", "3.12", "3.13"]
UV = {"UV_PYTHON_DOWNLOADS": "never"}
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Tests start the command hundreds of times: to compile its sources each time would take most of their time."""
HAIKU = ROOT / "docs/examples/intendant-intent-haiku"
ONE_OF_EACH_KIND = (
    "intent-filter",
    "compress-template",
    "tier-fast",
    "budget-priority",
    "classify-local",
    "provider-openai",
    "connector-file",
)
TESTS = ("pytest", "-q", "-n", "auto", "-m", "not slow")
TEST_TOOLS = (
    "pytest>=9.2",
    "pytest-asyncio>=1.5",
    "pytest-timeout>=2.4",
    "pytest-httpserver>=1.2",
    "hypothesis>=6.150",
    "aiosmtpd>=1.4.6",
    "fpdf2>=2.8",
    "openpyxl>=3.1.5",
    "pymap>=0.36.7",
    "opentelemetry-sdk>=1.40",
)
"""With the peers that connectors, and extensions, are tested against."""


def sync(session: nox.Session, *options: str) -> None:
    """Install the workspace, exactly as locked, into the session's environment."""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--all-packages",
        "--all-extras",
        *options,
        f"--python={session.virtualenv.location}",
        env={**UV, "UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        external=True,
        silent=True,
    )


@nox.session
def demo(session: nox.Session) -> None:
    """Run the first example, with a live view, and say where its report is."""
    sync(session, "--no-default-groups")
    flow = ROOT / "docs/examples/release-notes/flow.yaml"
    db = "sqlite:///demo-output/demo.db"
    session.run(
        "intendant",
        "run",
        str(flow),
        "-i",
        "folder=demo-output",
        "--db",
        db,
        *session.posargs,
    )
    report = ROOT / "demo-output" / "release-notes.md"
    print(report.read_text(encoding="utf-8"))
    session.log(f"the report is in {report.relative_to(ROOT)}; the run: intendant show last --db {db}")


@nox.session
def tests(session: nox.Session) -> None:
    """The default tests of all members, in parallel; those that start the command are in `e2e` and `wheels`."""
    sync(session, "--compile-bytecode")
    session.run(*TESTS, "--ignore=tests/e2e", *session.posargs, env=COMPILED)


@nox.session
def e2e(session: nox.Session) -> None:
    """The end-to-end tests on this checkout; `wheels` runs them on what is installed."""
    sync(session, "--compile-bytecode")
    session.run(*TESTS, "tests/e2e", *session.posargs, env=COMPILED)


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The default tests on each Python that is on this machine; the others are skipped, and said so."""
    sync(session, "--compile-bytecode")
    session.run(*TESTS, *session.posargs, env=COMPILED)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, its formatter, and the rules about who may import whom."""
    sync(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over all sources; and over some plugins as a third party would check them."""
    sync(session)
    session.run("mypy", *(str(path / "src") for path in MEMBERS))
    # No test executes the benchmarks: what they call must be there.
    plain = "--config-file=tests/mypy_benchmarks.ini"
    session.run("mypy", plain, "tests/benchmarks", "tests/mutants.py", "docs/picture.py", silent=True)
    for path in (HAIKU, *(ROOT / "plugins" / name for name in ONE_OF_EACH_KIND)):
        session.run("mypy", "--config-file=tests/mypy_third_party.ini", str(path / "src"), silent=True)


@nox.session
def alone(session: nox.Session) -> None:
    """Each member's tests with nothing installed but what it declares."""
    chosen = [path for path in MEMBERS if not session.posargs or path.name in session.posargs]
    if unknown := set(session.posargs) - {path.name for path in chosen}:
        session.error(f"there is no member {', '.join(sorted(unknown))}: give names such as {MEMBERS[0].name}")

    def test(member: Path) -> None:
        name = "intendant" if member.name == "core" else f"intendant-{member.name}"
        session.run(
            "uv",
            "run",
            "--isolated",
            "--locked",
            "--no-default-groups",
            f"--python={sys.executable}",
            f"--package={name}",
            *(f"--with={tool}" for tool in TEST_TOOLS),
            "pytest",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            str(member / "tests"),
            env={**UV, **COMPILED, "INTENDANT_SAMPLE": "5"},
            external=True,
            silent=True,
            success_codes=[0, 5] if not list((member / "tests").glob("test_*.py")) else [0],
        )

    # The core's tests take longest: they come first.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(test, sorted(chosen, key=lambda path: path.name != "core")))


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every wheel; run the end-to-end tests from wheels, far from the sources."""
    dist = (Path(session.create_tmp()) / "dist").resolve()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("uv", "build", "--all-packages", "--wheel", "-q", "-o", str(dist), env=UV, external=True)
    built = sorted(str(path) for path in dist.glob("*.whl"))
    # As `intendant[tokens]` brings it: the examples' budgets are for tokens that are counted, not bounded.
    counter = "bpe-openai>=0.1.4"
    session.install("--compile-bytecode", *built, *TEST_TOOLS, counter, "pytest-xdist>=3.8", "pip")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "tests/e2e", Path(folder) / "e2e")
        shutil.copytree(ROOT / "docs/examples", Path(folder) / "examples")
        session.chdir(folder)
        environment = {
            "INTENDANT_EXAMPLES": str(Path(folder) / "examples"),
            "INTENDANT_WHEELS": str(dist),
            "INTENDANT_TRIALS": "15",
            **COMPILED,
        }
        session.run(
            "pytest",
            "-q",
            "-n",
            "auto",
            "-p",
            "no:cacheprovider",
            "-o",
            "asyncio_mode=auto",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
            "e2e",
            env=environment,
        )


@nox.session
def trials(session: nox.Session) -> None:
    """The full counts of trials that `tests` and `wheels` sample, some minutes each; the seed is an argument."""
    sync(session, "--compile-bytecode")
    seed = session.posargs[0] if session.posargs else "1"
    many = {**COMPILED, "INTENDANT_SEED": seed, "INTENDANT_SAMPLE": "400"}
    session.run("pytest", "-q", "-n", "auto", "-m", "slow or hypothesis or sampled", "--timeout=3000", env=many)
    killed = ("tests/test_agent_kills.py", "tests/test_delivery_kills.py", "tests/e2e/test_signals.py")
    session.run("pytest", "-q", "-n", "auto", *killed, "--timeout=3000", env={**many, "INTENDANT_TRIALS": "300"})
    graphs = "core/tests/test_certificates.py"
    session.run("pytest", "-q", "-n", "auto", graphs, "--timeout=3000", env={**many, "INTENDANT_GRAPHS": "10000"})
    requests = {**many, "INTENDANT_BAD_REQUESTS": "10000"}
    session.run("pytest", "-q", "contrib/dashboard", "-k", "breaks_a_page", "--timeout=3000", env=requests)
    machine = "core/tests/test_graph_machine.py"
    session.run("pytest", "-q", machine, "--timeout=6000", env={**many, "INTENDANT_MACHINES": "2000"})
    session.run("python", "tests/benchmarks/ledger_trials.py", "--trials", "10000", "--seed", seed)
    session.run("python", "tests/benchmarks/writer.py", "--kills", "50", "--seed", seed)


@nox.session
def mutants(session: nox.Session) -> None:
    """A mutation sample: changes of the core that no test sees. Seed, count and modules are arguments:
    `-- 1 200 record/store planning/risk.py`.
    """
    sync(session, "--compile-bytecode")
    session.install("cosmic-ray>=8.7", "pytest-cov>=7")
    seed, count, *modules = (*session.posargs, *("1", "200")[len(session.posargs) :])
    session.run("python", "tests/mutants.py", "--seed", seed, "--count", count, *modules, env=COMPILED)


@nox.session
def startup(session: nox.Session) -> None:
    """What starting costs, with compiled bytecode: reported, and heavy imports refused."""
    sync(session, "--compile-bytecode")
    session.run("python", "tests/benchmarks/startup.py", env=COMPILED)


@nox.session
def browser(session: nox.Session) -> None:
    """The dashboard in the system's Chromium, if there is one here; screenshots go to browser-output/."""
    chromium = os.environ.get("INTENDANT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        session.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    sync(session, "--compile-bytecode")
    session.install("playwright>=1.65", "axe-playwright-python>=0.1.8")
    env = {**COMPILED, "INTENDANT_CHROMIUM": chromium, "INTENDANT_SCREENSHOTS": str(ROOT / "browser-output")}
    session.run("pytest", "-q", "-n", "2", "contrib/dashboard/tests/test_browser.py", *session.posargs, env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks, with their tables and plots in bench-output/."""
    sync(session, "--compile-bytecode")
    Path("bench-output").mkdir(exist_ok=True)
    session.run("python", "tests/benchmarks/startup.py")
    session.run("python", "tests/benchmarks/overhead.py", *session.posargs)
    session.run("python", "tests/benchmarks/maps.py")
    session.run("python", "tests/benchmarks/ledger.py")
    session.run("python", "tests/benchmarks/dashboard.py")
    session.run("python", "tests/benchmarks/waiting_runs.py")
    session.run("python", "tests/benchmarks/writer.py", "--kills", "50")
    session.run("python", "tests/benchmarks/ledger_trials.py", "--trials", "10000")
    session.run("python", "tests/benchmarks/records.py", "--gigabyte")
    documents = ROOT.parent / "shared/data/compression"
    session.install("headroom-ai>=0.42", "toon-format>=1.2")
    session.run("python", "tests/benchmarks/compression.py", *([str(documents)] if documents.is_dir() else []))
    labelled = ROOT.parent / "shared/data/intents/dev.jsonl"
    if labelled.is_file():
        session.install("numpy>=2", "scipy>=1.14")
    session.run("python", "tests/benchmarks/classification.py", *([str(labelled)] if labelled.is_file() else []))
    if documents.is_dir():
        session.run("python", "tests/benchmarks/value.py", str(documents.parent))
    session.notify("peers")  # whose libraries want others than ours


@nox.session
def value(session: nox.Session) -> None:
    """What whole workloads cost with and without: routing, an agent's context, documents, and a mix of them."""
    sync(session, "--compile-bytecode")
    data = ROOT.parent / "shared/data"
    if not data.is_dir():
        session.error("it needs outcomes, runs and documents: see the head of tests/benchmarks/value.py")
    session.run("python", "tests/benchmarks/value.py", str(data), *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """What gets through other budgets and ours; what other routers add, how they choose; what checkpoints take."""
    session.install("litellm", "pydantic-ai-slim", "openai", "./core", "./plugins/provider-openai")
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    for script in ("ledger_peers.py", "gateway.py"):
        session.run("python", f"tests/benchmarks/{script}", env=offline)
    outcomes = ROOT.parent / "shared/data/routing/mmlu.dev.jsonl.gz"
    if outcomes.is_file():
        session.run("python", "tests/benchmarks/routing_peers.py", str(outcomes), env=offline)
    session.install("langgraph>=1.2", "langgraph-checkpoint-sqlite>=3")
    session.run("python", "-W", "ignore", "tests/benchmarks/storage.py")


def need_postgresql(session: nox.Session) -> None:
    """Skip the session where no PostgreSQL server can be started."""
    if not any([*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]):
        session.skip("PostgreSQL's programs are not on this machine (Debian: apt-get install postgresql)")


@nox.session
def postgresql(session: nox.Session) -> None:
    """The store's tests, and trials of the ledger, on a PostgreSQL server of their own, if there is one here."""
    need_postgresql(session)
    sync(session, "--compile-bytecode")
    on_server = ("python", "tests/benchmarks/own_server.py")
    session.run(
        *on_server,
        "pytest",
        "-q",
        "core/tests/test_store.py",
        "core/tests/test_standing.py",
        "core/tests/test_inbox.py",
        "core/tests/test_integrity.py",
        "core/tests/test_pruning.py",
        "core/tests/test_costs.py",
        "core/tests/test_embedding.py",
        "plugins/connector-sql/tests",
        "contrib/dbos/tests",
        "contrib/absurd/tests",
        "contrib/dashboard/tests/test_dashboard.py::test_pages_and_changes_are_the_same_over_postgresql",
        "tests/machines",
        *session.posargs,
    )
    trials = ("--trials", "60", "--tasks", "40", "--only", "postgresql")
    session.run(*on_server, "python", "tests/benchmarks/ledger_trials.py", *trials)


@nox.session
def machines(session: nox.Session) -> None:
    """Many machines on one PostgreSQL: figures beside those of DBOS, some minutes; arguments: `-- --trials 20`."""
    need_postgresql(session)
    sync(session, "--compile-bytecode")
    session.run("python", "tests/benchmarks/machines.py", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """The tests on the oldest versions that the members allow."""
    session.run_install(
        "uv",
        "pip",
        "install",
        "-q",
        "--resolution=lowest-direct",
        *(f"-e{path}" for path in MEMBERS),
        *TEST_TOOLS,
        f"--python={session.virtualenv.location}",
        env=UV,
        external=True,
    )
    session.run("pytest", "-q", "-m", "not slow", "core/tests", "tests/test_contracts.py", *session.posargs)


@nox.session
def bump(session: nox.Session) -> None:
    """Set every member's version: `nox -s bump -- 0.2.0`."""
    import re

    (version,) = session.posargs
    minor = ".".join(version.split(".")[:2])
    following = f"{minor.split('.')[0]}.{int(minor.split('.')[1]) + 1}"
    for file in [
        ROOT / "pyproject.toml",
        *(path / "pyproject.toml" for path in MEMBERS),
        HAIKU / "pyproject.toml",
    ]:
        text = re.sub(r'^version = ".*"$', f'version = "{version}"', file.read_text(), count=1, flags=re.MULTILINE)
        text = re.sub(r'"intendant>=[\d.]+,<[\d.]+"', f'"intendant>={minor},<{following}"', text)
        file.write_text(text)
    init = ROOT / "core/src/intendant/__init__.py"
    init.write_text(
        re.sub(r'^__version__ = ".*"$', f'__version__ = "{version}"', init.read_text(), flags=re.MULTILINE)
    )
    session.run("uv", "lock", env=UV, external=True)

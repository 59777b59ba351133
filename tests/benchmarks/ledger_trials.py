"""Tries to overspend: random trials of the gateway and the ledger, with a provider that keeps books of its own.

    python tests/benchmarks/ledger_trials.py [--trials 10000] [--seed 1] [--tasks 500] [--jobs 2] [--only KIND]

A trial is a database (memory, SQLite, or PostgreSQL where INTENDANT_TEST_POSTGRESQL names a server), 1 to 4
processes, 1 to 500 tasks that ask until they are refused, limits of an agent, a tenant and runs, and misfortunes:
refusals, errors after the bill, cut streams, cancellations, clocks that jump, sweepers that expire what is out, and
`kill -9` anywhere, after which a new process takes the run over and asks again. Each bill is appended to a file by
the provider before it answers: that file, and no figure of ours, is what limits are held against.

What must hold, in every trial:

- no limit is overspent by the provider's books, and each call is charged with no less than its bill;
- when all is over nothing is held, no hold or lease is open, and budgets agree with the sum of the ledger;
- a call whose answer is in the store is not billed again;
- the record verifies: whatever was killed, every row is one that an event commits to;
- where demand exceeds the limit and no process died, at least 99 % of it is used, or less is left than a call takes.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from intendant import BudgetExceeded, IntendantError
from intendant.config.settings import CallSettings, PriceSetting
from intendant.hooks.providers import Hold, Provider, StreamMeter, TokenCounting
from intendant.plugin import Message, ModelReply, ModelRequest, ProviderError, Route, Usage
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import (
    Store,
    bookings,
    clock as clock_module,
    database,
    holds,
    integrity,
    leases,
    limits,
    runs,
)
from intendant.record.store.tables import budget, hold, lease, ledger
from intendant.spending import (
    gateway as gateway_module,
    holding as holding_module,
    ledger as ledger_module,
    standing as standing_module,
)
from intendant.spending.calls import CallScope, next_key
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.pricing import Prices
from intendant.spending.standing import StandingBudgets
from intendant.spending.tokens import estimate_tokens

SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
ROUTE = Route(tier="t", provider="books", model="m", max_output_tokens=60, reason="")
PRICES = {"books/m": PriceSetting(input=3.0, output=11.0)}
LEAST_CALL = 62
"""Tokens of the longest request of a trial with the shortest answer: who is refused wanted no more than that."""
FAR = 10**11


@dataclass
class Plan:
    """One trial, all of it drawn from its seed."""

    seed: int
    most_tasks: int
    only: str | None = None
    kind: str = ""
    processes: int = 1
    tasks: int = 1
    limits: dict[tuple[str, str], tuple[int | None, int | None]] = field(default_factory=dict)
    run_tokens: int | None = None
    lease_seconds: float = 0.0
    faults: float = 0.0
    cancels: float = 0.0
    jumps: bool = False
    sweeps: bool = False
    kills: int = 0
    knows_keys: bool = False
    exhausting: bool = True
    streams: float = 0.0

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        kinds = ["memory", "sqlite", "sqlite", *(["postgresql"] if SERVER else [])]
        self.kind = self.only or chance.choice(kinds)
        self.processes = 1 if self.kind == "memory" else chance.randint(1, 4)
        self.tasks = max(self.processes, round(self.most_tasks ** chance.random()))
        fit = round(10 * 20 ** chance.random()) * LEAST_CALL
        scope, per = chance.choice(["agent", "tenant"]), chance.choice(["day", "month"])
        self.limits[scope, per] = (fit, None)
        if chance.random() < 0.4:
            self.limits["tenant" if scope == "agent" else "agent", chance.choice(["day", "month"])] = (
                None,
                round(fit * chance.uniform(3, 12)),
            )
        if chance.random() < 0.2:
            self.run_tokens = round(fit * chance.uniform(0.2, 1.5))
        self.lease_seconds = chance.choice([0.0, 0.05, 30.0])
        self.faults = chance.choice([0.0, 0.0, 0.1, 0.4])
        self.cancels = chance.choice([0.0, 0.0, 0.1])
        self.jumps = chance.random() < 0.15
        self.sweeps = chance.random() < 0.3
        self.kills = chance.randint(1, 3) if self.kind != "memory" and chance.random() < 0.3 else 0
        self.knows_keys = chance.random() < 0.3
        self.exhausting = chance.random() < 0.85
        self.streams = chance.choice([0.0, 0.3, 1.0])
        self.name = f"t{self.seed}x{uuid4().hex[:6]}"

    @property
    def calls(self) -> int:
        """Calls of each task."""
        wanted = max(amount or 0 for amount, _ in self.limits.values()) / 75
        return max(1, round(wanted * (4 if self.exhausting else 0.3) / self.tasks))


class Books(Provider):
    """A provider that writes each bill down, and fails in all the ways that providers do."""

    name = "books"

    def __init__(self, plan: Plan, path: Path, chance: random.Random) -> None:
        super().__init__()
        self.plan, self.chance = plan, chance
        self.knows_keys = plan.knows_keys
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.billed = billed_in(path)

    def available(self) -> bool:
        return True

    def models(self) -> Mapping[str, str]:
        return {"t": "m"}

    def token_counting(self, model: str) -> TokenCounting:
        return TokenCounting(estimate_tokens, exact=True)

    def bill(self, held: Hold, usage: Usage) -> None:
        """What the customer will be asked to pay, whatever becomes of the answer."""
        micro = -(-(usage.input_tokens * 3 + usage.output_tokens * 11) // 1)
        line = {"key": held.key, "tokens": usage.tokens, "micro": micro, "at": time.monotonic()}
        os.write(self.file, (json.dumps(line) + "\n").encode())
        self.billed[held.key] = usage.tokens

    def note_answer(self, call: str) -> None:
        """The customer has the answer of this call, and must not be billed for it again."""
        os.write(self.file, (json.dumps({"answered": call, "at": time.monotonic()}) + "\n").encode())

    async def complete(self, held: Hold, request: ModelRequest) -> ModelReply:
        chance = self.chance
        counted = held.tokens - held.max_output_tokens
        usage = Usage(input_tokens=counted, output_tokens=chance.randint(1, held.max_output_tokens))
        if self.knows_keys and (known := self.billed.get(held.key)):
            usage = Usage(input_tokens=counted, output_tokens=known - counted)
            return ModelReply(text="again", usage=usage, model="m", provider="books")
        await asyncio.sleep(chance.choice([0, 0, 0.0005, 0.002]))
        fate = chance.random()
        if fate < self.plan.faults / 3:
            raise ProviderError("refused", billed=False, retryable=chance.random() < 0.5)
        self.bill(held, usage)
        if fate < self.plan.faults * 2 / 3:
            raise ProviderError("broke off", billed=True, retryable=chance.random() < 0.5)
        if fate < self.plan.faults:
            raise ConnectionError("cut")
        await asyncio.sleep(chance.choice([0, 0, 0.0005, 0.002]))
        return ModelReply(text="yes", usage=usage, model="m", provider="books")

    async def stream(self, held: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Writes word by word; what was written is billed, whether the stream ends, breaks or is left."""
        chance, counted = self.chance, held.tokens - held.max_output_tokens
        if self.knows_keys and held.key in self.billed:
            return await self.complete(held, request)
        breaks = chance.random() < self.plan.faults
        if breaks and chance.random() < 0.3:
            raise ProviderError("refused", billed=False, retryable=chance.random() < 0.5)
        if chance.random() < 0.2:
            meter.hide()
        if chance.random() < 0.5:
            meter.used(Usage(input_tokens=counted, output_tokens=1))
        written, wanted = 0, chance.randint(1, held.max_output_tokens)
        try:
            for _ in range(wanted):
                written += 1
                meter.text("word ")
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.choice([0, 0.0005]))
                if breaks and chance.random() < 0.1:
                    raise ProviderError("broke off", billed=True, retryable=chance.random() < 0.5)
            await asyncio.sleep(0)
        finally:
            self.bill(held, Usage(input_tokens=counted, output_tokens=written))
        usage = Usage(input_tokens=counted, output_tokens=written)
        meter.used(usage)
        return ModelReply(text="word " * written, usage=usage, model="m", provider="books")


def billed_in(path: Path) -> dict[str, int]:
    """What each call was billed so far; a process that takes over finds the bills of the one that died."""
    # Others may be writing: what has no end yet is not there yet.
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    lines = [json.loads(line) for line in whole.splitlines()]
    return {line["key"]: line["tokens"] for line in lines if "key" in line}


# --- one process ---


async def work(plan: Plan, url: str, folder: Path, number: int, life: int) -> None:
    """A process: its run, its share of the tasks."""
    chance = random.Random(plan.seed * 1000 + number * 10 + life)
    store = Store(url)
    await spend(plan, store, folder, number, life, chance)
    store.close()


async def spend(plan: Plan, store: Store, folder: Path, number: int, life: int, chance: random.Random) -> None:
    run_id = f"{plan.name}r{number}"
    row = RunRow(run_id, "w", plan.name, "{}", 1, "{}", "running", time.time())
    if life:
        fence = await take_over(store, run_id, row)
    else:
        fence = await store.do(runs.open_run(row))
    journal = Journal(store, fence)
    common = StandingBudgets(store, plan.name, f"{plan.name}p{number}.{life}", plan.lease_seconds)
    made = RunLedger(
        journal,
        tokens=plan.run_tokens,
        micro_usd=None,
        allocations={},
        agent=plan.name,
        standing=common,
    )
    await made.open()
    provider = Books(plan, folder / "books", chance)
    # A breaker would end the demand that the limits are to withstand.
    sending = CallSettings(breaker_failures=10**9)
    door = Gateway({"books": provider}, Prices(PRICES), 30.0, ask_above=10**9, calls=sending)
    mine = range(number, plan.tasks, plan.processes)
    around = [asyncio.create_task(misfortunes(plan, store, chance))] if plan.jumps or plan.sweeps else []
    await asyncio.gather(*(ask(plan, door, provider, journal, made, task, chance) for task in mine))
    for task in around:
        task.cancel()
    await asyncio.gather(*around, return_exceptions=True)
    await store.do(runs.finish_run(fence, "completed"), fence)
    await common.close()


async def take_over(store: Store, run_id: str, row: RunRow):
    """Claim the run of a process that died, or open it where it died too early."""
    try:
        return (await store.do(runs.claim(run_id, "heir"))).fence
    except IntendantError:
        return await store.do(runs.open_run(row))


async def ask(
    plan: Plan, door: Gateway, books: Books, journal: Journal, made: RunLedger, task: int, chance: random.Random
) -> None:
    """Ask until refused, or until the demand of this task is met."""
    scope = CallScope(journal, made, f"s{task}", in_doubt="idempotent" if plan.knows_keys else "retry")
    for number in range(plan.calls):
        words = "word " * chance.choice([26, 30, 34])
        request = ModelRequest(messages=(Message(content=f"{words}{number}"),), max_output_tokens=60)
        base = next_key(scope, request)
        scope.calls -= 1  # the gateway makes the same key
        on_text = (lambda _piece: None) if chance.random() < plan.streams else None
        call = asyncio.create_task(door.complete(scope, ROUTE, request, on_text=on_text))
        if chance.random() < plan.cancels:
            await asyncio.sleep(chance.choice([0, 0.0003, 0.001, 0.003]))
            call.cancel()
        try:
            await call
            books.note_answer(base)
        except BudgetExceeded:
            return
        except (ProviderError, ConnectionError):
            continue
        except asyncio.CancelledError:
            if (mine := asyncio.current_task()) is not None and mine.cancelling():
                raise


async def misfortunes(plan: Plan, store: Store, chance: random.Random) -> None:
    """Clocks jump, and sweepers expire what is out."""
    while True:
        await asyncio.sleep(chance.uniform(0.001, 0.02))
        if plan.jumps:
            skew = chance.choice([0, 0, -7200, 7200, 86_400, -86_400])
            set_clocks(partial(skewed, skew))
        if plan.sweeps:
            ahead = chance.choice([0, 4000])
            await store.do(holds.expire(time.time() + ahead))
            await store.do(leases.expire(time.time() + ahead))


# --- the referee ---


async def judge(plan: Plan, store: Store, folder: Path) -> dict[str, float]:
    """Hold the ledger against the provider's books, after everything that is out has expired.

    Raises:
        AssertionError: Something that must hold does not.
    """
    broken = (await store.do(integrity.verify())).broken
    assert not broken, f"the record is broken: {broken[:3]}"
    while await store.do(holds.expire(FAR)):
        pass
    await store.do(leases.expire(FAR))

    def read(connection):
        ours = hold.c.tenant == plan.name
        held = connection.execute(select(hold).where(ours).order_by(hold.c.created_at)).mappings().all()
        rows = connection.execute(
            select(ledger).join(hold, hold.c.key == ledger.c.hold_key).where(ours)
        ).mappings()
        leased = connection.execute(select(lease).where(lease.c.tenant == plan.name)).mappings().all()
        kept = connection.execute(select(budget).where(budget.c.id.contains(plan.name))).mappings()
        return held, rows.all(), leased, kept.all()

    held, rows, leased, kept = await store.do(read)
    chains = {row["id"]: json.loads(row["chain"]) for row in leased}
    path = folder / "books"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    bills = [line for line in lines if "key" in line]
    billed = totals((line["key"], line["tokens"], line["micro"]) for line in bills)
    charged = totals(
        (row["hold_key"], row["input_tokens"] + row["output_tokens"], row["micro"])
        for row in rows
        if row["kind"] in bookings.CHARGES
    )
    assert not [row for row in leased if row["state"] == "open"], "a lease is open"
    assert not [row for row in held if row["state"] == "held"], "a hold is open"
    assert not [row for row in rows if row["overrun_tokens"]], "a call took more than was held"
    assert set(billed) <= {row["key"] for row in held}, "a call was billed that had no hold"
    for key, (tokens, micro) in billed.items():
        assert charged[key][0] >= tokens, f"{key}: {tokens} tokens billed, {charged[key][0]} charged"
        assert charged[key][1] >= micro, f"{key}: {micro} micro-US$ billed, {charged[key][1]} charged"
    assert max(Counter(line["key"] for line in bills).values(), default=1) == 1, "a key was billed twice"
    check_replays(lines)
    for row in kept:
        within = [item["key"] for item in held if row["id"] in counted_in(item, chains)]
        check_budget(row, within, billed, charged)
    return figures(plan, held, kept)


def totals(items) -> dict[str, tuple[int, int]]:
    """Sums of tokens and micro-US$ by key."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, tokens, micro in items:
        found[key] = (found[key][0] + tokens, found[key][1] + micro)
    return found


def check_replays(lines) -> None:
    """Nothing is billed for a call after it was answered."""
    answered: dict[str, float] = {}
    for line in lines:
        if "answered" in line:
            answered.setdefault(line["answered"], line["at"])
    for line in lines:
        late = "key" in line and line["at"] > answered.get(line["key"].partition("~")[0], FAR)
        assert not late, f"billed again after its answer: {line['key']}"


def counted_in(row, chains) -> list[str]:
    """The budgets in which a hold counts: its own, and those of its lease."""
    return [*json.loads(row["chain"]), *chains.get(row["lease"], ())]


def check_budget(row, within, billed, charged) -> None:
    """A budget is not overspent by the provider's books, and says what the ledger says."""
    for unit, index in (("tokens", 0), ("micro", 1)):
        limit, asked = row[f"limit_{unit}"], sum(billed[key][index] for key in within)
        assert row[f"held_{unit}"] == 0, f"{row['id']} holds {row[f'held_{unit}']}"
        assert limit is None or asked <= limit, f"{row['id']}: {asked} of {limit} {unit} billed"
        said = sum(charged[key][index] for key in within)
        assert row[f"spent_{unit}"] == said, f"{row['id']}: {row[f'spent_{unit}']} spent, {said} in the ledger"


def figures(plan: Plan, held, kept) -> dict[str, float]:
    """What is used of the tightest limit; told where that is a hundred calls or more, of which 1 % is a call."""
    used, spare, size = 0.0, FAR, 0.0
    for row in kept:
        if not row["id"].startswith(("agent:", "tenant:")):
            continue
        for unit, least in (("tokens", LEAST_CALL), ("micro", LEAST_CALL * 11)):
            limit = row[f"limit_{unit}"]
            if limit:
                used, size = max((used, size), (row[f"spent_{unit}"] / limit, limit / least))
                spare = min(spare, (limit - row[f"spent_{unit}"]) / least)
    # Where sweepers charge calls that are still out, others give up before those are credited.
    calm = plan.exhausting and not (plan.kills or plan.jumps or plan.sweeps or plan.run_tokens)
    if calm:
        assert used >= 0.99 or spare < 1, f"only {used:.2%} used, {spare:.1f} calls would have fitted"
    return {"calls": len(held), "used": used, "calm": calm and size >= 100}


# --- one trial ---


def run_trial(plan: Plan, template: Path) -> dict[str, float]:
    """Play a trial in processes of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quick(plan)
        if plan.kind == "memory":
            return asyncio.run(alone(plan, folder))
        url = SERVER
        if plan.kind == "sqlite":
            shutil.copy(template, folder / "x.db")
            url = f"sqlite:///{folder}/x.db"
        asyncio.run(prepare(plan, url))
        play(plan, url, folder)
        return asyncio.run(referee(plan, url, folder))


async def alone(plan: Plan, folder: Path) -> dict[str, float]:
    store = Store("none")
    await set_limits(plan, store)
    await spend(plan, store, folder, 0, 0, random.Random(plan.seed))
    found = await judge(plan, store, folder)
    store.close()
    return found


async def prepare(plan: Plan, url: str) -> None:
    store = Store(url)
    await set_limits(plan, store)
    store.close()


async def set_limits(plan: Plan, store: Store) -> None:
    per: Any
    for (kind, per), (tokens, micro) in plan.limits.items():
        await store.do(limits.set_limit(f"{kind}:{plan.name}", per, tokens, micro))


async def referee(plan: Plan, url: str, folder: Path) -> dict[str, float]:
    store = Store(url)
    try:
        return await judge(plan, store, folder)
    finally:
        store.close()


def play(plan: Plan, url: str, folder: Path) -> None:
    """Start the processes, kill some, and start heirs of those."""
    chance = random.Random(plan.seed + 7)
    alive = {start(plan, url, folder, number, 0): (number, 0) for number in range(plan.processes)}
    kills = sorted(chance.uniform(0.0, 0.25) for _ in range(plan.kills))
    began = time.monotonic()
    while alive:
        if kills and time.monotonic() - began > kills[0]:
            kills.pop(0)
            os.kill(chance.choice(list(alive)), signal.SIGKILL)
        done, status = os.waitpid(-1, os.WNOHANG if kills else 0)
        if not done:
            time.sleep(0.001)
            continue
        number, life = alive.pop(done)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            alive[start(plan, url, folder, number, life + 1)] = (number, life + 1)
        elif status:
            for child in alive:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            raise AssertionError((folder / f"error{number}.{life}").read_text())


def start(plan: Plan, url: str, folder: Path, number: int, life: int) -> int:
    """Fork a process; nothing of this one has threads or connections at that time."""
    child = os.fork()
    if child:
        return child
    gc.freeze()
    failed = 1
    try:
        asyncio.run(work(plan, url, folder, number, life))
        failed = 0
    except BaseException:  # noqa: BLE001  # told by the parent
        (folder / f"error{number}.{life}").write_text(traceback.format_exc())
    finally:
        os._exit(failed)  # whatever happens: two processes must not both go on with the parent's work


def skewed(seconds: float) -> float:
    """The time by a clock that is wrong."""
    return time.time() + seconds


def set_clocks(clock: Callable[[], float]) -> None:
    """Let what books calls and limits have this clock."""
    for module in (ledger_module, standing_module, bookings, limits, clock_module):
        setattr(module, "time", clock)  # noqa: B010  # a module has no such attribute for type checkers


def quick(plan: Plan) -> None:
    """Waits that suit calls of a millisecond, and clocks that are right. What a dead process holds is not waited for."""
    set_clocks(time.time)
    gateway_module.RETRY_SECONDS = 0.001
    holding_module.WAIT_SECONDS = 0.2 if plan.kills else 10.0
    standing_module.POLL = 0.02
    standing_module.PAUSE = 0.05


# --- all of them ---


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=["memory", "sqlite", "postgresql"])
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_template(folder)
        lines = [line for path in in_parts(options, folder) for line in path.read_text().splitlines()]
    report([json.loads(line) for line in lines], time.monotonic() - began)
    return 1 if any("error" in json.loads(line) for line in lines) else 0


def make_template(folder: Path) -> None:
    """An empty database to copy, and tables on the server."""
    for url in (f"sqlite:///{folder}/template.db", *([SERVER] if SERVER else [])):
        engine = database.connect(url)
        database.prepare(engine)
        engine.dispose()


def in_parts(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Play the trials in several processes side by side; their results are lines in files."""
    paths = [folder / f"part{part}" for part in range(options.jobs)]
    children = []
    for part, path in enumerate(paths):
        child = os.fork()
        if not child:
            play_part(options, folder, part, path)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return paths


def play_part(options: argparse.Namespace, folder: Path, part: int, path: Path) -> None:
    parent = os.getppid()
    run_trial(Plan(1, 2, "memory"), folder)  # what is compiled and imported here need not be in every fork
    with path.open("w") as file:
        for number in range(part, options.trials, options.jobs):
            if os.getppid() != parent:
                return  # whoever started this has given up
            plan = Plan(options.seed * 1_000_000 + number, options.tasks, options.only)
            line: dict[str, object] = {
                "seed": plan.seed,
                "kind": plan.kind,
                "kills": plan.kills,
                "tasks": plan.tasks,
            }
            try:
                line |= run_trial(plan, folder / "template.db")
            except Exception:  # noqa: BLE001  # told, and the others go on
                line["error"] = f"{plan}\n{traceback.format_exc()}"
            file.write(json.dumps(line) + "\n")
            file.flush()


def report(lines: list[dict], seconds: float) -> None:
    """Print what came of them, as a table and one line for machines."""
    failed = [line for line in lines if "error" in line]
    for line in failed[:5]:
        print(f"--- seed {line['seed']}\n{line['error']}\n")
    print(
        f"{'store':<12} {'trials':>7} {'failed':>7} {'calls':>9} {'kill -9':>8} {'least used of 100 calls and more':>34}"
    )
    for kind in ("memory", "sqlite", "postgresql"):
        of_kind = [line for line in lines if line["kind"] == kind]
        calm = [line["used"] for line in of_kind if line.get("calm")]
        print(
            f"{kind:<12} {len(of_kind):>7} {sum('error' in line for line in of_kind):>7} "
            f"{sum(line.get('calls', 0) for line in of_kind):>9} {sum(line['kills'] for line in of_kind):>8} "
            f"{f'{min(calm):.2%} in {len(calm)} trials' if calm else '-':>34}"
        )
    print(
        json.dumps(
            {
                "trials": len(lines),
                "failed": len(failed),
                "calls": sum(line.get("calls", 0) for line in lines),
                "seconds": round(seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())

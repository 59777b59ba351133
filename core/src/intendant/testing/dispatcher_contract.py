"""What dispatchers promise, as tests."""
# ruff: noqa: PLR2004  # how many runs a test submits

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Any, ClassVar

import pytest

from intendant.hooks.dispatchers import Dispatcher
from intendant.model.errors import SettingsError
from intendant.testing.contract_base import PluginContract
from intendant.testing.watching import watched

SOON = 20.0
"""Seconds within which a run that was submitted is begun; dispatchers that poll take some."""


class Runs:
    """The process in a test of a dispatcher: notes what it is asked to go on with."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.at: dict[str, float] = {}
        self.now = self.most = 0
        self.cancelled: list[str] = []
        self.failing: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self._seconds = seconds

    async def run_segment(self, run_id: str) -> str:
        """See `Runner.run_segment`."""
        self.begun.append(run_id)
        self.at.setdefault(run_id, time())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if run_id in self.failing:
                raise RuntimeError(run_id)
            await self.gate.wait()
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.cancelled.append(run_id)
            raise
        finally:
            self.now -= 1
        self.ended.append(run_id)
        return "completed"

    async def until(self, happened: Callable[[], Any]) -> None:
        """Wait for something that must happen soon; the test fails where it does not."""
        last = monotonic() + SOON
        while not happened():
            assert monotonic() < last, f"not within {SOON:g} s; begun: {self.begun}, ended: {self.ended}"
            await asyncio.sleep(0.01)


class DispatcherContract(PluginContract):
    """What dispatchers promise."""

    plugin: ClassVar[type[Dispatcher]]
    later: ClassVar[float] = 1.5
    """Seconds by which a submitted run is put off; more than a run that is due takes to be begun."""
    ordered: ClassVar[bool] = True
    """False if several processes take runs, so that no order among them can be promised."""

    @asynccontextmanager
    async def started(self, runs: Runs, concurrency: int = 4) -> AsyncIterator[Dispatcher]:
        """A dispatcher that has been started. Override it where one needs a server."""
        made: Dispatcher = self.make()
        try:
            await made.start(runs, worker="contract", concurrency=concurrency)
        except SettingsError as error:
            self.unsaid(f"override `started`: {error.message}")
        try:
            yield made
        finally:
            await made.stop(0.0)

    @watched
    async def test_goes_on_with_what_is_submitted(self) -> None:
        """A run that is submitted is begun."""
        runs = Runs()
        async with self.started(runs) as made:
            await made.submit("one")
            await runs.until(lambda: runs.ended)
        assert set(runs.begun) == set(runs.ended) == {"one"}  # more often than needed does no harm

    @watched
    async def test_goes_on_with_many(self) -> None:
        """Each of many is begun, and ended."""
        runs, many = Runs(), [f"run-{number}" for number in range(40)]
        async with self.started(runs) as made:
            for run_id in many:
                await made.submit(run_id)
            await runs.until(lambda: len(set(runs.ended)) == len(many))
        assert set(runs.ended) == set(many)

    @watched
    async def test_is_at_no_more_than_it_may(self) -> None:
        """Never more runs at a time than `concurrency`."""
        runs = Runs(0.02)
        async with self.started(runs, concurrency=3) as made:
            for number in range(12):
                await made.submit(f"run-{number}")
            await runs.until(lambda: len(runs.ended) == 12)
        assert runs.most <= 3

    @watched
    async def test_submitting_twice_is_submitting_once(self) -> None:
        """A run that waits for its turn is begun once, however often it was submitted."""
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs, concurrency=1) as made:
            await made.submit("first")
            await runs.until(lambda: runs.begun)
            for _ in range(5):
                await made.submit("second")
            runs.gate.set()
            await runs.until(lambda: "second" in runs.ended)
            await made.submit("last")
            await runs.until(lambda: "last" in runs.ended)
        assert Counter(runs.begun)["second"] == 1

    @watched
    async def test_a_run_can_be_submitted_again_when_it_has_ended(self) -> None:
        """It has waited, and its time has come."""
        runs = Runs()
        async with self.started(runs) as made:
            await made.submit("one")
            await runs.until(lambda: runs.ended == ["one"])
            await made.submit("one")
            await runs.until(lambda: len(runs.ended) >= 2)
        assert set(runs.begun) == {"one"}

    @watched
    async def test_begins_no_run_before_its_time(self) -> None:
        """`not_before` holds, and does not keep others waiting."""
        runs, at = Runs(), time() + self.later
        async with self.started(runs) as made:
            await made.submit("later", not_before=at)
            await made.submit("now")
            await runs.until(lambda: "now" in runs.ended)
            assert "later" not in runs.begun
            await runs.until(lambda: "later" in runs.ended)
        assert runs.at["later"] >= at - 0.01

    @watched
    async def test_higher_priorities_come_first(self) -> None:
        """Of those that wait in one queue."""
        if not self.ordered:
            pytest.skip("several processes take its runs")
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs, concurrency=1) as made:
            await made.submit("first")
            await runs.until(lambda: runs.begun)
            for priority in (1, 9, 5):
                await made.submit(f"p{priority}", priority=priority)
            runs.gate.set()
            await runs.until(lambda: len(runs.ended) == 4)
        assert runs.begun == ["first", "p9", "p5", "p1"]

    @watched
    async def test_one_queue_does_not_keep_another_waiting(self) -> None:
        """A run of a short queue is begun before the end of a long one."""
        if not self.ordered:
            pytest.skip("several processes take its runs")
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs, concurrency=1) as made:
            for number in range(20):
                await made.submit(f"many-{number}", queue="many")
            await runs.until(lambda: runs.begun)
            await made.submit("alone", queue="few")
            runs.gate.set()
            await runs.until(lambda: len(runs.ended) == 21)
        assert runs.begun.index("alone") <= 2

    @watched
    async def test_a_run_that_fails_stops_no_other(self) -> None:
        """Whatever `run_segment` raises."""
        runs = Runs()
        runs.failing = {"bad"}
        async with self.started(runs, concurrency=1) as made:
            await made.submit("bad")
            await made.submit("good")
            await runs.until(lambda: "good" in runs.ended)
        assert "bad" in runs.begun
        assert "bad" not in runs.ended

    @watched
    async def test_a_hint_that_a_run_was_cancelled_is_no_error(self) -> None:
        """For one that waits, one that is unknown, and one that has ended; others go on."""
        runs = Runs()
        async with self.started(runs) as made:
            await made.submit("later", not_before=time() + 3600)
            for run_id in ("later", "unknown"):
                await made.cancel_hint(run_id)
            await made.submit("one")
            await runs.until(lambda: runs.ended)
            await made.cancel_hint("one")
        assert set(runs.ended) == {"one"}

    @watched
    async def test_stopping_waits_for_what_it_is_at(self) -> None:
        """A run that ends within the time is not cancelled."""
        runs = Runs(0.3)
        async with self.started(runs) as made:
            await made.submit("one")
            await runs.until(lambda: runs.begun)
            await made.stop(SOON)
        assert (runs.ended, runs.cancelled) == (["one"], [])

    @watched
    async def test_stopping_cancels_what_takes_longer(self) -> None:
        """And returns."""
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs) as made:
            await made.submit("one")
            await runs.until(lambda: runs.begun)
            await made.stop(0.1)
            await runs.until(lambda: runs.cancelled)
        assert (runs.ended, runs.cancelled) == ([], ["one"])

    @watched
    async def test_nothing_is_begun_after_it_was_stopped(self) -> None:
        """What is submitted then waits."""
        runs = Runs()
        async with self.started(runs) as made:
            await made.stop(0.1)
            await made.submit("late", not_before=time() + 3600)
            await asyncio.sleep(0.3)
        assert runs.begun == []

    @watched
    async def test_it_can_be_started_again(self) -> None:
        """With another runner."""
        first, second = Runs(), Runs()
        async with self.started(first) as made:
            await made.submit("one")
            await first.until(lambda: first.ended)
            await made.stop(SOON)
            await made.start(second, worker="contract-2", concurrency=2)
            await made.submit("two")
            await second.until(lambda: second.ended == ["two"])
        assert first.begun == ["one"]

    @watched
    async def test_says_how_it_is(self) -> None:
        """How many runs wait, and how many are being executed."""
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs, concurrency=1) as made:
            await made.submit("one")
            await runs.until(lambda: runs.begun)
            await made.submit("two")
            health = await made.health()
            assert health.ok, health.note
            assert (health.busy, health.waiting) == (1, 1)
            runs.gate.set()
            await runs.until(lambda: len(runs.ended) == 2)

    @watched
    async def test_reaping_a_process_that_held_nothing_does_nothing(self) -> None:
        """0 runs are submitted again."""
        async with self.started(Runs()) as made:
            assert await made.reap("nobody:1") == 0

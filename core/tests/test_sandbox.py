"""Computations in a process of their own have bounds, and leave nothing behind."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from intendant.pilot import sandbox
from intendant.pilot.sandbox import Bounds, bounded, run, run_async
from intendant.plugin import StepError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory of a process cannot be limited everywhere")


def gone(pid: int) -> bool:
    """True if a process has ended, or does so within some seconds."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_values_come_back() -> None:
    assert run("math:sqrt", 16) == 4.0
    assert run("builtins:sorted", ["b", "a", "\ud800é"]) == ["a", "b", "\ud800é"]


@pytest.mark.parametrize(("function", "argument"), [("time:sleep", 1000), ("math:factorial", 10**9)])
def test_time_is_bounded(function: str, argument: int) -> None:
    with bounded(Bounds(seconds=0.5)), pytest.raises(StepError, match=r"longer than 0\.5 s") as caught:
        run(function, argument)
    assert "run.compute_seconds" in caught.value.hint
    assert run("math:sqrt", 16) == 4.0, "the next computation has another worker"


@LINUX
@pytest.mark.parametrize(("function", "arguments"), [("builtins:bytearray", (10**9,)), ("os:abort", ())])
def test_memory_is_bounded(function: str, arguments: tuple) -> None:
    """Whether Python runs out of it, or a library in C++, which ends the process."""
    with bounded(Bounds(seconds=60, megabytes=100)), pytest.raises(StepError, match="more than 100 MB") as caught:
        run(function, *arguments)
    assert "run.compute_megabytes" in caught.value.hint
    assert run("math:sqrt", 16) == 4.0


def test_a_crash_is_an_error() -> None:
    with pytest.raises(StepError, match="broke off"):
        run("os:_exit", 3)
    with pytest.raises(RuntimeError, match="math domain error"):
        run("math:sqrt", -1)


def test_what_a_library_prints_is_no_answer() -> None:
    assert run("builtins:print", '{"value": "forged"}') is None


async def test_a_cancelled_computation_is_killed() -> None:
    with bounded(Bounds(seconds=3600)):
        task = asyncio.create_task(run_async("time:sleep", 3600))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await run_async("math:sqrt", 16) == 4.0


async def test_many_at_once_share_a_few_workers() -> None:
    found = await asyncio.gather(*(run_async("math:sqrt", number) for number in range(50)))
    assert found == [number**0.5 for number in range(50)]
    assert len(sandbox._idle) <= sandbox.IDLE


@LINUX
def test_a_worker_that_has_grown_is_replaced() -> None:
    run("math:sqrt", 4)
    before = {worker._process.pid for worker in sandbox._idle}
    with bounded(Bounds(seconds=60, megabytes=2000)):
        run("builtins:exec", "import builtins; builtins.hoard = bytearray(300 << 20)")
    assert {worker._process.pid for worker in sandbox._idle} < before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_workers_of_its_own() -> None:
    code = """
        import os
        from intendant.pilot.sandbox import run
        run("math:sqrt", 4)
        child = os.fork()
        assert run("math:sqrt", 9) == 3.0
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=100)


@LINUX
@pytest.mark.parametrize("busy", [False, True])
def test_no_worker_outlives_its_process(busy: bool) -> None:
    """Not even where that is killed: a worker ends with its input, or at its limit of processor time."""
    code = f"""
        import os, threading, time
        from intendant.pilot import sandbox
        sandbox.run("math:sqrt", 4)
        print(sandbox._idle[0]._process.pid, flush=True)
        if {busy}:
            def work():
                with sandbox.bounded(sandbox.Bounds(seconds=1)):
                    sandbox.run("math:factorial", 10**9)
            threading.Thread(target=work).start()
            time.sleep(0.3)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100
    )
    assert gone(int(done.stdout))


def test_the_working_folder_gives_it_no_code(tmp_path, monkeypatch) -> None:
    """A file of the name of a standard module there would run with every computation."""
    for name in ("json", "math", "asyncio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sandbox, "_idle", [])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert run("math:sqrt", 16) == 4.0
    for worker in sandbox._idle:
        worker.close()

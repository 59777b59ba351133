"""A process is looked up only where its number means something: on its own host, in its own space of numbers."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from intendant.pilot import process_names
from intendant.pilot.process_names import has_ended, host_name, process_name


def test_a_process_that_lives_has_not_ended() -> None:
    assert process_name().endswith(f":{os.getpid()}")
    assert not has_ended(process_name())


def test_one_of_this_host_that_is_gone_has_ended() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert has_ended(f"{host_name()}:{gone.pid}")


@pytest.mark.parametrize("name", [None, "", "no number", "host:", ":1", "elsewhere:1"])
def test_what_cannot_be_looked_up_may_live(name) -> None:
    assert not has_ended(name)


def test_another_machine_of_the_same_host_name_is_another_host(monkeypatch) -> None:
    """Its processes are not looked up here."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(process_names, "_space", lambda: "another")
    there = f"{host_name()}:{gone.pid}"
    monkeypatch.undo()
    assert there.startswith(socket.gethostname())
    assert not has_ended(there)


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="Linux says in which space numbers are")
def test_this_system_tells_its_space_of_numbers() -> None:
    assert host_name() != socket.gethostname()

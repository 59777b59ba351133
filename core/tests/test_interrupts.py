"""Signals of the operating system that come at moments in which Python cannot raise."""

import signal
import subprocess
import sys

import pytest

FINALIZER = """
import time
from intendant.cli.signals import install

class Slow:
    def __del__(self):
        print("finalizing", flush=True)
        time.sleep(0.3)

install()
try:
    slow = Slow()
    del slow
    time.sleep(20)
    print("slept")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_finalizer_interrupts_what_follows_without_a_traceback(number) -> None:
    command = [sys.executable, "-c", FINALIZER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "finalizing\n"
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("interrupted\n", "")


def test_other_errors_within_a_finalizer_are_shown_as_ever() -> None:
    program = FINALIZER.replace("time.sleep(0.3)", "raise ValueError('seen')").replace("sleep(20)", "sleep(0)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True)
    assert "ValueError: seen" in done.stderr
    assert done.stdout == "finalizing\nslept\n"

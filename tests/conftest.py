"""What tests of killed commands share."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def finished() -> Callable[["subprocess.Popen[bytes]"], Any]:
    """Waits for a command with `--json`, and returns what it printed; None where its run was completed already."""

    def wait(process: "subprocess.Popen[bytes]") -> Any:
        out, err = process.communicate(timeout=100)
        assert b"Traceback" not in err, err.decode()
        if b"is completed" in out + err:  # the kill came too late
            return None
        assert out, err.decode()
        return json.loads(out)

    return wait

"""Lets tests import the sentences of the member that they test beside what it works with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "contrib/create/tests"))

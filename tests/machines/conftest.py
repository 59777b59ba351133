"""Tests with workers that stand for machines: they share the fleet with the benchmarks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))  # for `scripted_model`

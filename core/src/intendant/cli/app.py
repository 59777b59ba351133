"""The command `intendant` with all its commands."""

from intendant.cli import budgets, classifying, compressing, costs, planning, plugins, prices, running, runs
from intendant.cli.shared import app

__all__ = [
    "app",
    "budgets",
    "classifying",
    "compressing",
    "costs",
    "planning",
    "plugins",
    "prices",
    "running",
    "runs",
]

"""The command `intendant` with all its commands."""

from intendant.cli import budgets, classifying, compressing, planning, plugins, running, runs
from intendant.cli.shared import app

__all__ = ["app", "budgets", "classifying", "compressing", "planning", "plugins", "running", "runs"]

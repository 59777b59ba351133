"""Where everything is kept. Importing this imports SQLAlchemy; only what opens a store does."""

from intendant.record.store.store import Store
from intendant.record.store.writer import Fence

__all__ = ["Fence", "Store"]

"""Where everything is kept. Importing this imports SQLAlchemy; only what opens a store does."""

from intendant.record.rows import Fence
from intendant.record.store.store import Store

__all__ = ["Fence", "Store"]

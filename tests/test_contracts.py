"""Every installed plugin keeps its kind's contract."""

from intendant.testing import sweep

globals().update({contract.__name__: contract for contract in sweep()})

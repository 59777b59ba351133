"""What plugin authors test with: contracts for every kind of plugin, and scripted plugins.

Contracts need pytest: `pip install 'intendant[testing]'`. Scripted plugins and `engine` do without it.
"""

import sys

import lazy_loader

if "pytest" in sys.modules:  # so that an assertion of a contract that fails shows its values
    _kinds = ("intent", "provider", "connector", "dispatcher")
    _contracts = ("contract_base", "contracts", *(f"{kind}_contract" for kind in _kinds))
    sys.modules["pytest"].register_assert_rewrite(*(f"{__name__}.{module}" for module in _contracts))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

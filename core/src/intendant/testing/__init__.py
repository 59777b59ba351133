"""What plugin authors test with: contracts for every kind of plugin, and scripted plugins.

Contracts need pytest: `pip install 'intendant[testing]'`. Scripted plugins and `engine` do without it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The built-in heads, imported when they are used. Each works with every backbone that emits its layout."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

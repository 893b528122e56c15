"""Everything a plugin needs, in one place: ``from taskgraft.plugin import BackboneSpec, hookimpl``.

A name is imported when it is first used, so a module that lists specs imports no torch, numpy or pyarrow. The names and the modules
that define them stand in ``plugin.pyi``, which type checkers and editors read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub("taskgraft", __file__)

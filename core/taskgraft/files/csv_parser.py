"""The parser of Python's csv module, with a limit of its own on the length of values.

``csv.field_size_limit`` belongs to the whole process: two threads that change it for a while take it from each other, and from
the caller. So this is a second instance of the module behind it, whose limit is set once.
"""

from importlib.util import find_spec, module_from_spec
from typing import Any

MAX_CHARACTERS = 2**31 - 1
"""Limit of one value. The default of the csv module is 131,072, which documents and genomes exceed."""


def _second_instance() -> Any:
    spec = find_spec("_csv")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.field_size_limit(MAX_CHARACTERS)
    return module


_PARSER = _second_instance()
csv_reader: Any = _PARSER.reader
"""As ``csv.reader``, without named dialects."""

CsvError: type[Exception] = _PARSER.Error
"""As ``csv.Error``."""

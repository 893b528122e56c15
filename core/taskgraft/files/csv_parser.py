"""The parser of Python's csv module, with a limit of its own on the length of values.

``csv.field_size_limit`` belongs to the whole process: two threads that change it for a while take it from each other, and from
the caller. So this is a second instance of the module behind it, whose limit is set once.
"""

from importlib.util import find_spec, module_from_spec
from typing import Any

from taskgraft.files.limits import LINE_VARIABLE, MAX_LINE_BYTES, limit

MAX_CHARACTERS = MAX_LINE_BYTES
"""Limit of one value, unless ``LINE_VARIABLE`` sets another. Documents and genomes exceed that of the csv module, 131,072."""


def _second_instance() -> Any:
    spec = find_spec("_csv")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.field_size_limit(limit(LINE_VARIABLE, MAX_CHARACTERS))
    return module


_PARSER = _second_instance()
csv_reader: Any = _PARSER.reader
"""As ``csv.reader``, without named dialects."""

CsvError: type[Exception] = _PARSER.Error
"""As ``csv.Error``."""

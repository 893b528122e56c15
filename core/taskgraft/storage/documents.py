"""Small JSON files with a schema and a digest: how a run ended, what a fit has written."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from taskgraft.contract.config import Config
from taskgraft.errors import error_reason
from taskgraft.files.json_text import parse_json
from taskgraft.files.regular_file import read_small_file
from taskgraft.storage.atomic_write import atomic_file

_AnyConfig = TypeVar("_AnyConfig", bound=Config)

_MOST = 64 << 20
"""Bytes of a document."""

_DIGEST = "sha256"


def write_document(path: Path, document: Config, what: str) -> None:
    """Write a document with the SHA-256 of its content, complete or not at all. Raises OutputError.

    Args:
        what: what the file contains, for the message.
    """
    values = document.model_dump(mode="json", by_alias=True)
    with atomic_file(path, what) as temporary:
        temporary.write_text(json.dumps(values | {_DIGEST: _digest(values)}, indent=1), "utf-8")


def read_document(path: Path, schema: type[_AnyConfig]) -> _AnyConfig | None:
    """Read a file of :func:`write_document`; None if there is none.

    Raises:
        ValueError: when it cannot be read, is damaged, or does not have the schema. The message is a clause for a sentence.
    """
    try:
        values = parse_json(read_small_file(path, _MOST))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(error_reason(error)) from None
    if not isinstance(values, dict) or values.pop(_DIGEST, None) != _digest(values):
        raise ValueError("its content does not match its digest")
    return validate(schema, values)


def validate(schema: type[_AnyConfig], values: Any) -> _AnyConfig:
    """Validate parsed JSON. Raises ValueError with a clause for a sentence."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"it is invalid at '{place}': {first['msg'].lower()}") from None


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

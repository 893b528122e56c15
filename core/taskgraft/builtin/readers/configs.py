"""Settings of the built-in readers. Imports no Arrow."""

import json
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from taskgraft.contract.config import Config


class CsvConfig(Config):
    """A header line, then one record per row."""

    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="separator of values; a comma if left out, a tab in .tsv files",
    )
    encoding: str = Field(default="utf-8", description="of the file, as Python names it")
    quoting: Literal["standard", "none"] = Field(
        default="standard",
        description="standard: a value in quotation marks may hold delimiters and line breaks (RFC 4180); "
        "none: quotation marks are characters like others",
    )
    skip: int = Field(default=0, ge=0, description="lines above the header, which are not read")

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, value: str | None) -> str | None:
        if value is not None and value in '"\r\n':
            raise ValueError("a quotation mark or a line break cannot separate values")
        return value

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)
        except (LookupError, UnicodeError):
            raise ValueError("unknown encoding") from None
        return value

    def with_setting(self, **changes: Any) -> str:
        """Write how a recipe names this reader with some settings changed."""
        settings = {"name": "csv"} | self.model_dump(exclude_defaults=True) | changes
        pairs = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
        return f"data.reader = {{{', '.join(pairs)}}}"


class HubConfig(Config):
    """A dataset of the Hugging Face hub, ``hub:NAME`` or ``hub:NAME:SPLIT``. Its files go to the cache of that library."""

    subset: str | None = Field(default=None, description="configuration of the dataset; required when it has several")
    revision: str | None = Field(default=None, description="branch, tag or commit; the latest if left out")


class LinesConfig(Config):
    """One text per line, without a header. Only read when it is named."""

    positional: ClassVar[str | None] = "column"

    column: str | None = Field(
        default=None, min_length=1, description="name of the column; default: 'text', or what a prediction reads"
    )

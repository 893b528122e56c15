"""Settings of the built-in readers. Imports no Arrow."""

import codecs

from pydantic import Field, field_validator

from taskgraft.contract.config import Config


class CsvConfig(Config):
    """A header line, then one record per row, quoted as in RFC 4180."""

    delimiter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="separator of values; a comma if left out, a tab in .tsv files",
    )
    encoding: str = Field(default="utf-8", description="of the file, as Python names it")

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("unknown encoding") from None
        return value


class HubConfig(Config):
    """A dataset of the Hugging Face hub, ``hub:NAME`` or ``hub:NAME:SPLIT``. Its files go to the cache of that library."""

    subset: str | None = Field(default=None, description="configuration of the dataset; required when it has several")
    revision: str | None = Field(default=None, description="branch, tag or commit; the latest if left out")

"""Settings of the built-in readers, known without Arrow."""

import codecs

from pydantic import Field, field_validator

from taskgraft.contract.config import Config


class CsvConfig(Config):
    """A header line, then one row per record, quoted as RFC 4180 says."""

    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="between values; a comma if left out, a tab in .tsv files"
    )
    encoding: str = Field(default="utf-8", description="of the file, as Python names it")

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("no encoding of that name is known") from None
        return value


class HubConfig(Config):
    """A data set of the Hugging Face hub, ``hub:NAME`` or ``hub:NAME:PART``. Its files go to that library's own cache."""

    subset: str | None = Field(default=None, description="which of its configurations; needed where there are several")
    revision: str | None = Field(default=None, description="branch, tag or commit; the newest if left out")

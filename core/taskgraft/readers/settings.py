"""Settings of the built-in readers, known without Arrow."""

from pydantic import Field

from taskgraft.config import Config


class CsvConfig(Config):
    """A header line, then one row per record, quoted as RFC 4180 says, in UTF-8."""

    delimiter: str = Field(default=",", min_length=1, max_length=1, description="between the values of a row")

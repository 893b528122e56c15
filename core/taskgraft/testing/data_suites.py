"""The classes that tests of readers and splits inherit. Each test calls one check, which says what it tries."""

from pathlib import Path

import pytest

from taskgraft.contract.config import Config
from taskgraft.contract.rows import Rows
from taskgraft.contract.specs import ReaderSpec, SplitSpec
from taskgraft.testing import reader as of_reader
from taskgraft.testing import split as of_split


class ReaderLaws:
    """What every reader promises. Give the fixtures ``spec``, ``path`` and ``count``, and ``config`` for settings without
    default.
    """

    @pytest.fixture
    def spec(self) -> ReaderSpec:
        """The reader."""
        raise NotImplementedError("give a fixture 'spec'")

    @pytest.fixture
    def path(self) -> Path:
        """A file or folder of two or more rows, one of which cannot be used, if the kind of file has such."""
        raise NotImplementedError("give a fixture 'path'")

    @pytest.fixture
    def count(self) -> int | None:
        """How many rows it has, with those that cannot be used."""
        return None

    @pytest.fixture
    def config(self, spec: ReaderSpec) -> Config:
        """The settings to read with."""
        return spec.config()

    def test_reading_is_repeatable(self, spec: ReaderSpec, path: Path, config: Config) -> None:
        of_reader.check_reading_is_repeatable(spec, path, config)

    def test_rows_have_places(self, spec: ReaderSpec, path: Path, config: Config) -> None:
        of_reader.check_rows_can_be_located(spec, path, config)

    def test_no_row_is_lost(self, spec: ReaderSpec, path: Path, config: Config, count: int | None) -> None:
        if count is None:
            pytest.skip("no fixture 'count' is given")
        of_reader.check_no_row_is_lost(spec, path, config, count)

    def test_claims_can_be_met(self, spec: ReaderSpec) -> None:
        of_reader.check_suffixes_are_valid(spec)

    def test_unreadable_files_are_told(self, spec: ReaderSpec, config: Config) -> None:
        of_reader.check_unreadable_files_are_reported(spec, config)


class SplitLaws:
    """What every split promises. Give the fixtures ``spec``, ``rows`` and ``targets``, and ``config`` for settings without
    default.
    """

    @pytest.fixture
    def spec(self) -> SplitSpec:
        """The split."""
        raise NotImplementedError("give a fixture 'spec'")

    @pytest.fixture
    def rows(self) -> Rows:
        """Rows that it can divide."""
        raise NotImplementedError("give a fixture 'rows'")

    @pytest.fixture
    def targets(self) -> tuple[str, ...]:
        """Their target columns."""
        raise NotImplementedError("give a fixture 'targets'")

    @pytest.fixture
    def config(self, spec: SplitSpec) -> Config:
        """The settings to divide with."""
        return spec.config()

    def test_split_divides(self, spec: SplitSpec, rows: Rows, targets: tuple[str, ...], config: Config) -> None:
        of_split.check_split_divides_the_rows(spec, rows, targets, config)

    def test_split_is_repeatable(self, spec: SplitSpec, rows: Rows, targets: tuple[str, ...], config: Config) -> None:
        of_split.check_split_is_repeatable(spec, rows, targets, config)

"""The test classes that authors inherit. Each has one test per check of the kit, with the check's arguments as fixtures."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, TypeVar

import pytest

from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.backbone import Backbone
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.specs import Spec
from taskgraft.testing.check_list import CheckFunction, checks_of, needs_of
from taskgraft.testing.labelled_rows import LabelledRows
from taskgraft.testing.sample_backbone import SAMPLE_INPUTS, SAMPLE_LABELS, SampleBackbone

Suite = TypeVar("Suite", bound=type)


def _with_tests_of(subject: str) -> Callable[[Suite], Suite]:
    """Add a test for each check of a subject: ``check_dtypes_work`` becomes ``test_dtypes_work``."""

    def add(suite: Suite) -> Suite:
        for check in checks_of(subject):
            test = _test_of(check)
            setattr(suite, test.__name__, test)
        return suite

    return add


def _test_of(check: CheckFunction) -> Callable[..., None]:
    """Make a test method. It is skipped when a fixture that authors may leave out is None, or the law does not apply."""

    def test(self: object, **fixtures: Any) -> None:
        for name, value in fixtures.items():
            if value is None:
                pytest.skip(f"no fixture '{name}' is given")
        if reason := check(**fixtures):
            pytest.skip(reason)

    names = ("self", *needs_of(check))
    test.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])  # type: ignore[attr-defined]
    test.__name__ = check.__name__.replace("check_", "test_", 1)
    test.__qualname__, test.__doc__ = test.__name__, check.__doc__
    return test


class _WithConfig:
    """The default settings of a spec."""

    @pytest.fixture
    def config(self, spec: Spec | None) -> Config | None:
        return None if spec is None else spec.config()


class _WithSpec(_WithConfig):
    """A spec that authors may leave out."""

    @pytest.fixture
    def spec(self) -> Any:
        return None


@_with_tests_of("backbone")
class BackboneLaws(_WithSpec):
    """The laws of every backbone.

    Fixtures to define:
        backbone: with random weights and no zero gates.
        inputs: four or more examples, of different lengths when they have one.
        spec: the spec that builds it, to compare its descriptions; may be left out.
        config: the settings that it was built with; the defaults when left out.
    """


@_with_tests_of("head")
class HeadLaws(_WithSpec):
    """The laws of every head.

    Fixtures to define:
        head: the head.
        targets: four or more valid targets, by column, each label at least twice; for a head that recovers masked elements, an
            ``ElementSchema``.
        columns: the ``tuning_columns`` of its description, with a value per target; may be left out when it names none.
        spec: the spec that builds it, to compare its descriptions; may be left out.
        config: the settings that it was built with; the defaults when left out.
    """

    @pytest.fixture
    def columns(self) -> Columns:
        """No columns: most heads tune on none."""
        return {}


@_with_tests_of("strategy")
class StrategyLaws:
    """The laws of every strategy.

    Fixtures to define:
        strategy: the strategy.
        backbone, inputs: a backbone to train, and four or more examples; a small encoder of the kit when left out.
        head, targets: a head for it, and a target per example, each label at least twice; a classifier when left out.
    """

    @pytest.fixture
    def backbone(self) -> Backbone:
        """The small encoder of the kit."""
        return SampleBackbone()

    @pytest.fixture
    def inputs(self) -> Columns:
        """Six texts for it."""
        return SAMPLE_INPUTS

    @pytest.fixture
    def head(self) -> Head[Any]:
        """A classification head."""
        return Classification(ClassificationConfig())

    @pytest.fixture
    def targets(self) -> Columns:
        """A label per text."""
        return {"label": SAMPLE_LABELS}


@_with_tests_of("reader")
class ReaderLaws(_WithConfig):
    """The laws of every reader.

    Fixtures to define:
        spec: the spec of the reader.
        path: a file or folder of two or more rows, one of them invalid, if that kind of file can have invalid rows.
        count: the number of its rows, invalid ones included; may be left out.
        config: the settings to read with; the defaults when left out.
    """

    @pytest.fixture
    def count(self) -> int | None:
        """Unknown: the number of rows is not compared."""
        return None


@_with_tests_of("split")
class SplitLaws(_WithConfig):
    """The laws of every split.

    Fixtures to define:
        spec: the spec of the split.
        rows: ``Rows`` that it can divide.
        targets: their target columns, as a tuple.
        config: the settings to divide with; the defaults when left out.
    """


@_with_tests_of("plugin")
class PluginLaws:
    """The laws of every plugin, its metrics, baselines, optimizers and schedules.

    Fixtures to define:
        module: the module that the entry point names.
        configs: name of a spec → settings to try it with, where a setting has no default; "metric cost" when several specs
            share the name. May be left out.
        labelled: name of a metric or baseline → :class:`LabelledRows` to try it with; labels a, b and c, or numbers, with a
            column of text when left out.
    """

    @pytest.fixture
    def configs(self) -> dict[str, Config]:
        """No settings: specs are tried with their examples or defaults."""
        return {}

    @pytest.fixture
    def labelled(self) -> dict[str, LabelledRows]:
        """No rows: metrics and baselines are tried with those of the kit."""
        return {}

"""The conformance kit: the promises of the contracts as checks that a plugin's own tests inherit.

Inherit a class and give its fixtures; pytest does the rest::

    from taskgraft.testing import BackboneLaws

    class TestMyBackbone(BackboneLaws):
        @pytest.fixture
        def backbone(self):
            return MyBackbone(MyConfig(seed=0))

        @pytest.fixture
        def inputs(self):
            return {"text": ["one word", "three more words", "short", "a much longer text than the others"]}

Each test calls one plain function (``check_…``) of the modules beside this one. Such a function needs no pytest, and raises
:class:`ContractViolation`, which says what was found and what to do. Give a backbone random weights with no zero gates: scales drawn
away from 0, no matrix that is all zero. What stands behind a closed gate has no effect, so no check could see it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskgraft.testing.check import ContractViolation, InsufficientExamples
from taskgraft.testing.metrics_and_baselines import LabelledRows

if TYPE_CHECKING:
    from taskgraft.testing.data_suites import ReaderLaws, SplitLaws
    from taskgraft.testing.suites import BackboneLaws, HeadLaws, PluginLaws, StrategyLaws

__all__ = [
    "BackboneLaws",
    "ContractViolation",
    "HeadLaws",
    "InsufficientExamples",
    "LabelledRows",
    "PluginLaws",
    "ReaderLaws",
    "SplitLaws",
    "StrategyLaws",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'taskgraft.testing' has no attribute {name!r}")
    place = "data_suites" if name in ("ReaderLaws", "SplitLaws") else "suites"
    return getattr(import_module(f"taskgraft.testing.{place}"), name)

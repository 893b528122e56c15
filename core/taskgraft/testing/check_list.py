"""Every check of the kit, by what it checks."""

from collections.abc import Callable
from importlib import import_module
from inspect import signature

CheckFunction = Callable[..., str | None]

_MODULES = {
    "backbone": ("backbone", "features", "cuts", "processor", "masking"),
    "head": ("head", "head_targets", "head_state", "head_loss", "head_masking", "validation_tuning"),
    "strategy": ("strategy", "callbacks"),
    "reader": ("reader",),
    "split": ("split",),
    "plugin": ("plugin", "metrics_and_baselines", "optimizers_and_schedules"),
}
"""The modules of this package that hold the checks of a subject."""


def checks_of(subject: str) -> tuple[CheckFunction, ...]:
    """Return all checks of a backbone, head, strategy, reader, split or plugin, in the order of their modules.

    A check is a public function whose name begins with ``check_``. Its arguments are named as the fixtures of the suites.
    """
    modules = [import_module(f"taskgraft.testing.{name}") for name in _MODULES[subject]]
    return tuple(
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("check_") and function.__module__ == module.__name__
    )


def needs_of(check: CheckFunction) -> tuple[str, ...]:
    """Name the arguments of a check, in their order."""
    return tuple(signature(check).parameters)

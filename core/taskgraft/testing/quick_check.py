"""The quick part of the kit, without pytest: what one installed plugin provides is built and checked, and each check told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import signature
from types import ModuleType
from typing import Any

from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.specs import BackboneSpec, HeadSpec, Spec, StrategySpec
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.testing import backbone as of_backbone
from taskgraft.testing import cuts as of_resume
from taskgraft.testing import distillation as of_distilling
from taskgraft.testing import features as of_features
from taskgraft.testing import head as of_head
from taskgraft.testing import masking as of_hiding
from taskgraft.testing import plugin as of_plugin
from taskgraft.testing import processor as of_processor
from taskgraft.testing import strategy as of_strategy
from taskgraft.testing import validation_tuning as of_settling
from taskgraft.testing.check import Check, describe_error
from taskgraft.testing.head_fixture import learned
from taskgraft.testing.plugin import config_of
from taskgraft.testing.sample_backbone import LABELS, SAMPLE_INPUTS, SAMPLE_TARGETS, Sample

CheckFunction = Callable[..., None]
Material = Mapping[str, Any]
"""What checks are tried with, by the names of their arguments."""


class Outcome(StrEnum):
    """What became of a check."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        subject: what was checked: a spec ("backbone 'letters'"), or the module.
        check: what it is to promise, in words ("companions do not matter").
        text: what is wrong and what to do, or why nothing was tried; empty where the promise is kept.
    """

    subject: str
    check: str
    outcome: Outcome
    text: str = ""


class _NotTried(Exception):
    """Why something cannot be tried."""


def checks_of(subject: str) -> tuple[CheckFunction, ...]:
    """Give all checks of the kit whose first argument is of one name: ``backbone``, ``head`` or ``strategy``."""
    of_heads = (of_head, of_distilling, of_hiding, of_settling)
    modules = (of_backbone, of_processor, of_features, of_resume, *of_heads, of_strategy)
    return tuple(check for module in modules for check in _checks_in(module) if next(iter(_needs(check))) == subject)


def run_checks(module: str, specs: Sequence[Spec], configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Check one plugin. Each finding is given as soon as it is known.

    Args:
        module: what its entry point names.
        specs: what it provides.
        configs: axis and name of a spec ("backbone letters") → settings to try it with, in place of its example's. A backbone
            is built by these or by its example alone, for building may mean a download.
    """
    for check in _checks_in(of_plugin):
        if check is not of_plugin.check_descriptions_match_what_is_built:  # which is told of each spec, below
            yield _finding(module, check, {"module": module, "configs": configs})
    for spec in specs:
        yield from _of_spec(spec, configs)


def _of_spec(spec: Spec, configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Build what a spec names, and check it with all that there is to try it with."""
    subject = f"{spec.axis} '{spec.name}'"
    law = Check(subject, "it is built from settings", "Mend 'build' and what it calls, or the example of the spec.")
    try:
        if type(spec) not in _MATERIAL:
            raise _NotTried("The kit tries it in the tests of the plugin only, with rows that its author gives.")
        material = _MATERIAL[type(spec)](spec, configs)
    except _NotTried as reason:
        yield CheckResult(subject, "its laws", Outcome.NOT_TRIED, str(reason))
        return
    except Exception as error:
        found = f"building it raises {describe_error(error)}".rstrip(".")
        yield CheckResult(subject, law.law, Outcome.BROKEN, str(law.broken(found)))
        return
    yield CheckResult(subject, law.law, Outcome.KEPT)
    checks = checks_of(spec.axis)
    possible = [check for check in checks if _needs(check).keys() <= material.keys()]
    for check in possible:
        yield _finding(subject, check, material)
    if len(possible) < len(checks):
        missing = "Its example gives no rows, so nothing that reads inputs was tried."
        yield CheckResult(subject, f"{len(checks) - len(possible)} more", Outcome.NOT_TRIED, missing)


def _finding(subject: str, check: CheckFunction, material: Material) -> CheckResult:
    promise = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        check(**{name: material[name] for name in signature(check).parameters})
    except StrategyNotApplicable as error:
        return CheckResult(subject, promise, Outcome.NOT_TRIED, f"It does not fit what the kit tries it on: {error}")
    except Exception as error:
        return CheckResult(subject, promise, Outcome.BROKEN, describe_error(error))
    return CheckResult(subject, promise, Outcome.KEPT)


def _of_backbone(spec: BackboneSpec, configs: Mapping[str, Config]) -> Material:
    if spec.example is None and f"{spec.axis} {spec.name}" not in configs:
        raise _NotTried(f"It gives no example, and building it may mean a download. {_say_which(spec)}")
    config = _config(spec, configs)
    inputs = None if spec.example is None else spec.example.rows
    if spec.fit_config is not None:
        if inputs is None:
            raise _NotTried("It learns from inputs before it is built, and its example gives no rows.")
        config = spec.fit_config(config, inputs)
    material = {"backbone": spec.build(config), "spec": spec, "config": config}
    return material if inputs is None else {**material, "inputs": inputs}


def _of_head(spec: HeadSpec, configs: Mapping[str, Config]) -> Material:
    config = _config(spec, configs)
    head = spec.build(config)
    rows = None if spec.example is None else spec.example.rows
    if rows is None:
        targets, columns = _usual_targets(head), {}
    else:
        columns = {name: rows[name] for name in head.description.tuning_columns if name in rows}
        targets = {name: values for name, values in rows.items() if name not in columns}
    return {"head": head, "targets": targets, "columns": columns, "spec": spec, "config": config}


def _usual_targets(head: Head[Any]) -> Any:
    """Give targets that the kit makes up, if the head takes them."""
    kind, columns = head.description.target, head.description.tuning_columns
    if columns:
        raise _NotTried(f"It reads the columns {join_words(columns)}. Give its spec an example with rows.")
    if kind not in SAMPLE_TARGETS:
        raise _NotTried(f"The kit cannot make up targets of the kind {kind}. Give its spec an example with rows.")
    try:
        learned(head, SAMPLE_TARGETS[kind])
    except TaskgraftError as error:
        raise _NotTried(
            f"It does not take the targets that the kit makes up ({error}). Give its spec an example with rows."
        ) from None
    return SAMPLE_TARGETS[kind]


def _of_strategy(spec: StrategySpec, configs: Mapping[str, Config]) -> Material:
    strategy = spec.build(_config(spec, configs))
    head = Classification(ClassificationConfig())
    return {
        "strategy": strategy,
        "backbone": Sample(),
        "inputs": SAMPLE_INPUTS,
        "head": head,
        "targets": {"label": LABELS},
    }


_MATERIAL: Mapping[type[Spec], Callable[..., Material]] = {
    BackboneSpec: _of_backbone,
    HeadSpec: _of_head,
    StrategySpec: _of_strategy,
}


def _config(spec: Spec, configs: Mapping[str, Config]) -> Config:
    if (config := config_of(spec, configs)) is None:
        undecided = [name for name, field in spec.config.model_fields.items() if field.is_required()]
        raise _NotTried(f"It has no default for {join_words(undecided)}, and no example gives it. {_say_which(spec)}")
    return config


def _say_which(spec: Spec) -> str:
    way = f"{spec.name}:{spec.config.positional.upper()}" if spec.config.positional else spec.name
    return f"Say what to try it with: --try {way}, or a dict with 'name' and settings as JSON."


def _checks_in(module: ModuleType) -> list[CheckFunction]:
    """Give the checks of a module of the kit, in their order."""
    return [
        check
        for name, check in vars(module).items()
        if name.startswith("check_") and check.__module__ == module.__name__
    ]


def _needs(check: CheckFunction) -> dict[str, None]:
    """Name the arguments of a check, in their order."""
    return dict.fromkeys(signature(check).parameters)

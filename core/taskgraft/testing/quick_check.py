"""The quick part of the kit, without pytest: build what one installed plugin provides, and run the checks on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig
from taskgraft.composition.compose import build_strategy
from taskgraft.composition.resolve import resolve
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.config import Config
from taskgraft.contract.head import Head
from taskgraft.contract.specs import BackboneSpec, HeadSpec, OptimizerSpec, ScheduleSpec, Spec, StrategySpec
from taskgraft.contract.strategy import StrategyNotApplicable
from taskgraft.discovery.catalog import catalog
from taskgraft.errors import TaskgraftError, join_words
from taskgraft.testing import plugin
from taskgraft.testing.check import Law, describe_error, title_of
from taskgraft.testing.check_list import CheckFunction, checks_of, needs_of
from taskgraft.testing.head_fixture import fit_target
from taskgraft.testing.optimizers_and_schedules import check_optimizers_resume_exactly, check_schedules_are_pure
from taskgraft.testing.plugin import config_to_try
from taskgraft.testing.sample_backbone import SAMPLE_INPUTS, SAMPLE_LABELS, SAMPLE_TARGETS, SampleBackbone

CheckArguments = Mapping[str, Any]
"""The arguments of checks, by name."""


class Outcome(StrEnum):
    """The outcome of a check."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_TRIED = "not tried"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        subject: what was checked: a spec ("backbone 'letters'"), or the module.
        check: the promise in words ("eval is deterministic").
        text: what is wrong and what to do, or why nothing was tried or the promise does not apply; empty when it is kept.
    """

    subject: str
    check: str
    outcome: Outcome
    text: str = ""


class _NotTried(Exception):
    """The reason why a spec is not tried."""


def run_checks(module: str, specs: Sequence[Spec], configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Check one plugin. Each result is yielded as soon as it is known.

    Args:
        module: the module that its entry point names.
        specs: the specs that it provides.
        configs: axis and name of a spec ("backbone letters") → settings to try it with, instead of its example's. A backbone
            is only built from these or from its example, since building may download weights.
    """
    checks = (plugin.check_module_is_found, plugin.check_specs_are_valid, plugin.check_descriptions_read_no_weights)
    for check in checks:  # that descriptions match what is built is checked with each spec, below
        yield _run(module, check, {"module": module, "configs": configs})
    for kind, check in _PER_MODULE.items():
        if any(isinstance(spec, kind) for spec in specs):
            yield _run(module, check, {"module": module, "configs": configs})
    for spec in specs:
        if type(spec) not in _PER_MODULE:
            yield from _check_spec(spec, configs)


def _check_spec(spec: Spec, configs: Mapping[str, Config]) -> Iterator[CheckResult]:
    """Build what a spec describes, and run all checks whose arguments are available."""
    subject = f"{spec.axis} '{spec.name}'"
    law = Law(subject, "it is built from settings", "Fix 'build' and what it calls, or the example of the spec.")
    try:
        if type(spec) not in _ARGUMENTS:
            raise _NotTried("Only the plugin's own tests try it, with rows that its author provides.")
        arguments = _ARGUMENTS[type(spec)](spec, configs)
    except _NotTried as reason:
        yield CheckResult(subject, "its laws", Outcome.NOT_TRIED, str(reason))
        return
    except Exception as error:
        found = f"building it raises {describe_error(error)}".rstrip(".")
        yield CheckResult(subject, law.sentence, Outcome.BROKEN, str(law.violation(found)))
        return
    yield CheckResult(subject, law.sentence, Outcome.KEPT)
    checks = checks_of(spec.axis)
    possible = [check for check in checks if arguments.keys() >= set(needs_of(check))]
    for check in possible:
        yield _run(subject, check, arguments)
    if len(possible) < len(checks):
        missing = "Its example has no rows, so no check that reads inputs was tried."
        yield CheckResult(subject, f"{len(checks) - len(possible)} more", Outcome.NOT_TRIED, missing)


def _run(subject: str, check: CheckFunction, arguments: CheckArguments) -> CheckResult:
    title = title_of(check)
    try:
        reason = check(**{name: arguments[name] for name in needs_of(check)})
    except StrategyNotApplicable as error:
        return CheckResult(subject, title, Outcome.NOT_TRIED, f"It does not fit the backbone of the kit: {error}")
    except Exception as error:
        return CheckResult(subject, title, Outcome.BROKEN, describe_error(error))
    return CheckResult(subject, title, Outcome.NOT_APPLICABLE if reason else Outcome.KEPT, reason or "")


def _backbone_arguments(spec: BackboneSpec, configs: Mapping[str, Config]) -> CheckArguments:
    if spec.example is None and f"{spec.axis} {spec.name}" not in configs:
        raise _NotTried(f"It has no example, and building it may download weights. {_how_to_try(spec)}")
    config = _config(spec, configs)
    inputs = None if spec.example is None else spec.example.rows
    if spec.fit_config is not None:
        if inputs is None:
            raise _NotTried("Its settings are fitted to inputs before it is built, and its example has no rows.")
        config = spec.fit_config(config, inputs)
    arguments = {"backbone": spec.build(config), "spec": spec, "config": config}
    return arguments if inputs is None else {**arguments, "inputs": inputs}


def _head_arguments(spec: HeadSpec, configs: Mapping[str, Config]) -> CheckArguments:
    config = _config(spec, configs)
    head = spec.build(config)
    rows = None if spec.example is None else spec.example.rows
    if rows is None:
        targets, columns = _sample_targets(head), {}
    else:
        columns = {name: rows[name] for name in head.description.tuning_columns if name in rows}
        targets = {name: values for name, values in rows.items() if name not in columns}
    return {"head": head, "targets": targets, "columns": columns, "spec": spec, "config": config}


def _sample_targets(head: Head[Any]) -> Any:
    """Return the kit's sample targets for a head, if it accepts them."""
    kind, columns = head.description.target, head.description.tuning_columns
    advice = "Give its spec an example with rows."
    if columns:
        raise _NotTried(f"It reads the columns {join_words(columns)}. {advice}")
    if kind not in SAMPLE_TARGETS:
        raise _NotTried(f"The kit has no sample targets of the kind {kind}. {advice}")
    try:
        fit_target(head, SAMPLE_TARGETS[kind])
    except TaskgraftError as error:
        raise _NotTried(f"It does not accept the sample targets of the kit ({error}). {advice}") from None
    return SAMPLE_TARGETS[kind]


def _strategy_arguments(spec: StrategySpec, configs: Mapping[str, Config]) -> CheckArguments:
    config = _config(spec, configs)
    if spec.nested is None:
        strategy = spec.build(config)
    else:
        stated = getattr(config, spec.nested)
        others = (stated,) if isinstance(stated, ComponentRef) else stated
        strategy = spec.build(config, tuple(build_strategy(resolve(catalog(), StrategySpec, one)) for one in others))
    return {
        "strategy": strategy,
        "backbone": SampleBackbone(),
        "inputs": SAMPLE_INPUTS,
        "head": Classification(ClassificationConfig()),
        "targets": {"label": SAMPLE_LABELS},
    }


_ARGUMENTS: Mapping[type[Spec], Callable[..., CheckArguments]] = {
    BackboneSpec: _backbone_arguments,
    HeadSpec: _head_arguments,
    StrategySpec: _strategy_arguments,
}

_PER_MODULE: Mapping[type[Spec], CheckFunction] = {
    OptimizerSpec: check_optimizers_resume_exactly,
    ScheduleSpec: check_schedules_are_pure,
}
"""Kinds of specs that one check tries all together."""


def _config(spec: Spec, configs: Mapping[str, Config]) -> Config:
    if (config := config_to_try(spec, configs)) is None:
        required = [name for name, field in spec.config.model_fields.items() if field.is_required()]
        raise _NotTried(f"It has no default for {join_words(required)}, and no example sets it. {_how_to_try(spec)}")
    return config


def _how_to_try(spec: Spec) -> str:
    example = f"{spec.name}:{spec.config.positional.upper()}" if spec.config.positional else spec.name
    return f"Choose what to try with --try {example}, or with a dict of 'name' and settings as JSON."

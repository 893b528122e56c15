"""Laws of a head and its module: description, building, precision, and independence of the batch."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import Layout, TargetKind
from taskgraft.contract.head import Head
from taskgraft.contract.masking import ElementSchema
from taskgraft.contract.specs import HeadSpec
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import nearly_equal, require_same_description, same_predictions
from taskgraft.testing.head_fixture import heads_under_test

_TOLERANCE = 1e-4
"""How far losses and predictions may differ, absolutely and relative to their size."""


@law_check("Fix the description.")
def check_head_description_is_valid(law: Law, head: Head[Any]) -> None:
    """The description names layouts, a kind of target, metrics and baselines, and is the same on every call."""
    description = head.description
    if description != head.description:
        raise law.violation("two calls of 'description' differ", "Compute the description from the settings alone.")
    if not description.layouts or any(layout not in set(Layout) for layout in description.layouts):
        raise law.violation(f"it reads {description.layouts!r}, which are not layouts")
    if len(set(description.layouts)) != len(description.layouts):
        raise law.violation(f"it names a layout more than once: {description.layouts!r}")
    if description.target not in set(TargetKind):
        raise law.violation(f"{description.target!r} is not a kind of target")
    for what, names in (("metrics", description.metrics), ("baselines", description.baselines)):
        if not isinstance(names, tuple):
            raise law.violation(f"its {what} are {names!r}, not a tuple of names")
    for metric in description.metrics:
        if not isinstance(metric, str) and not (isinstance(metric, Mapping) and isinstance(metric.get("name"), str)):
            raise law.violation(f"its metric {metric!r} is neither a name nor a dict with 'name' and settings")


@law_check("Let 'description' and the spec's 'describe' call one function.")
def check_spec_describes_the_head(law: Law, head: Head[Any], spec: HeadSpec, config: Config) -> None:
    """``describe`` returns for some settings the description of the head that ``build`` returns for them."""
    require_same_description(law, head, spec, config)


@law_check("Let build_module read nothing that fit_targets stored elsewhere.")
def check_head_builds_from_json(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """With a target description read from JSON, the head builds the same module, which takes the saved weights."""
    for tested in heads_under_test(head, targets):
        read = head.target.model_validate(json.loads(tested.target.model_dump_json()))
        with law.must_succeed(f"loading saved weights into the head for {tested}"):
            rebuilt = tested.rebuild(read)
        if not same_predictions(rebuilt.predictions(), tested.predictions()):
            raise law.violation(f"for {tested}, the rebuilt head predicts something else")


@law_check("Cast features to the dtype of the head's weights; compute the loss in float32; build nothing unused.")
def check_head_trains_in_any_precision(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """Every parameter of the head gets a gradient, also from features in bfloat16 or float64."""
    for tested in heads_under_test(head, targets):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            values = tuple(value.to(dtype) for value in tested.features.values)
            cast = replace(tested, features=replace(tested.features, values=values))
            cast.module.zero_grad()
            with law.must_succeed(f"a loss of {tested} in {dtype}"):
                cast.loss().total.backward()
            for name, parameter in cast.module.named_parameters():
                if parameter.grad is None or not bool(parameter.grad.any()):
                    raise law.violation(f"for {tested} in {dtype}, {name} gets no gradient")


@law_check("Never combine rows of a batch, and use the lengths: positions past them hold anything.")
def check_outputs_do_not_depend_on_the_batch(law: Law, head: Head[Any], targets: Columns | ElementSchema) -> None:
    """A row's loss and prediction are the same in a batch of one, and for any content past its length."""
    for tested in heads_under_test(head, targets):
        longer = tested.with_more_padding()
        one, other = float(tested.loss().total.detach()), float(longer.loss().total.detach())
        if abs(one - other) > _TOLERANCE * max(1.0, abs(one)):
            raise law.violation(f"for {tested}, the loss is {one:.6g}, and {other:.6g} with more padding")
        in_batch, lengthened = tested.predictions(), longer.predictions()
        for row in range(len(tested.encoded)):
            alone = tested.rows([row]).predictions()
            for how, predictions, place in (("alone", alone, 0), ("with more padding", lengthened, row)):
                if not nearly_equal(in_batch.values[row], predictions.values[place], _TOLERANCE):
                    raise law.violation(
                        f"for {tested}, row {row} is predicted as {in_batch.values[row]!r} in a batch "
                        f"and as {predictions.values[place]!r} {how}"
                    )
                first, second = in_batch.probabilities, predictions.probabilities
                if first and second and not np.allclose(first[row], second[place], rtol=_TOLERANCE, atol=_TOLERANCE):
                    raise law.violation(f"for {tested}, row {row} has other probabilities in a batch than {how}")

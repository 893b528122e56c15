"""Laws of features: they match their description, and depend on one example and the weights alone."""

from copy import deepcopy
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features, describe_mismatch
from taskgraft.testing.check import (
    BackboneUnderTest,
    Check,
    alike,
    distance,
    law_of,
    same_bits,
    same_values,
    trial,
)

FACTORIES = frozenset(
    {
        torch.arange,
        torch.empty,
        torch.eye,
        torch.full,
        torch.linspace,
        torch.ones,
        torch.rand,
        torch.randn,
        torch.tensor,
        torch.zeros,
    }
)
"""Functions that make a tensor on the default device when none is said."""

LOW_PRECISION = 0.25
"""How far bfloat16 features may lie from float32 ones, relative to the largest."""


def check_features_match_the_description(backbone: Backbone, inputs: Columns) -> None:
    """Layout, feature size, members, levels, lengths and rows are as described, and every real value is finite."""
    law = law_of(
        backbone,
        "features match their description",
        "Mend forward or the description; a head is built from the latter.",
    )
    tried = trial(backbone, inputs)
    for described in tried.description.features:
        with law.runs(f"forward for {described.layout} features"):
            features = tried.features(described.layout)
        if problem := describe_mismatch(features, described):
            raise law.broken(f"asked for {described.layout} features, {problem}")
        if len(features) != len(tried.batch):
            raise law.broken(f"{described.layout} features have {len(features)} rows for {len(tried.batch)} examples")
        if not all(value.is_floating_point() for value in features.values):
            raise law.broken(f"{described.layout} features are {features.value.dtype}, not floating point")
        for row in range(len(features)):
            if distance(features.select([row]), features.select([row])) > 0:
                raise law.broken(f"{described.layout} features of row {row} hold values that are not finite")
        _check_lengths(law, tried, features, inputs)


def check_eval_is_deterministic(backbone: Backbone, inputs: Columns) -> None:
    """Two passes in eval mode give the same bits, whatever the state of the random number generator."""
    law = law_of(
        backbone, "eval mode is deterministic", "Draw random numbers only where self.training is true, as dropout does."
    )
    tried = trial(backbone, inputs)
    if awake := [name for name, module in tried.backbone.named_modules() if module.training]:
        raise law.broken(f"the module '{awake[0]}' stays in training mode after eval()", "Do not override train().")
    for layout in tried.layouts:
        first, same, second = (_seeded(tried, layout, seed) for seed in (1, 1, 2))
        if not same_values(first, same):
            raise law.broken(
                f"two passes of one batch give {layout} features that differ by {distance(first, same):.1e}, "
                "with the same random numbers",
                "Keep nothing of a pass on the module.",
            )
        if not same_values(first, second):
            raise law.broken(f"two passes give {layout} features that differ by {distance(first, second):.1e}")


def _seeded(tried: BackboneUnderTest, layout: Layout, seed: int) -> Features:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tried.features(layout)


def check_features_do_not_depend_on_the_batch(backbone: Backbone, inputs: Columns) -> None:
    """An example's features are the same alone, in another order, and padded to another length."""
    law = law_of(
        backbone,
        "an example's features do not depend on its companions or on padding",
        "Mask what is past each example's length, and let nothing mix rows of a batch.",
    )
    tried = trial(backbone, inputs)
    order = list(reversed(range(len(tried.batch))))
    for layout in tried.layouts:
        together = tried.features(layout)
        for row, one in enumerate(tried.batch.unbind()):
            with law.runs(f"a batch of one (row {row})"):
                alone = tried.features(layout, one)
            _compare(law, alone, together.select([row]), f"{layout} features of row {row} alone and among others")
        turned = tried.features(layout, tried.batch.select(order))
        for place, row in enumerate(order):
            what = f"{layout} features of row {row} in another order"
            _compare(law, together.select([row]), turned.select([place]), what)
        if tried.batch.lengths:
            with law.runs("a batch padded to more positions than its longest example needs"):
                padded = tried.features(layout, collate([tried.batch], tried.longer))
            for row in range(len(order)):
                what = f"{layout} features of row {row} with more padding"
                _compare(law, together.select([row]), padded.select([row]), what)


def check_no_state_is_kept_between_batches(backbone: Backbone, inputs: Columns) -> None:
    """A pass in eval mode changes no tensor, and another batch in between changes nothing."""
    law = law_of(
        backbone, "a backbone keeps nothing between batches", "Keep results in local variables, not on the module."
    )
    tried = trial(backbone, inputs)
    before = {name: tensor.clone() for name, tensor in named_tensors(tried.backbone).items()}
    others = tried.batch.select([len(tried.batch) - 1, 0])
    for layout in tried.layouts:
        first = tried.features(layout)
        tried.features(layout, others)
        again = tried.features(layout)
        if not same_values(first, again):
            raise law.broken(
                f"{layout} features of a batch differ after another batch, by {distance(first, again):.1e}"
            )
    _check_unmoved(law, before, tried.backbone, "a pass in eval mode")


def check_training_changes_only_tensors(backbone: Backbone, inputs: Columns) -> None:
    """After passes in training mode, with all tensors put back, features are as before.

    Whatever training changes is thus a parameter or buffer that a part owns, so it is guarded, saved and restored.
    """
    law = law_of(
        backbone,
        "training changes nothing but parameters and buffers",
        "Register what training changes as a buffer, and let a part own it.",
    )
    tried = trial(deepcopy(backbone), inputs)
    before = {name: tensor.clone() for name, tensor in named_tensors(tried.backbone).items()}
    for layout in tried.layouts:
        first = tried.features(layout)
        tried.backbone.train()
        with law.runs("a pass in training mode"):
            tried.backbone(tried.batch, layout)
        tried.backbone.eval()
        with torch.no_grad():
            for name, tensor in named_tensors(tried.backbone).items():
                tensor.copy_(before[name])
        again = tried.features(layout)
        if not same_values(first, again):
            raise law.broken(f"{layout} features differ by {distance(first, again):.1e} after a pass in training mode")


def check_dtypes_work(backbone: Backbone, inputs: Columns) -> None:
    """Cast to float64 or bfloat16, a backbone gives features of that dtype, near those of float32."""
    law = law_of(
        backbone,
        "the weights may be cast",
        "Take dtypes from the weights or the hidden values, and cast floating-point inputs to them.",
    )
    tried = trial(deepcopy(backbone).float(), inputs)
    for dtype, limit in ((torch.float64, 1e-3), (torch.bfloat16, LOW_PRECISION)):
        cast = BackboneUnderTest(deepcopy(tried.backbone).to(dtype), tried.batch)
        for layout in tried.layouts:
            with law.runs(f"{layout} features with weights in {dtype}"):
                features = cast.features(layout)
            if features.value.dtype != dtype:
                raise law.broken(f"with weights in {dtype}, {layout} features are {features.value.dtype}")
            if (far := distance(tried.features(layout), features)) > limit:
                raise law.broken(f"with weights in {dtype}, {layout} features lie {far:.1e} from those in float32")


def check_devices_work(backbone: Backbone, inputs: Columns) -> None:
    """New tensors are made on the device of the weights.

    Tried everywhere by letting tensors that say no device, or name one, fall on one where nothing can be computed; where
    there is an accelerator, also by moving a copy to it.
    """
    law = law_of(
        backbone,
        "a backbone runs where its weights are",
        "Give device=… (of an input or a weight) to every tensor that forward makes; name no device.",
    )
    tried = trial(backbone, inputs)
    home = next(iter(named_tensors(backbone).values())).device
    for layout in tried.layouts:
        with law.runs(
            f"forward for {layout} features, where a tensor that says no device, or names one, lies elsewhere,"
        ):
            try:
                with Elsewhere():
                    features = tried.features(layout)
            except NotImplementedError:  # it moves what it made to the device of the weights
                continue
        if features.value.device != home:
            raise law.broken(f"{layout} features lie on a device of their own, not on that of the weights")
    if torch.accelerator.is_available():
        _check_accelerator(law, tried)


class Elsewhere(TorchFunctionMode):
    """New tensors that say no device, or name one ("cpu"), lie on "meta", so that using them with others fails.

    Whoever makes a tensor where the weights are says so with a device of a tensor, which is no text. Single numbers may mix.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        said = (kwargs or {}).get("device")
        if func in FACTORIES and (said is None or isinstance(said, str)) and made.dim() > 0:
            return made.to("meta")
        return made


def _check_accelerator(law: Check, tried: BackboneUnderTest) -> None:
    device = torch.accelerator.current_accelerator()
    assert device is not None
    moved = BackboneUnderTest(deepcopy(tried.backbone).to(device), tried.batch.to(device))
    for layout in tried.layouts:
        with law.runs(f"forward for {layout} features on {device}"):
            features = moved.features(layout)
        if features.value.device.type != device.type:
            raise law.broken(f"with weights on {device}, {layout} features lie on {features.value.device}")


def _check_lengths(law: Check, tried: BackboneUnderTest, features: Features, inputs: Columns) -> None:
    if features.lengths is None:
        return
    if features.lengths.shape != (len(features),) or int(features.lengths.max()) > features.value.shape[1]:
        raise law.broken(f"{features.layout} features have lengths that do not fit {tuple(features.value.shape)}")
    prepared = tried.backbone.processor.prepare(inputs)
    for row, (length, elements) in enumerate(zip(features.lengths.tolist(), prepared.elements or (), strict=False)):
        if length > elements or (length < elements and not prepared.notes):
            raise law.broken(
                f"{features.layout} features of row {row} have {length} elements, but its input has {elements}",
                "Emit one vector per element of the user's input; where some were cut off, say so in 'notes'.",
            )


def _compare(law: Check, first: Features, second: Features, what: str) -> None:
    if not alike(first, second):
        raise law.broken(f"{what} differ by {distance(first, second):.1e}")


def _check_unmoved(law: Check, before: dict[str, torch.Tensor], backbone: Backbone, what: str) -> None:
    for name, tensor in named_tensors(backbone).items():
        if name not in before or not same_bits(before[name], tensor):
            raise law.broken(f"{what} changes the tensor {name}")

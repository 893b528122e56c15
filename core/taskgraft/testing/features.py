"""Laws of features: they match their description, and depend on one example and the weights alone."""

from copy import deepcopy
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from taskgraft.contract.backbone import Backbone, named_tensors
from taskgraft.contract.batch import collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.testing.backbone_fixture import BackboneUnderTest, prepare_backbone
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import feature_distance, features_agree, same_bits, same_features
from taskgraft.testing.feature_mismatch import describe_mismatch

_FACTORIES = frozenset(
    getattr(torch, name)
    for name in ["arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros"]
)
"""Functions that create a tensor on the default device when no device is given."""

_LOW_PRECISION = 0.25
"""How far bfloat16 features may be from float32 features, relative to the largest."""


@law_check("Fix forward or the description; heads are built from the description.")
def check_features_match_the_description(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Layout, feature size, members, levels, lengths and rows are as described, and every real value is finite."""
    tested = prepare_backbone(backbone, inputs)
    for description in tested.description.features:
        layout = description.layout
        with law.must_succeed(f"forward for {layout} features"):
            features = tested.features(layout)
        if problem := describe_mismatch(features, description):
            raise law.violation(f"forward for {layout}: {problem}")
        if len(features) != len(tested.batch):
            raise law.violation(f"{layout} features have {len(features)} rows for {len(tested.batch)} examples")
        if not all(value.is_floating_point() for value in features.values):
            raise law.violation(f"{layout} features are {features.value.dtype}, not floating point")
        for row in range(len(features)):
            if feature_distance(features.select([row]), features.select([row])) > 0:
                raise law.violation(f"{layout} features of row {row} hold values that are not finite")
        _check_lengths(law, tested, features, inputs)


@law_check("Use random numbers only where self.training is true, as dropout does.")
def check_eval_is_deterministic(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Two passes in eval mode give the same bits, whatever the state of the random number generator."""
    tested = prepare_backbone(backbone, inputs)
    if training := [name for name, module in tested.backbone.named_modules() if module.training]:
        raise law.violation(
            f"the module '{training[0]}' stays in training mode after eval()", "Do not override train()."
        )
    for layout in tested.layouts:
        first, same_seed, other_seed = (_seeded_features(tested, layout, seed) for seed in (1, 1, 2))
        if not same_features(first, same_seed):
            raise law.violation(
                f"two passes of one batch give {layout} features that differ by {feature_distance(first, same_seed):.1e}, "
                "with the same random numbers",
                "Store nothing of a pass on the module.",
            )
        if not same_features(first, other_seed):
            far = feature_distance(first, other_seed)
            raise law.violation(f"two passes give {layout} features that differ by {far:.1e}")


@law_check("Mask the positions past each example's length, and never combine rows of a batch.")
def check_features_do_not_depend_on_the_batch(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """An example's features are the same in a batch of one, in another order, and padded to another length."""
    tested = prepare_backbone(backbone, inputs)
    order = list(reversed(range(len(tested.batch))))
    for layout in tested.layouts:
        in_batch = tested.features(layout)
        for row, one in enumerate(tested.batch.unbind()):
            with law.must_succeed(f"a batch of one (row {row})"):
                alone = tested.features(layout, one)
            _compare(law, alone, in_batch.select([row]), f"{layout} features of row {row} alone and in a batch")
        reordered = tested.features(layout, tested.batch.select(order))
        for place, row in enumerate(order):
            what = f"{layout} features of row {row} in another order"
            _compare(law, in_batch.select([row]), reordered.select([place]), what)
        if tested.batch.lengths:
            with law.must_succeed("a batch padded beyond its longest example"):
                padded = tested.features(layout, collate([tested.batch], tested.padded_lengths))
            for row in range(len(order)):
                what = f"{layout} features of row {row} with more padding"
                _compare(law, in_batch.select([row]), padded.select([row]), what)


@law_check("Keep results in local variables, not on the module.")
def check_no_state_is_kept_between_batches(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """A pass in eval mode changes no tensor, and another batch in between changes no result."""
    tested = prepare_backbone(backbone, inputs)
    before = {name: tensor.clone() for name, tensor in named_tensors(tested.backbone).items()}
    other_batch = tested.batch.select([len(tested.batch) - 1, 0])
    for layout in tested.layouts:
        first = tested.features(layout)
        tested.features(layout, other_batch)
        again = tested.features(layout)
        if not same_features(first, again):
            far = feature_distance(first, again)
            raise law.violation(f"{layout} features of a batch differ after another batch, by {far:.1e}")
    for name, tensor in named_tensors(tested.backbone).items():
        if name not in before or not same_bits(before[name], tensor):
            raise law.violation(f"a pass in eval mode changes the tensor {name}")


@law_check("Register what training changes as a buffer, and let a part own it.")
def check_training_changes_only_parameters_and_buffers(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """After passes in training mode, with all tensors restored, features are as before.

    Everything that training changes is thus a parameter or buffer that a part owns, so it is guarded, saved and restored.
    """
    tested = prepare_backbone(deepcopy(backbone), inputs)
    before = {name: tensor.clone() for name, tensor in named_tensors(tested.backbone).items()}
    for layout in tested.layouts:
        first = tested.features(layout)
        tested.backbone.train()
        with law.must_succeed("a pass in training mode"):
            tested.backbone(tested.batch, layout)
        tested.backbone.eval()
        with torch.no_grad():
            for name, tensor in named_tensors(tested.backbone).items():
                tensor.copy_(before[name])
        again = tested.features(layout)
        if not same_features(first, again):
            far = feature_distance(first, again)
            raise law.violation(f"{layout} features differ by {far:.1e} after a pass in training mode")


@law_check("Take dtypes from the weights or the hidden values, and cast floating-point inputs to them.")
def check_dtypes_work(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Cast to float64 or bfloat16, a backbone gives features of that dtype, close to those of float32."""
    tested = prepare_backbone(deepcopy(backbone).float(), inputs)
    for dtype, limit in ((torch.float64, 1e-3), (torch.bfloat16, _LOW_PRECISION)):
        cast = BackboneUnderTest(deepcopy(tested.backbone).to(dtype), tested.batch)
        for layout in tested.layouts:
            with law.must_succeed(f"computing {layout} features with weights in {dtype}"):
                features = cast.features(layout)
            if features.value.dtype != dtype:
                raise law.violation(f"with weights in {dtype}, {layout} features are {features.value.dtype}")
            if (far := feature_distance(tested.features(layout), features)) > limit:
                raise law.violation(
                    f"with weights in {dtype}, {layout} features differ by {far:.1e} from those in float32"
                )


@law_check("Pass device=… (of an input or a weight) to every tensor that forward creates; never name a device.")
def check_devices_work(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """New tensors are created on the device of the weights.

    Tried on any machine by moving tensors that are created without a device, or on a named one, to a device where nothing
    can be computed; where there is an accelerator, also by moving a copy to it.
    """
    tested = prepare_backbone(backbone, inputs)
    device = next(iter(named_tensors(backbone).values())).device
    for layout in tested.layouts:
        with law.must_succeed(
            f"forward for {layout} features, with tensors that are created without a device or on a named one elsewhere,"
        ):
            try:
                with _OtherDefaultDevice():
                    features = tested.features(layout)
            except NotImplementedError:  # it moves what it created to the device of the weights
                continue
        if features.value.device != device:
            raise law.violation(f"{layout} features are on a device of their own, not on that of the weights")
    if torch.accelerator.is_available():
        _check_accelerator(law, tested)


class _OtherDefaultDevice(TorchFunctionMode):
    """Put new tensors created without a device, or on a named one ("cpu"), on "meta", so that using them with others fails.

    Code that passes the device of a tensor passes no string, and is left alone. Single numbers may be combined with tensors
    of any device.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        created = func(*args, **(kwargs or {}))
        device = (kwargs or {}).get("device")
        if func in _FACTORIES and (device is None or isinstance(device, str)) and created.dim() > 0:
            return created.to("meta")
        return created


def _seeded_features(tested: BackboneUnderTest, layout: Layout, seed: int) -> Features:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tested.features(layout)


def _check_accelerator(law: Law, tested: BackboneUnderTest) -> None:
    device = torch.accelerator.current_accelerator()
    assert device is not None
    moved = BackboneUnderTest(deepcopy(tested.backbone).to(device), tested.batch.to(device))
    for layout in tested.layouts:
        with law.must_succeed(f"forward for {layout} features on {device}"):
            features = moved.features(layout)
        if features.value.device.type != device.type:
            raise law.violation(f"with weights on {device}, {layout} features are on {features.value.device}")


def _check_lengths(law: Law, tested: BackboneUnderTest, features: Features, inputs: Columns) -> None:
    if features.lengths is None:
        return
    if features.lengths.shape != (len(features),) or int(features.lengths.max()) > features.value.shape[1]:
        raise law.violation(f"{features.layout} features have lengths that do not fit {tuple(features.value.shape)}")
    processed = tested.backbone.processor.prepare(inputs)
    for row, (length, elements) in enumerate(zip(features.lengths.tolist(), processed.elements or (), strict=False)):
        if length > elements or (length < elements and not processed.notes):
            raise law.violation(
                f"{features.layout} features of row {row} have {length} elements, but its input has {elements}",
                "Emit one vector per element of the user's input; when some were cut off, report it in 'notes'.",
            )


def _compare(law: Law, first: Features, second: Features, what: str) -> None:
    if not features_agree(first, second):
        raise law.violation(f"{what} differ by {feature_distance(first, second):.1e}")

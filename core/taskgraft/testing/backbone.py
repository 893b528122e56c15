"""Laws of a backbone as a whole: its description, parts, roles, gradients, export and fingerprint."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone, ExportNotSupported, named_tensors
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, FeatureDescription, LayerRole, Layout, Part
from taskgraft.contract.specs import BackboneSpec
from taskgraft.errors import join_words
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.testing.backbone_fixture import prepare_backbone
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import require_same_description, same_bits

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@law_check("Fix the description.")
def check_description_is_valid(law: Law, backbone: Backbone) -> None:
    """The description holds only what the contract allows, and is the same on every call."""
    description = backbone.description
    if description != backbone.description:
        raise law.violation("two calls of 'description' differ", "Compute the description from the settings alone.")
    if not description.features:
        raise law.violation("it emits no features", "List every layout that forward can compute in 'features'.")
    if not description.parts:
        raise law.violation("it has no parts", "List at least one part, which owns everything.")
    for what, names in (
        ("layouts", [str(feature.layout) for feature in description.features]),
        ("parts", [part.name for part in description.parts]),
        ("inputs", [role.name for role in description.inputs]),
    ):
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise law.violation(f"its {what} name {join_words(duplicates)} more than once")
    _check_cuts(law, description)
    if description.can_mask and description.feature(Layout.SEQUENCE) is None:
        raise law.violation(
            "it can mask elements, but emits no sequence", "Emit sequence features as well, or set can_mask=False."
        )
    for feature in (*description.features, *(part.output for part in description.parts)):
        _check_feature(law, feature)


@law_check(
    "Add the module to the 'owns' of the first part that uses it, or to 'unused' when the features do not need it."
)
def check_parts_own_every_tensor_once(law: Law, backbone: Backbone) -> None:
    """Every parameter and buffer belongs to exactly one part, or is declared unused; every dropout belongs to a part."""
    description = backbone.description
    tensors = named_tensors(backbone)
    paths = {*tensors, *(name for name, _ in backbone.named_modules()), *(n for n, _ in backbone.named_parameters())}
    claims = [(f"part '{part.name}'", part.owns) for part in description.parts] + [("'unused'", description.unused)]
    for owner, owned in claims:
        if unknown := [path for path in owned if path not in paths]:
            raise law.violation(
                f"{owner} names {join_words(unknown, 3)}, which the backbone does not have", "Fix the path."
            )
    for path in tensors:
        owners = [f"part '{part.name}'" for part in description.parts if part.covers(path)]
        owners += ["'unused'"] if description.declares_unused(path) else []
        if len(owners) > 1:
            raise law.violation(
                f"{path} belongs to {' and to '.join(owners)}", "Leave it to the first part that uses it."
            )
    if unowned := [path for path in tensors if not _is_owned(description, path)]:
        raise law.violation(f"no part owns {join_words(unowned, 3)}")
    for path, module in backbone.named_modules():
        if isinstance(module, _DROPOUTS) and not _is_owned(description, path):
            raise law.violation(f"no part owns the dropout {path}, so it would not follow its part into eval mode")


@law_check("Fix the 'roles' of that part.")
def check_roles_name_layers(law: Law, backbone: Backbone) -> None:
    """Each role names a linear or convolutional layer inside its part, except the role of the whole model."""
    modules = dict(backbone.named_modules())
    for number, part in enumerate(backbone.description.parts):
        for path, role in part.roles.items():
            if role == LayerRole.MODEL and number == 0 and path in modules:
                continue
            if problem := _role_problem(part, path, role, modules.get(path)):
                raise law.violation(f"part '{part.name}' gives {path} the role '{role}', but {problem}")


@law_check("Fix the 'output_module' of that part, or leave it out when no single module returns the part's output.")
def check_output_modules_return_part_outputs(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """The ``output_module`` of a part belongs to that part, and its output has the feature size that the part states."""
    tested = prepare_backbone(backbone, inputs)
    modules = dict(backbone.named_modules())
    part_of = {part.output_module: part for part in tested.description.parts if part.output_module is not None}
    outputs: dict[str, Any] = {}
    for path, part in part_of.items():
        if path not in modules or not part.covers(path):
            raise law.violation(f"part '{part.name}' names {path}, which is not a module of that part")
    hooks = [
        modules[path].register_forward_hook(lambda _, __, output, path=path: outputs.__setitem__(path, output))
        for path in part_of
    ]
    for layout in tested.layouts:
        tested.features(layout)
    for hook in hooks:
        hook.remove()
    for path, part in part_of.items():
        output = outputs.get(path)
        output = output[0] if isinstance(output, tuple) else output
        axis = 1 if part.output.layout in (Layout.GRID, Layout.PYRAMID) else -1
        if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[axis] != part.output.feature_size:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise law.violation(
                f"part '{part.name}' has the feature size {part.output.feature_size}, but the module {path} returns {shape}"
            )


@law_check(
    "Write into the given folder; raise ExportNotSupported with the reason when the library has no checkpoint format."
)
def check_export_changes_no_tensor(law: Law, backbone: Backbone) -> None:
    """A backbone that can be exported writes files into the given folder, and changes no tensor."""
    before = {name: tensor.detach().clone() for name, tensor in named_tensors(backbone).items()}
    with temporary_folder() as folder:
        with law.must_succeed("export"):
            try:
                backbone.export(folder)
            except ExportNotSupported:
                return
        if not any(path.is_file() for path in folder.rglob("*")):
            raise law.violation("no file was written")
    after = named_tensors(backbone)
    if changed := [name for name in before if name not in after or not same_bits(before[name], after[name])]:
        raise law.violation(f"export changed the tensor {changed[0]}")


@law_check(
    "Use it in forward, declare it in 'unused', or (behind a zero gate) start the gate away from zero in the test."
)
def check_every_tensor_gets_a_gradient(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """In some layout every parameter receives a gradient, except those declared unused, which receive none.

    A copy runs in eval mode, so that dropout hides nothing. The loss is the features times random numbers.
    """
    tested = prepare_backbone(deepcopy(backbone).requires_grad_(True), inputs)
    reached: dict[Layout, set[str]] = {}
    generator = torch.Generator().manual_seed(0)
    for layout in tested.layouts:
        features = tested.backbone(tested.batch, layout)
        if not features.value.requires_grad:
            raise law.violation(
                f"{layout} features carry no gradient", "Do not detach, and leave no_grad to the caller."
            )
        real = [value if features.lengths is None else value[features.mask] for value in features.values]
        factors = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in real]
        loss = sum((value.double() * one.to(value.device)).sum() for value, one in zip(real, factors, strict=True))
        tested.backbone.zero_grad()
        loss.backward()
        reached[layout] = {
            name for name, one in tested.backbone.named_parameters() if one.grad is not None and bool(one.grad.any())
        }
    names = [name for name, _ in tested.backbone.named_parameters()]
    in_any_layout = set().union(*reached.values())
    description = tested.description
    if missing := [name for name in names if name not in in_any_layout and not description.declares_unused(name)]:
        raise law.violation(f"no layout ({join_words(tested.layouts)}) sends a gradient to {join_words(missing, 3)}")
    if used := [name for name in names if name in in_any_layout and description.declares_unused(name)]:
        raise law.violation(
            f"{join_words(used, 3)} is declared unused, but the features depend on it", "Let a part own it instead."
        )
    for layout, in_layout in reached.items():
        _check_unused_by_layout(law, description, layout, names, in_layout)


@law_check("Compute it from the checkpoint's files, or return None when there is no checkpoint.")
def check_fingerprint_is_stable(law: Law, backbone: Backbone) -> None:
    """The fingerprint is a string or None, and identifies the checkpoint, whatever happens to the weights in memory."""
    fingerprint = backbone.fingerprint()
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        raise law.violation(f"it is {fingerprint!r}, not a string or None")
    if fingerprint != backbone.fingerprint():
        raise law.violation("two calls differ")
    if fingerprint != deepcopy(backbone).to(torch.float64).fingerprint():
        raise law.violation("it changed when the weights were cast to float64")
    changed = deepcopy(backbone)
    with torch.no_grad():
        next(iter(changed.parameters())).add_(1)
    if fingerprint != changed.fingerprint():
        raise law.violation("it changed when a weight in memory was changed, as training does")


@law_check("Let 'description' and the spec's 'describe' call one function.")
def check_spec_describes_the_backbone(law: Law, backbone: Backbone, spec: BackboneSpec, config: Config) -> None:
    """``describe`` returns for some settings the description of the backbone that ``build`` returns for them."""
    require_same_description(law, backbone, spec, config)


def _check_unused_by_layout(
    law: Law, description: BackboneDescription, layout: Layout, names: list[str], reached: set[str]
) -> None:
    """Compare the tensors that one layout depends on with those that its description calls unused."""
    if missing := [name for name in names if name not in reached and not description.leaves_out(layout, name)]:
        raise law.violation(
            f"{layout} features, unlike others, send no gradient to {join_words(missing, 3)}",
            "Add it to 'unused' in the description of these features, so that no strategy declares it trainable there.",
        )
    if used := [name for name in names if name in reached and description.leaves_out(layout, name)]:
        raise law.violation(
            f"{join_words(used, 3)} is declared unused by {layout} features, but they depend on it",
            "Remove it from 'unused' there.",
        )


def _check_cuts(law: Law, description: BackboneDescription) -> None:
    cuts, last = description.cuts, len(description.parts) - 1
    if 0 not in cuts:
        raise law.violation(f"its cuts {cuts} lack 0", "Cut 0, before the first part, always exists.")
    if list(cuts) != sorted(set(cuts)) or cuts[-1] > last:
        raise law.violation(f"its cuts {cuts} are not rising numbers from 0 to {last}, the index of the last part")


def _check_feature(law: Law, feature: FeatureDescription) -> None:
    sizes, layout = feature.feature_sizes, feature.layout
    if layout not in set(Layout):
        raise law.violation(f"{layout!r} is not a layout", f"Layouts: {join_words(Layout)}.")
    if not sizes or any(size < 1 for size in sizes) or (len(sizes) > 1 and layout != Layout.PYRAMID):
        raise law.violation(
            f"{layout} features have the feature sizes {sizes}", "Give one, and for a pyramid one per level."
        )
    if feature.ensemble_size is not None and (layout != Layout.VECTOR or feature.ensemble_size < 1):
        raise law.violation(
            f"{layout} features have {feature.ensemble_size} members", "Only vector features have members."
        )
    spatial = layout in (Layout.GRID, Layout.PYRAMID)
    if len(feature.strides) != (len(sizes) if spatial else 0) or list(feature.strides) != sorted(set(feature.strides)):
        raise law.violation(
            f"{layout} features have the strides {feature.strides}",
            "Give one per level for grid and pyramid, rising; none for other layouts.",
        )


def _is_owned(description: BackboneDescription, path: str) -> bool:
    return description.declares_unused(path) or any(part.covers(path) for part in description.parts)


def _role_problem(part: Part, path: str, role: object, layer: nn.Module | None) -> str | None:
    if role not in set(LayerRole):
        return f"there is no such role; roles are {join_words(LayerRole)}"
    if layer is None:
        return "the backbone has no such module"
    if role == LayerRole.MODEL:
        return "the model as a whole belongs to the first part"
    if not part.covers(path):
        return "the part does not own it"
    weight = getattr(layer, "weight", None)
    if isinstance(layer, nn.Embedding) or not isinstance(weight, nn.Parameter) or weight.dim() < 2:
        return f"it is of the type {type(layer).__name__}, not a linear or convolutional layer"
    return _convolution_problem(role, layer) if role in (LayerRole.CONVOLUTION, LayerRole.DEPTHWISE) else None


def _convolution_problem(role: object, layer: nn.Module) -> str | None:
    if not isinstance(layer, _CONVOLUTIONS):
        return f"it is of the type {type(layer).__name__}, not a convolution"
    if role == LayerRole.DEPTHWISE and layer.groups != layer.in_channels:
        return f"it has {layer.groups} groups for {layer.in_channels} channels, so it is not depthwise"
    return None

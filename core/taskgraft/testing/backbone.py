"""Laws of a backbone as a whole: its description, parts, roles, gradients and fingerprint."""

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone, ExportNotSupported, named_tensors
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription, FeatureDescription, LayerRole, Layout, Part
from taskgraft.contract.specs import BackboneSpec
from taskgraft.errors import join_words
from taskgraft.testing.check import Check, differing, law_of, same_bits, trial

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_description_is_valid(backbone: Backbone) -> None:
    """The description is made of what the contract allows, and is the same each time it is asked for."""
    law = law_of(backbone, "the description is sound", "Mend the description.")
    description = backbone.description
    if description != backbone.description:
        raise law.broken("two calls of 'description' differ", "Describe from settings alone.")
    if not description.features:
        raise law.broken("it emits nothing", "List what forward can compute in 'features'.")
    if not description.parts:
        raise law.broken("it has no parts", "List one part at least, owning everything.")
    for what, names in (
        ("layouts", [str(feature.layout) for feature in description.features]),
        ("parts", [part.name for part in description.parts]),
        ("inputs", [role.name for role in description.inputs]),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise law.broken(f"its {what} name {join_words(twice)} more than once")
    _check_cuts(law, description)
    if description.can_mask and description.feature(Layout.SEQUENCE) is None:
        raise law.broken("it hides elements, but emits no sequence", "Emit sequence as well, or say can_mask=False.")
    for feature in (*description.features, *(part.output for part in description.parts)):
        _check_feature(law, feature)


def check_parts_own_every_tensor_once(backbone: Backbone) -> None:
    """Every parameter and buffer belongs to exactly one part, or is declared unused; every dropout belongs to a part."""
    law = law_of(
        backbone,
        "parts own every tensor exactly once",
        "Name the module in the 'owns' of the first part that uses it, or in 'unused' when the features do not need it.",
    )
    description = backbone.description
    owned = named_tensors(backbone)
    paths = {*owned, *(name for name, _ in backbone.named_modules()), *(n for n, _ in backbone.named_parameters())}
    for owner, claims in (*((f"part '{part.name}'", part.owns) for part in description.parts), *_unused(description)):
        if empty := [path for path in claims if path not in paths]:
            raise law.broken(
                f"{owner} names {join_words(empty, 3)}, which the backbone does not have", "Mend the path."
            )
    for path in owned:
        owners = [f"part '{part.name}'" for part in description.parts if part.covers(path)]
        owners += ["'unused'"] if description.declares_unused(path) else []
        if len(owners) > 1:
            raise law.broken(f"{path} belongs to {' and to '.join(owners)}", "Leave it to the first part that uses it.")
    if homeless := [path for path in owned if not _owned(description, path)]:
        raise law.broken(f"no part owns {join_words(homeless, 3)}")
    for path, module in backbone.named_modules():
        if isinstance(module, DROPOUTS) and not _owned(description, path):
            raise law.broken(f"no part owns the dropout {path}, so it would not follow its part into eval mode")


def check_roles_name_layers(backbone: Backbone) -> None:
    """Each role names a linear or convolutional layer inside its part, but for the role of the whole model."""
    law = law_of(backbone, "roles name linear and convolutional layers of their part", "Mend the 'roles' of that part.")
    modules = dict(backbone.named_modules())
    for number, part in enumerate(backbone.description.parts):
        for path, role in part.roles.items():
            if role == LayerRole.MODEL and number == 0 and path in modules:
                continue
            if problem := _role_problem(part, path, role, modules.get(path)):
                raise law.broken(f"part '{part.name}' gives {path} the role '{role}', but {problem}")


def check_output_modules_return_part_outputs(backbone: Backbone, inputs: Columns) -> None:
    """A module that a part names as ``output_module`` lies in that part, and what it gives is as large as the part says."""
    law = law_of(
        backbone,
        "the module that stands for a whole part gives what leaves that part",
        "Mend the 'whole' of that part, or leave it out where no one module does.",
    )
    tried = trial(backbone, inputs)
    modules = dict(backbone.named_modules())
    named = {part.output_module: part for part in tried.description.parts if part.output_module is not None}
    given: dict[str, Any] = {}
    for path, part in named.items():
        if path not in modules or not part.covers(path):
            raise law.broken(f"part '{part.name}' names {path}, which is no module of that part")
    hooks = [
        modules[path].register_forward_hook(lambda _, __, output, path=path: given.__setitem__(path, output))
        for path in named
    ]
    for layout in tried.layouts:
        tried.features(layout)
    for hook in hooks:
        hook.remove()
    for path, part in named.items():
        found = given.get(path)
        found = found[0] if isinstance(found, tuple) else found
        axis = 1 if part.output.layout in (Layout.GRID, Layout.PYRAMID) else -1
        if not isinstance(found, Tensor) or found.dim() < 2 or found.shape[axis] != part.output.feature_size:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise law.broken(
                f"part '{part.name}' gives {part.output.feature_size} features, but the module {path} gives {shape}"
            )


def check_export_changes_no_tensor(backbone: Backbone) -> None:
    """What can be exported writes files into the folder that it is given, and changes no tensor."""
    law = law_of(
        backbone,
        "exporting writes files and changes nothing",
        "Write into the folder that is given; raise ExportNotSupported with the reason where the library has no such form.",
    )
    before = {name: tensor.detach().clone() for name, tensor in named_tensors(backbone).items()}
    with tempfile.TemporaryDirectory(prefix="taskgraft-") as folder:
        with law.runs("exporting"):
            try:
                backbone.export(Path(folder))
            except ExportNotSupported:
                return
        if not any(path.is_file() for path in Path(folder).rglob("*")):
            raise law.broken("no file was written")
    after = named_tensors(backbone)
    if changed := [name for name in before if name not in after or not same_bits(before[name], after[name])]:
        raise law.broken(f"exporting changed the tensor {changed[0]}")


def check_every_tensor_gets_a_gradient(backbone: Backbone, inputs: Columns) -> None:
    """In some layout every parameter receives a gradient, but for those declared unused, which receive none.

    A copy runs in eval mode, so that dropout hides nothing. The loss is the features times numbers drawn at random.
    """
    law = law_of(
        backbone,
        "every tensor that is not declared unused gets a gradient",
        "Use it in forward, declare it in 'unused', or (behind a zero gate) draw the gate away from zero for the test.",
    )
    tried = trial(deepcopy(backbone).requires_grad_(True), inputs)
    reached: dict[Layout, set[str]] = {}
    generator = torch.Generator().manual_seed(0)
    for layout in tried.layouts:
        features = tried.backbone(tried.batch, layout)
        if not features.value.requires_grad:
            raise law.broken(f"{layout} features carry no gradient", "Do not detach, and leave no_grad to the caller.")
        real = [value if features.lengths is None else value[features.mask] for value in features.values]
        drawn = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in real]
        loss = sum((value.double() * random.to(value.device)).sum() for value, random in zip(real, drawn, strict=True))
        tried.backbone.zero_grad()
        loss.backward()
        reached[layout] = {
            name for name, one in tried.backbone.named_parameters() if one.grad is not None and bool(one.grad.any())
        }
    names = [name for name, _ in tried.backbone.named_parameters()]
    every = set().union(*reached.values())
    if dry := [name for name in names if name not in every and not tried.description.declares_unused(name)]:
        raise law.broken(f"no layout ({join_words(tried.layouts)}) sends a gradient to {join_words(dry, 3)}")
    if wet := [name for name in names if name in every and tried.description.declares_unused(name)]:
        raise law.broken(
            f"{join_words(wet, 3)} is declared unused, but the features depend on it", "Let a part own it instead."
        )
    for layout, some in reached.items():
        _check_layout(law, tried.description, layout, names, some)


def _check_layout(
    law: Check, description: BackboneDescription, layout: Layout, names: list[str], reached: set[str]
) -> None:
    """Compare what one layout depends on with what its description leaves out."""
    if dry := [name for name in names if name not in reached and not description.leaves_out(layout, name)]:
        raise law.broken(
            f"{layout} features, unlike others, send no gradient to {join_words(dry, 3)}",
            "Name it in 'unused' of the description of these features, so that nothing there is declared to learn.",
        )
    if wet := [name for name in names if name in reached and description.leaves_out(layout, name)]:
        raise law.broken(
            f"{join_words(wet, 3)} is declared unused by {layout} features, but they depend on it", "Take it out there."
        )


def check_fingerprint_is_stable(backbone: Backbone) -> None:
    """The fingerprint is a text or None, and identifies the checkpoint, not what became of it in memory."""
    law = law_of(
        backbone,
        "the fingerprint identifies the checkpoint as stored",
        "Compute it from the checkpoint's files, or answer None when there is no checkpoint.",
    )
    mark = backbone.fingerprint()
    if mark is not None and (not isinstance(mark, str) or not mark):
        raise law.broken(f"it is {mark!r}, not a text or None")
    if mark != backbone.fingerprint():
        raise law.broken("two calls differ")
    if mark != deepcopy(backbone).to(torch.float64).fingerprint():
        raise law.broken("it changed when the weights were cast to float64")
    moved = deepcopy(backbone)
    with torch.no_grad():
        next(iter(moved.parameters())).add_(1)
    if mark != moved.fingerprint():
        raise law.broken("it changed when a weight in memory was changed, as training does")


def check_spec_describes_the_backbone(backbone: Backbone, spec: BackboneSpec, config: Any) -> None:
    """What ``describe`` answers for the settings equals the description of what ``build`` makes of them."""
    law = law_of(
        backbone,
        "describe says what build makes",
        "Let the backbone's 'description' and the spec's 'describe' call one function.",
    )
    if found := differing(spec.describe(config), backbone.description):
        place, said, made = found
        raise law.broken(f"'{place}' is {said!r:.200} as described by '{spec.name}', but {made!r:.200} as built")


def _check_cuts(law: Check, description: BackboneDescription) -> None:
    cuts, last = description.cuts, len(description.parts) - 1
    if 0 not in cuts:
        raise law.broken(f"its cuts {cuts} lack 0", "Cut 0, before the first part, is always one.")
    if list(cuts) != sorted(set(cuts)) or cuts[-1] > last:
        raise law.broken(f"its cuts {cuts} are not rising numbers from 0 to {last}, the number of the last part")


def _check_feature(law: Check, feature: FeatureDescription) -> None:
    sizes, layout = feature.feature_sizes, feature.layout
    if layout not in set(Layout):
        raise law.broken(f"{layout!r} is no layout", f"Layouts: {join_words(Layout)}.")
    if not sizes or any(size < 1 for size in sizes) or (len(sizes) > 1 and layout != Layout.PYRAMID):
        raise law.broken(
            f"{layout} features have the feature sizes {sizes}", "Give one, and for a pyramid one per level."
        )
    if feature.ensemble_size is not None and (layout != Layout.VECTOR or feature.ensemble_size < 1):
        raise law.broken(
            f"{layout} features have {feature.ensemble_size} members", "Only vector features have members."
        )
    spatial = layout in (Layout.GRID, Layout.PYRAMID)
    if len(feature.strides) != (len(sizes) if spatial else 0) or list(feature.strides) != sorted(set(feature.strides)):
        raise law.broken(
            f"{layout} features have the strides {feature.strides}",
            "Give one per level for grid and pyramid, rising; none for other layouts.",
        )


def _unused(description: BackboneDescription) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("'unused'", description.unused),)


def _owned(description: BackboneDescription, path: str) -> bool:
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
    if not isinstance(layer, CONVOLUTIONS):
        return f"it is of the type {type(layer).__name__}, not a convolution"
    if role == LayerRole.DEPTHWISE and layer.groups != layer.in_channels:
        return f"it has {layer.groups} groups for {layer.in_channels} channels, so it is not depthwise"
    return None

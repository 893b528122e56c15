"""Each check of the conformance kit for backbones catches a fault planted for it, and reports it in the author's terms."""

import random
import re
from dataclasses import replace

import pytest
import torch
from backbones import PAIRS, PICTURES, WORDS, Pairs, Pictures, PicturesProcessor, Words, WordsProcessor
from kit_laws import Planted, message
from torch import nn

from taskgraft import testing as kit
from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import FeatureDescription, LayerRole, Layout, vector
from taskgraft.contract.features import ELEMENT_AXIS, Features, GridGeometry
from taskgraft.contract.processor import ProcessedBatch
from taskgraft.testing import ContractViolation, InsufficientExamples


def described(kind, **changes):
    """A backbone whose description is changed; ``parts`` may be a function of the parts."""

    class Described(kind):
        @property
        def description(self):
            right = super().description
            made = {
                name: change(getattr(right, name)) if callable(change) else change for name, change in changes.items()
            }
            return replace(right, **made)

    return Described()


def with_part(number, **changes):
    def change(parts):
        made = list(parts)
        made[number] = replace(made[number], **changes)
        return tuple(made)

    return change


class ExportsNothing(Words):
    def export(self, folder):
        pass


class ExportsHalves(Words):
    def export(self, folder):
        self.norm.weight.data.div_(2)
        super().export(folder)


class RandomDescription(Words):
    @property
    def description(self):
        return replace(super().description, licence=str(random.random()))


class Trains(Words):
    """Stays in training mode."""

    def eval(self):
        super().eval()
        self.blocks[0].dropout.train()
        return self


class Noisy(Words):
    def embedded(self, batch):
        hidden = super().embedded(batch)
        return hidden + 0.1 * torch.rand_like(hidden)


class Unmasked(Words):
    """The mean is taken over padding too."""

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if layout == Layout.SEQUENCE:
            return features
        hidden = super().forward_from_cut(cut, state, Layout.SEQUENCE).value
        return Features(layout, (hidden.mean(1),))


class BatchStatistics(Pictures):
    """Subtracts the mean of the batch."""

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value - value.mean(0) for value in features.values))


class NoLoneRow(Pictures):
    def forward_from_cut(self, cut, state, layout):
        if len(state) == 1:
            raise RuntimeError("expected more than 1 value per channel")
        return super().forward_from_cut(cut, state, layout)


class WrongSize(Words):
    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value[..., :12] for value in features.values), features.lengths)


class ExtraElements(Words):
    """Counts a start element, as its tokeniser does, without a map back to the user's words."""

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if layout != Layout.SEQUENCE:
            return features
        hidden = torch.cat([features.value[:, :1], features.value], 1)
        return Features(layout, (hidden,), features.lengths + 1)


class NotFinite(Words):
    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if layout == Layout.VECTOR:
            features.value[2, 0] = float("nan")
        return features


class Remembers(Words):
    """Adds the mean of the batch before."""

    before = 0.0

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        made = Features(layout, tuple(value + self.before for value in features.values), features.lengths)
        self.before = float(features.value.detach().mean())
        return made


class CountsPasses(Words):
    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward_from_cut(self, cut, state, layout):
        self.passes += 1
        return super().forward_from_cut(cut, state, layout)


class HiddenStatistics(Words):
    """A running mean that is no buffer, moved in training mode."""

    running = 0.0

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if self.training:
            self.running += float(features.value.detach().mean())
        return Features(layout, tuple(value - self.running for value in features.values), features.lengths)


class OnlyFloat32(Words):
    def embedded(self, batch):
        return super().embedded(batch).float()


class UpcastsFeatures(Words):
    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value.float() for value in features.values), features.lengths)


class NoDevice(Words):
    def embedded(self, batch):
        return super().embedded(batch) + torch.arange(batch["words"].shape[1])[:, None] * 0.01


class Detached(Words):
    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return Features(layout, tuple(value.detach() for value in features.values), features.lengths)


class WithPooler(Words):
    """A layer that nothing uses."""

    def __init__(self):
        super().__init__()
        self.pooler = nn.Linear(4, 4)

    @property
    def description(self):
        right = super().description
        last = replace(right.parts[-1], owns=(*right.parts[-1].owns, "pooler"))
        return replace(right, parts=(*right.parts[:-1], last))


class WithOwnDropout(Words):
    def __init__(self):
        super().__init__()
        self.last_dropout = nn.Dropout(0.5)


class FingerprintOfMemory(Words):
    def fingerprint(self):
        return str(float(sum(parameter.detach().double().sum() for parameter in self.parameters())))


class RandomFingerprint(Words):
    def fingerprint(self):
        return str(random.random())


class NumberAsFingerprint(Words):
    def fingerprint(self):
        return 7


# --- cuts ---


class ForgetsAPart(Words):
    """Resumes one block too late."""

    def forward_from_cut(self, cut, state, layout):
        return super().forward_from_cut(cut + 1 if cut == 1 else cut, state, layout)


class KeepsTheBatch(Words):
    """Cheats: keeps the batch on the module, and resumes from it."""

    def forward_to_cut(self, cut, batch, layout):
        self.kept = batch
        return super().forward_to_cut(cut, batch, layout)

    def forward_from_cut(self, cut, state, layout):
        return super().forward_from_cut(0, self.kept if cut else state, layout)


class KeepsTheLengths(Words):
    """Keeps on the module what belongs into the state, as if the next batch had the same lengths."""

    shift = None

    def forward_to_cut(self, cut, batch, layout):
        self.shift = batch.lengths[ELEMENT_AXIS].double().mean()
        return super().forward_to_cut(cut, batch, layout)

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if cut == 0 or self.shift is None:
            return features
        return Features(layout, tuple(value + self.shift.to(value) for value in features.values), features.lengths)


class CarriesTheInput(Words):
    """Cheats: carries the raw input to every cut, and starts again from it."""

    def forward_to_cut(self, cut, batch, layout):
        state = super().forward_to_cut(cut, batch, layout)
        if cut == 0:
            return state
        tensors, axes = {**state.tensors, "ids": batch["words"]}, {**state.axes, "ids": (ELEMENT_AXIS,)}
        return Batch(tensors, axes, state.lengths)

    def forward_from_cut(self, cut, state, layout):
        if cut == 0:
            return super().forward_from_cut(cut, state, layout)
        return super().forward_from_cut(
            0, Batch({"words": state["ids"]}, {"words": (ELEMENT_AXIS,)}, state.lengths), layout
        )


class NarrowGrid(Pictures):
    """Declares unused what its grid depends on."""

    @property
    def description(self):
        whole = super().description
        features = (replace(one, unused=("last",) if one.layout == Layout.GRID else ()) for one in whole.features)
        return replace(whole, features=tuple(features))


class SparseVector(Pictures):
    """Emits a vector that does not depend on the last part, and does not declare it."""

    def forward_from_cut(self, cut, state, layout):
        if layout != Layout.VECTOR:
            return super().forward_from_cut(cut, state, layout)
        fine = super().forward_from_cut(cut, state, Layout.PYRAMID).values[0]
        return Features(layout, (torch.cat([fine, fine], 1).mean((2, 3)),))


class SizedProcessor(PicturesProcessor):
    """Adds the geometry of each image, whose raw size differs by row."""

    def prepare(self, inputs):
        made = super().prepare(inputs)
        rows = torch.arange(len(made.batch))
        transform = torch.eye(2, 3).repeat(len(rows), 1, 1) * (1 + rows[:, None, None]) / len(rows)
        sizes = torch.stack([rows + 8, rows + 9], 1)
        return replace(made, batch=Batch({**made.batch.tensors, "transform": transform, "sizes": sizes}))


class Sized(Pictures):
    """Its grids have a geometry, which states hold."""

    @property
    def processor(self):
        return SizedProcessor(self.config.side)

    def forward_to_cut(self, cut, batch, layout):
        state = super().forward_to_cut(cut, batch, layout)
        if cut == 0 or layout == Layout.VECTOR:
            return state
        return Batch({**state.tensors, "transform": batch["transform"], "sizes": batch["sizes"]})

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if layout == Layout.VECTOR:
            return features
        return replace(features, geometry=GridGeometry(state["transform"], state["sizes"]))


class ForgetsTheGeometry(Sized):
    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        return replace(features, geometry=None) if cut else features


class UnnamedAxes(Pairs):
    def forward_to_cut(self, cut, batch, layout):
        state = super().forward_to_cut(cut, batch, layout)
        return state if cut == 0 else Batch(state.tensors, {"pair": (ELEMENT_AXIS,)}, state.lengths)


class RunsTooFar(Words):
    """Applies the last norm before the cut."""

    def forward_to_cut(self, cut, batch, layout):
        state = super().forward_to_cut(cut, batch, layout)
        return state if cut == 0 else Batch({"hidden": self.norm(state["hidden"])}, state.axes, state.lengths)


class LengthInTheState(Words):
    """Stores what depends on the longest example of the batch."""

    def forward_to_cut(self, cut, batch, layout):
        state = super().forward_to_cut(cut, batch, layout)
        if cut == 0:
            return state
        longest = state["hidden"].new_full((len(state), 1), state["hidden"].shape[1])
        return Batch({**state.tensors, "longest": longest}, state.axes, state.lengths)

    def forward_from_cut(self, cut, state, layout):
        features = super().forward_from_cut(cut, state, layout)
        if cut == 0:
            return features
        shift = 0.01 * (state["longest"].max() - state["hidden"].shape[1])
        return Features(layout, tuple(value + shift for value in features.values), features.lengths)


# --- processors ---


def processed(kind, processor):
    class Processed(kind):
        @property
        def processor(self):
            return processor

    return Processed()


class DropsWords(WordsProcessor):
    def prepare(self, inputs):
        kept = [
            " ".join(word for word in text.split() if random.random() < 0.5) or "nothing" for text in inputs["text"]
        ]
        return super().prepare({"text": kept})


class HoldsAFunction(WordsProcessor):
    def __init__(self):
        super().__init__()
        self.split = lambda text: text.split()


class CentresImages(PicturesProcessor):
    """Subtracts the mean of all images at hand."""

    def prepare(self, inputs):
        made = super().prepare(inputs)
        return ProcessedBatch(Batch({"image": made.batch["image"] - made.batch["image"].mean()}), made.invalid)


class PadsWithOne(WordsProcessor):
    def prepare(self, inputs):
        made = super().prepare(inputs)
        words = made.batch["words"]
        return replace(made, batch=Batch({"words": words.clamp(min=1)}, made.batch.axes, made.batch.lengths))


class Raises(WordsProcessor):
    def prepare(self, inputs):
        return super().prepare({"text": [text.strip() for text in inputs["text"]]})


class AcceptsEverything(WordsProcessor):
    def prepare(self, inputs):
        return replace(super().prepare({"text": [text or "nothing" for text in inputs["text"]]}), invalid={})


class DropsInvalidRows(WordsProcessor):
    def prepare(self, inputs):
        made = super().prepare(inputs)
        good = [row for row in range(len(made.batch)) if row not in made.invalid]
        return replace(made, batch=made.batch.select(good))


class SettingsWithASet(WordsProcessor):
    def settings(self):
        return {"stop words": {"the", "a"}}


class CountsRows(WordsProcessor):
    rows = 0

    def prepare(self, inputs):
        CountsRows.rows += len(inputs["text"])
        return super().prepare(inputs)

    def settings(self):
        return {"rows": self.rows}


GRID = FeatureDescription(Layout.GRID, (16,), strides=(4,))
PLANTED = (
    Planted(
        kit.check_description_is_valid,
        RandomDescription,
        "two calls of 'description' differ",
        advice="Compute the description from the settings alone.",
    ),
    Planted(
        kit.check_description_is_valid,
        lambda: described(Words, cuts=(1, 2)),
        "its cuts (1, 2) lack 0",
        advice="Cut 0, before the first part, always exists.",
    ),
    Planted(
        kit.check_description_is_valid,
        lambda: described(Words, cuts=(0, 3)),
        "its cuts (0, 3) are not rising numbers from 0 to 2, the index of the last part",
    ),
    Planted(
        kit.check_description_is_valid,
        lambda: described(Words, features=(vector(16), vector(16))),
        "its layouts name vector more than once",
    ),
    Planted(
        kit.check_description_is_valid,
        lambda: described(Words, parts=with_part(1, name="embedding")),
        "its parts name embedding more than once",
    ),
    Planted(
        kit.check_description_is_valid,
        lambda: described(Pictures, features=(FeatureDescription(Layout.GRID, (16,)),)),
        "grid features have the strides ()",
        advice="Give one per level for grid and pyramid, rising; none for other layouts.",
    ),
    Planted(
        kit.check_parts_own_every_tensor_once,
        lambda: described(Words, parts=with_part(0, owns=("embedding", "embedding_norm"))),
        "no part owns frequencies",
    ),
    Planted(
        kit.check_parts_own_every_tensor_once,
        lambda: described(Words, parts=with_part(0, owns=("embedding", "embedding_norm", "frequencies", "norm"))),
        "norm.weight belongs to part 'embedding' and to part 'block-1'",
        advice="Leave it to the first part that uses it.",
    ),
    Planted(
        kit.check_parts_own_every_tensor_once,
        lambda: described(Words, parts=with_part(2, owns=("blocks.1", "norm", "pooler"))),
        "part 'block-1' names pooler, which the backbone does not have",
        advice="Fix the path.",
    ),
    Planted(
        kit.check_parts_own_every_tensor_once,
        lambda: described(Words, unused=("norm.bias",)),
        "norm.bias belongs to part 'block-1' and to 'unused'",
        advice="Leave it to the first part that uses it.",
    ),
    Planted(
        kit.check_parts_own_every_tensor_once,
        WithOwnDropout,
        "no part owns the dropout last_dropout, so it would not follow its part into eval mode",
    ),
    Planted(kit.check_parts_own_every_tensor_once, CountsPasses, "no part owns passes"),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Words, parts=with_part(1, roles={"blocks.0.attention_norm": LayerRole.QUERY})),
        "part 'block-0' gives blocks.0.attention_norm the role 'query', but it is of the type LayerNorm, not a "
        "linear or convolutional layer",
    ),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Words, parts=with_part(0, roles={"embedding": LayerRole.FEED_FORWARD_IN})),
        "part 'embedding' gives embedding the role 'feed-forward-in', but it is of the type Embedding, not a linear "
        "or convolutional layer",
    ),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Words, parts=with_part(1, roles={"blocks.1.query": LayerRole.QUERY})),
        "part 'block-0' gives blocks.1.query the role 'query', but the part does not own it",
    ),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Words, parts=with_part(1, roles={"blocks.0.q": LayerRole.QUERY})),
        "part 'block-0' gives blocks.0.q the role 'query', but the backbone has no such module",
    ),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Words, parts=with_part(1, roles={"blocks.0.query": "question"})),
        "part 'block-0' gives blocks.0.query the role 'question', but there is no such role; roles are query, key, "
        "value, fused, attention-output, feed-forward-in, feed-forward-out, convolution, depthwise, model",
    ),
    Planted(
        kit.check_roles_name_layers,
        lambda: described(Pictures, parts=with_part(2, roles={"last.convolution": LayerRole.DEPTHWISE})),
        "part 'last' gives last.convolution the role 'depthwise', but it has 1 groups for 8 channels, so it is not "
        "depthwise",
        given=PICTURES,
    ),
    Planted(
        kit.check_output_modules_return_part_outputs,
        lambda: described(Pictures, parts=with_part(2, output_module="middle")),
        "part 'last' names middle, which is not a module of that part",
        given=PICTURES,
    ),
    Planted(
        kit.check_output_modules_return_part_outputs,
        lambda: described(Words, parts=with_part(1, output_module="blocks.0.feed_forward_in")),
        "part 'block-0' has the feature size 16, but the module blocks.0.feed_forward_in returns (6, 7, 32)",
    ),
    Planted(kit.check_export_changes_no_tensor, ExportsNothing, "no file was written"),
    Planted(kit.check_export_changes_no_tensor, ExportsHalves, "export changed the tensor norm.weight"),
    Planted(
        kit.check_every_tensor_gets_a_gradient,
        WithPooler,
        "no layout (vector, sequence) sends a gradient to pooler.weight, pooler.bias",
    ),
    Planted(
        kit.check_every_tensor_gets_a_gradient,
        Detached,
        "vector features carry no gradient",
        advice="Do not detach, and leave no_grad to the caller.",
    ),
    Planted(
        kit.check_every_tensor_gets_a_gradient,
        lambda: described(Words, unused=("norm.bias",)),
        "norm.bias is declared unused, but the features depend on it",
        advice="Let a part own it instead.",
    ),
    Planted(
        kit.check_fingerprint_is_stable,
        FingerprintOfMemory,
        "it changed when a weight in memory was changed, as training does",
    ),
    Planted(kit.check_fingerprint_is_stable, RandomFingerprint, "two calls differ"),
    Planted(kit.check_fingerprint_is_stable, NumberAsFingerprint, "it is 7, not a string or None"),
    Planted(
        kit.check_every_tensor_gets_a_gradient,
        NarrowGrid,
        "last.convolution.weight, last.norm.weight, last.norm.bias is declared unused by grid features, but they "
        "depend on it",
        advice="Remove it from 'unused' there.",
        given=PICTURES,
    ),
    Planted(
        kit.check_every_tensor_gets_a_gradient,
        SparseVector,
        "vector features, unlike others, send no gradient to last.convolution.weight, last.norm.weight, last.norm.bias",
        advice="Add it to 'unused' in the description of these features, so that no strategy declares it trainable "
        "there.",
        given=PICTURES,
    ),
    Planted(
        kit.check_features_match_the_description,
        WrongSize,
        "forward for vector: the feature size is (12,), described as (16,)",
    ),
    Planted(
        kit.check_features_match_the_description,
        ExtraElements,
        "sequence features of row 0 have 8 elements, but its input has 7",
        advice="Emit one vector per element of the user's input; when some were cut off, report it in 'notes'.",
    ),
    Planted(
        kit.check_features_match_the_description, NotFinite, "vector features of row 2 hold values that are not finite"
    ),
    Planted(
        kit.check_features_match_the_description,
        lambda: described(Pictures, features=(GRID, FeatureDescription(Layout.PYRAMID, (8, 8), strides=(2, 4)))),
        "forward for pyramid: the feature size is (8, 16), described as (8, 8)",
        given=PICTURES,
    ),
    Planted(kit.check_eval_is_deterministic, Noisy, "two passes give vector features that differ by #"),
    Planted(
        kit.check_eval_is_deterministic,
        Trains,
        "the module 'blocks.0.dropout' stays in training mode after eval()",
        advice="Do not override train().",
    ),
    Planted(
        kit.check_features_do_not_depend_on_the_batch,
        Unmasked,
        "vector features of row 1 alone and in a batch differ by #",
    ),
    Planted(
        kit.check_features_do_not_depend_on_the_batch,
        BatchStatistics,
        "vector features of row 0 alone and in a batch differ by #",
        given=PICTURES,
    ),
    Planted(
        kit.check_features_do_not_depend_on_the_batch, NoLoneRow, "a batch of one (row 0) raises …", given=PICTURES
    ),
    Planted(
        kit.check_no_state_is_kept_between_batches,
        Remembers,
        "vector features of a batch differ after another batch, by #",
    ),
    Planted(kit.check_no_state_is_kept_between_batches, CountsPasses, "a pass in eval mode changes the tensor passes"),
    Planted(
        kit.check_training_changes_only_parameters_and_buffers,
        HiddenStatistics,
        "vector features differ by # after a pass in training mode",
    ),
    Planted(kit.check_dtypes_work, OnlyFloat32, "computing vector features with weights in torch.float64 raises …"),
    Planted(kit.check_dtypes_work, UpcastsFeatures, "with weights in torch.float64, vector features are torch.float32"),
    Planted(
        kit.check_devices_work,
        NoDevice,
        "forward for vector features, with tensors that are created without a device or on a named one elsewhere, "
        "raises …",
    ),
    Planted(kit.check_resuming_equals_a_full_pass, ForgetsAPart, "vector features resumed from cut 1 differ by #"),
    Planted(kit.check_resuming_equals_a_full_pass, KeepsTheBatch, "resuming vector features from cut 1 raises …"),
    Planted(
        kit.check_resuming_equals_a_full_pass,
        LengthInTheState,
        "vector features of row 5, resumed in another batch from cut 1, differ by #",
    ),
    Planted(
        kit.check_resuming_equals_a_full_pass,
        ForgetsTheGeometry,
        "grid features resumed from cut 1 differ by inf",
        given=PICTURES,
    ),
    Planted(
        kit.check_states_name_their_padded_axes,
        UnnamedAxes,
        "at cut 1, 'pair' of row 0 has the shape (1, 3, 10, 8) in a batch and (1, 3, 3, 8) alone",
        advice="Name its padded axes in the 'axes' of the state, each with its lengths.",
        given=PAIRS,
    ),
    Planted(
        kit.check_states_hold_no_raw_input, CarriesTheInput, "the state at cut 1 holds the raw input 'words' as 'ids'"
    ),
    Planted(
        kit.check_states_do_not_depend_on_later_parts,
        RunsTooFar,
        "'hidden' at cut 1 changes with the weights of part 'block-1', after it",
    ),
    Planted(
        kit.check_batches_can_be_interleaved,
        KeepsTheLengths,
        "vector features from cut 1 differ when another batch ran in between",
    ),
    Planted(
        kit.check_batches_can_be_interleaved,
        KeepsTheBatch,
        "vector features from cut 1 differ when another batch ran in between",
    ),
    Planted(
        kit.check_preprocessing_is_deterministic,
        lambda: processed(Words, DropsWords()),
        "preprocessing the same examples twice gives another tensor 'words'",
    ),
    Planted(
        kit.check_preprocessing_is_deterministic,
        lambda: processed(Words, HoldsAFunction()),
        "sending the processor to another process (pickle) raises …",
    ),
    Planted(
        kit.check_rows_are_preprocessed_independently,
        lambda: processed(Pictures, CentresImages(8)),
        "row 0 preprocessed alone has another tensor 'image'",
        given=PICTURES,
    ),
    Planted(
        kit.check_rows_are_preprocessed_independently,
        lambda: processed(Words, PadsWithOne()),
        "stripped and padded again with 0, the examples have another tensor 'words'",
    ),
    Planted(
        kit.check_invalid_rows_are_reported,
        lambda: processed(Words, Raises()),
        "preprocessing a row of empty cells (None) raises …",
    ),
    Planted(
        kit.check_invalid_rows_are_reported,
        lambda: processed(Words, AcceptsEverything()),
        "a row of empty cells is not invalid",
    ),
    Planted(
        kit.check_invalid_rows_are_reported,
        lambda: processed(Words, DropsInvalidRows()),
        "with a row of empty cells, the batch has another number of rows than the examples",
    ),
    Planted(
        kit.check_processor_settings_are_json,
        lambda: processed(Words, SettingsWithASet()),
        "they cannot be written as JSON (Object of type set is not JSON serializable)",
    ),
    Planted(
        kit.check_processor_settings_are_json,
        lambda: processed(Words, CountsRows()),
        "they changed when examples were preprocessed",
    ),
)


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_fault_is_caught(planted):
    planted.assert_caught((planted.given or WORDS).inputs, stable=stable)


def stable(message):
    """Leave out distances, and what torch and Python say themselves."""
    return re.sub(r"raises \w+: .*", "raises ….", re.sub(r"\d\.\de[+-]\d\d", "#", message))


def test_a_spec_that_describes_something_else_is_caught():
    backbone = Words()
    other = replace(backbone.description, licence="MIT")
    spec = replace(WORDS.spec, describe=lambda config: other)
    with pytest.raises(ContractViolation) as caught:
        kit.check_spec_describes_the_backbone(backbone, spec, WORDS.config)
    found = "'licence' is 'MIT' as described by 'small-words', but 'Apache-2.0' as built"
    assert str(caught.value) == message(kit.check_spec_describes_the_backbone, "Words", found)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["one", "two words"], "there are 2 rows; give three or more"),
        (["one", "", "two words"], "its processor calls row 1 invalid (the text is empty); give valid rows"),
        (["a b", "c d", "e f"], "all have 2 positions along 'element'; give different lengths"),
    ],
)
def test_examples_that_prove_nothing_are_rejected(texts, problem):
    with pytest.raises(InsufficientExamples) as caught:
        kit.check_features_do_not_depend_on_the_batch(Words(), {"text": texts})
    assert str(caught.value) == f"The examples given for Words prove nothing: {problem}."


@pytest.mark.parametrize(
    "check",
    [
        kit.check_resuming_equals_a_full_pass,
        kit.check_states_hold_no_raw_input,
        kit.check_states_name_their_padded_axes,
        kit.check_features_match_the_description,
    ],
)
def test_a_state_may_hold_the_geometry_of_its_features(check):
    check(Sized(), PICTURES.inputs)


class WholeVectors(Words):
    """Computes vector features in a full pass only."""

    def forward_to_cut(self, cut, batch, layout):
        assert cut == 0 or layout != Layout.VECTOR
        return super().forward_to_cut(cut, batch, layout)


CHECKS_OF_CUTS = [
    kit.check_resuming_equals_a_full_pass,
    kit.check_states_name_their_padded_axes,
    kit.check_states_hold_no_raw_input,
    kit.check_states_do_not_depend_on_later_parts,
    kit.check_batches_can_be_interleaved,
]


@pytest.mark.parametrize("check", CHECKS_OF_CUTS)
def test_features_that_are_not_cached_need_no_cut_but_0(check):
    check(
        described(WholeVectors, features=lambda features: tuple(replace(one, cacheable=False) for one in features)),
        WORDS.inputs,
    )


@pytest.mark.parametrize("check", CHECKS_OF_CUTS)
def test_for_cached_features_every_cut_is_tried(check):
    with pytest.raises(AssertionError):
        check(WholeVectors(), WORDS.inputs)

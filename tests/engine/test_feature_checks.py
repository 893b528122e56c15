import warnings

import pytest
import torch
from backbones import SMALL
from block_models import Block, HandingBlock, Leaky, Passing, TupleBlock, some_words
from small_tasks import sentences, trained, training_stage

from taskgraft.contract.descriptions import Layout
from taskgraft.contract.features import Features
from taskgraft.engine.feature_checks import FeatureChecks, UnreliableBackbone, check_features, max_relative_difference

BATCH = some_words()


def messages(caught: pytest.WarningsRecorder) -> list[str]:
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("small", SMALL, ids=str)
def test_a_backbone_that_keeps_the_laws_has_all_its_cuts(small):
    backbone = small.build()
    batch = backbone.processor.prepare(small.inputs).batch
    for feature in backbone.description.features:
        found = check_features(backbone, batch, feature.layout, backbone.description.cuts)
        assert found == FeatureChecks(backbone.description.cuts, padding_invariant=True)


@pytest.mark.parametrize("kind", [Block, TupleBlock])
def test_cuts_made_by_skipping_blocks_hold_for_plain_blocks(kind):
    assert check_features(Passing(kind), BATCH, Layout.VECTOR, (1, 2)).cuts == (1, 2)


def test_a_model_whose_blocks_hand_on_a_second_tensor_is_caught():
    with pytest.warns(UnreliableBackbone) as caught:
        found = check_features(Passing(HandingBlock), BATCH, Layout.VECTOR, (0, 2))
    assert found == FeatureChecks((0,), padding_invariant=True)
    assert messages(caught) == [
        "Passing: features resumed from cut 2 differ from a whole pass, so nothing will be cached there."
    ]


def test_a_model_that_would_be_silently_wrong_is_trained_without_caching():
    stage = training_stage("block-2", cache_features=True, epochs=1)
    with pytest.warns(UnreliableBackbone, match="features resumed from cut 2 differ from a whole pass"):
        wrong = trained(Passing(HandingBlock), stage)
    whole = trained(Passing(HandingBlock), training_stage("block-2", epochs=1))
    for name, tensor in wrong.fitted.task.state_dict().items():
        assert torch.equal(tensor, whole.fitted.task.state_dict()[name]), name


def test_a_backbone_that_depends_on_padding_is_noticed():
    with pytest.warns(UnreliableBackbone) as caught:
        found = check_features(Leaky(), BATCH, Layout.VECTOR, (0, 1))
    assert found == FeatureChecks((0, 1), padding_invariant=False)
    assert messages(caught) == [
        "Leaky: its features depend on the padding, so each batch will hold examples of one length only."
    ]


def test_a_layout_that_does_not_depend_on_padding_is_not_blamed():
    assert check_features(Leaky(), BATCH, Layout.SEQUENCE, ()).padding_invariant


def test_a_backbone_that_depends_on_padding_gets_batches_of_one_length():
    backbone, mixed = Leaky(), []
    with pytest.warns(UnreliableBackbone):
        model = trained(backbone, training_stage("block-2", epochs=1), rows=sentences(40))
    backbone.register_forward_hook(
        lambda module, inputs, _: mixed.append(len(set(inputs[0].lengths["element"].tolist())))
    )
    model.predict(sentences(40)["text"])
    assert mixed
    assert set(mixed) == {1}


def test_predictions_over_such_a_backbone_do_not_depend_on_the_batch():
    with pytest.warns(UnreliableBackbone):
        model = trained(Leaky(), training_stage("block-2"), rows=sentences(40))
    texts = sentences(40)["text"]
    together, alone = model.predict_proba(texts), [model.predict_proba([text])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_examples_of_one_length_cannot_show_a_dependence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_features(Leaky(), some_words(("a b", "c d")), Layout.VECTOR, ()).padding_invariant


def test_the_difference_is_relative_to_large_values():
    one, other = (Features(Layout.VECTOR, (torch.tensor([[1000.0, value]]),)) for value in (1.0, 2.0))
    assert max_relative_difference(one, other) == pytest.approx(1e-3)


def test_the_difference_of_small_values_is_absolute():
    one, other = (Features(Layout.VECTOR, (torch.tensor([[value]]),)) for value in (1e-3, 2e-3))
    assert max_relative_difference(one, other) == pytest.approx(1e-3)


def test_padding_makes_no_difference():
    lengths = torch.tensor([1, 2])
    values = torch.ones(2, 2, 3)
    other = values.clone()
    other[0, 1] = 1e9
    assert max_relative_difference(*(Features(Layout.SEQUENCE, (value,), lengths) for value in (values, other))) == 0


def test_what_is_not_a_number_differs_from_everything():
    one, other = (Features(Layout.VECTOR, (torch.tensor([[value]]),)) for value in (1.0, float("nan")))
    assert max_relative_difference(one, other) == float("inf")

"""Masking of tokens and words, and continued pretraining of a checkpoint on texts without labels."""

import pytest
import tiny
import torch

import taskgraft as tg
from taskgraft.plugin import CATEGORY, TaskgraftError
from taskgraft_text.backbone import TextBackbone
from taskgraft_text.settings import TextConfig

TEXTS = {"text": ["the card is lost", "my money is late", "where is my parcel", "help please"] * 4}
MASK = tiny.VOCABULARY.index("<mask>")


@pytest.fixture
def processor(saved):
    return TextBackbone(TextConfig(checkpoint=str(saved("bert")))).processor


def tokens(batch):
    lengths = batch.lengths["token"].tolist()
    return [
        [tiny.VOCABULARY[one] for one in row[:length]]
        for row, length in zip(batch["ids"].tolist(), lengths, strict=True)
    ]


def test_masked_tokens_become_the_mask_token(processor):
    batch = processor.prepare({"text": ["my lost card", "help"]}).batch
    masked = torch.tensor([[False, True, False, True, False], [False, True, False, False, False]])

    assert tokens(processor.mask_elements(batch, masked, [0, 1])) == [
        ["<s>", "<mask>", "lost", "<mask>", "</s>"],
        ["<s>", "<mask>", "</s>"],
    ]


def test_a_masked_word_of_several_tokens_becomes_one_mask_token(processor):
    batch = processor.prepare({"text": [["my", "zoo", "card"], ["zoo"]]}).batch
    masked = torch.tensor([[False, True, False], [False, False, False]])

    result = processor.mask_elements(batch, masked, [0, 1])

    assert tokens(result) == [["<s>", "my", "<mask>", "card", "</s>"], ["<s>", "z", "##o", "##o", "</s>"]]
    assert result["first"].tolist() == [[1, 2, 3], [1, 0, 0]]


def test_special_tokens_have_no_element_value(processor):
    values = processor.element_values(processor.prepare({"text": ["my card", "help"]}).batch)

    (my, card), help_ = (tiny.VOCABULARY.index(word) for word in ("my", "card")), tiny.VOCABULARY.index("help")
    assert values[CATEGORY].tolist() == [[-1, my, card, -1], [-1, help_, -1, -1]]


def test_the_element_value_of_a_word_is_its_first_token(processor):
    values = processor.element_values(processor.prepare({"text": [["my", "zoo"], ["card"]]}).batch)

    my, z, card = (tiny.VOCABULARY.index(token) for token in ("my", "z", "card"))
    assert values[CATEGORY].tolist() == [[my, z], [card, -1]]


def test_pretraining_continues_from_a_checkpoint_and_its_artifact_is_a_base(saved, tmp_path):
    strategy = {"name": "full", "learning_rate": 1e-3, "head_learning_rate": 1e-2}
    model = tg.compose(f"hf-text:{saved('bert')}", head="masked-elements", strategy=strategy)
    run = model.fit(TEXTS, training={"epochs": 8, "batch_size": 8}, quiet=True)

    assert run.stages[0].losses[-1] < run.stages[0].losses[0]
    base = f"hf-text:{model.save(tmp_path / 'base')}"
    labelled = TEXTS | {"label": ["card", "money", "parcel", "help"] * 4}
    intents = tg.compose(base, head="classification", strategy="linear-probe")
    intents.fit(labelled, target="label", quiet=True)
    assert intents.predict(TEXTS) == labelled["label"]


@pytest.mark.parametrize(("family", "settings"), [("gpt2", {}), ("bert", {"pair": "together"})])
def test_decoders_and_pairs_cannot_be_masked(saved, family, settings):
    backbone = {"name": "hf-text", "checkpoint": str(saved(family)), **settings}
    with pytest.raises(TaskgraftError) as error:
        tg.compose(backbone, head="masked-elements", strategy="full")
    assert str(error.value).startswith(
        f"'masked-elements' predicts masked elements, but 'hf-text:{saved(family)}' does not support masking."
    )

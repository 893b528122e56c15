"""Texts without labels: pieces and words are hidden, and a checkpoint goes on being pretrained on them."""

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


def pieces(batch):
    lengths = batch.lengths["piece"].tolist()
    return [
        [tiny.VOCABULARY[one] for one in row[:length]]
        for row, length in zip(batch["ids"].tolist(), lengths, strict=True)
    ]


def test_hidden_pieces_become_the_mask_token(processor):
    batch = processor.prepare({"text": ["my lost card", "help"]}).batch
    hidden = torch.tensor([[False, True, False, True, False], [False, True, False, False, False]])

    assert pieces(processor.mask_elements(batch, hidden, [0, 1])) == [
        ["<s>", "<mask>", "lost", "<mask>", "</s>"],
        ["<s>", "<mask>", "</s>"],
    ]


def test_a_hidden_word_of_several_pieces_becomes_one_mask_token(processor):
    batch = processor.prepare({"text": [["my", "zoo", "card"], ["zoo"]]}).batch
    hidden = torch.tensor([[False, True, False], [False, False, False]])

    made = processor.mask_elements(batch, hidden, [0, 1])

    assert pieces(made) == [["<s>", "my", "<mask>", "card", "</s>"], ["<s>", "z", "##o", "##o", "</s>"]]
    assert made["first"].tolist() == [[1, 2, 3], [1, 0, 0]]


def test_special_pieces_hold_nothing_that_could_be_recovered(processor):
    held = processor.element_values(processor.prepare({"text": ["my card", "help"]}).batch)

    (my, card), help_ = (tiny.VOCABULARY.index(word) for word in ("my", "card")), tiny.VOCABULARY.index("help")
    assert held[CATEGORY].tolist() == [[-1, my, card, -1], [-1, help_, -1, -1]]


def test_a_word_holds_its_first_piece(processor):
    held = processor.element_values(processor.prepare({"text": [["my", "zoo"], ["card"]]}).batch)

    my, z, card = (tiny.VOCABULARY.index(piece) for piece in ("my", "z", "card"))
    assert held[CATEGORY].tolist() == [[my, z], [card, -1]]


def test_pretraining_goes_on_from_a_checkpoint_and_its_artifact_is_a_base(saved, tmp_path):
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
def test_decoders_and_pairs_hide_nothing(saved, family, settings):
    backbone = {"name": "hf-text", "checkpoint": str(saved(family)), **settings}
    with pytest.raises(TaskgraftError) as error:
        tg.compose(backbone, head="masked-elements", strategy="full")
    assert str(error.value).startswith(
        f"'masked-elements' recovers elements that are hidden from the backbone, but 'hf-text:{saved(family)}' cannot hide any."
    )

import pytest
from backbones import Words
from small_plugin import WordsConfig
from small_tasks import PARTS, changed, classification, copied, images, pictures, sentences, words

import taskgraft as tg
from taskgraft.contract.strategy import StrategyNotApplicable


def plan(strategy, blocks=2):
    return tg.compose(Words(WordsConfig(blocks=blocks)), classification(), strategy).composition.plan


def test_each_stage_trains_one_more_group_from_the_output_down():
    stages = plan("gradual")
    assert [stage.unfreeze[0].parts for stage in stages] == [PARTS[2:], PARTS[1:], PARTS]
    assert [stage.name for stage in stages] == ["gradual-1", "gradual-2", "gradual-3"]


@pytest.mark.parametrize(
    ("blocks", "groups", "sizes"), [(5, 2, [3, 6]), (6, 2, [3, 7]), (6, 3, [2, 4, 7]), (8, None, [2, 4, 6, 9])]
)
def test_groups_are_as_equal_as_possible(blocks, groups, sizes):
    stages = plan({"name": "gradual", "groups": groups}, blocks)
    assert [len(stage.unfreeze[0].parts) for stage in stages] == sizes


def test_lower_parts_have_lower_rates():
    assert {stage.layer_decay for stage in plan({"name": "gradual", "layer_decay": 0.6})} == {0.6}


def test_each_stage_has_its_epochs_and_the_last_those_of_the_training():
    model = tg.compose(words(), classification(), {"name": "gradual", "unfreezing_epochs": 2})
    run = model.fit(sentences(), target="label", training={"batch_size": 8, "epochs": 3}, quiet=True)
    assert [len(stage.losses) for stage in run.stages] == [2, 2, 3]


def test_the_output_of_frozen_parts_is_cached():
    model = tg.compose(words(), classification(), "gradual")
    run = model.fit(sentences(), target="label", training={"batch_size": 8, "epochs": 1}, quiet=True)
    assert [stage.stored_at for stage in run.stages] == [2, 1, None]


def test_in_the_end_all_parts_are_trained():
    for backbone, rows in ((words(), sentences()), (pictures(), images())):
        before = copied(backbone)
        model = tg.compose(backbone, classification(), "gradual")
        model.fit(rows, target="label", training={"batch_size": 8, "epochs": 1}, quiet=True)
        assert changed(backbone, before) == {name for name in before if name not in ("frequencies",)}


def test_more_groups_than_parts_are_rejected():
    with pytest.raises(StrategyNotApplicable) as caught:
        plan("gradual:9")
    assert str(caught.value) == (
        "'gradual' has groups = 9, but the backbone has only 3 parts: embedding, block-0, block-1. "
        "Choose groups = 3 or less."
    )

from small_tasks import PARTS, classification, words

import taskgraft as tg


def test_every_part_is_trained_with_decaying_rates():
    (stage,) = tg.compose(words(), classification(), "layer-decay:0.7").composition.plan
    assert stage.unfreeze[0].parts == PARTS
    assert stage.layer_decay == 0.7


def test_it_equals_full_with_the_layer_decay_that_every_strategy_accepts():
    rates = {"learning_rate": 1e-4, "head_learning_rate": 1e-3, "layer_decay": 0.7}
    own, full = (
        tg.compose(words(), classification(), {"name": name, **rates}).composition.plan[0]
        for name in ("layer-decay", "full")
    )
    assert (own.unfreeze, own.layer_decay, own.head_learning_rate) == (
        full.unfreeze,
        full.layer_decay,
        full.head_learning_rate,
    )

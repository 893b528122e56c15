import small_plugin

import taskgraft as tg
from taskgraft.discovery.catalog import catalog


def test_small_backbones_can_be_named_where_their_plugin_is_installed(small_plugin_installed):
    names = {entry.spec.name for entry in catalog().entries if entry.source.distribution == "taskgraft-small"}
    assert names == {spec.name for spec in small_plugin.taskgraft_backbones()}
    rows = {"text": ["good day", "bad night", "good night", "bad day"] * 4, "label": ["a", "b"] * 8}
    model = tg.compose("small-words", "classification", "linear-probe")
    run = model.fit(rows, validation=rows, target="label", quiet=True)
    assert run.metrics["accuracy"] > 0.4

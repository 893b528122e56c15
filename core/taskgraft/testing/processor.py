"""Laws of a processor: raw examples become the same inputs each time, row by row, and bad rows are named."""

import json
import pickle
from collections.abc import Mapping
from typing import Any

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch, collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.processor import ProcessedBatch
from taskgraft.testing.check import Check, law_of, same_bits, trial


def check_preprocessing_is_deterministic(backbone: Backbone, inputs: Columns) -> None:
    """Preparing twice, or with a processor sent to another process, gives the same bits."""
    law = law_of(
        backbone,
        "preparing examples is deterministic, in any process",
        "Draw nothing at random in prepare; hold settings alone, no module and no open file.",
    )
    tried = trial(backbone, inputs)
    if problem := _difference(tried.batch, backbone.processor.prepare(inputs).batch):
        raise law.broken(f"preparing the same examples twice gives another {problem}")
    with law.runs("sending the processor to another process (pickle)"):
        sent = pickle.loads(pickle.dumps(backbone.processor))  # noqa: S301  what was pickled in this line
    if problem := _difference(tried.batch, sent.prepare(inputs).batch):
        raise law.broken(f"a processor sent to another process gives another {problem}")


def check_rows_are_preprocessed_independently(backbone: Backbone, inputs: Columns) -> None:
    """A row prepared alone equals its row of a batch without the padding, and padding holds 0."""
    law = law_of(
        backbone,
        "what a processor makes of a row does not depend on its companions",
        "Pad on the right with 0, name padded axes with their lengths, and learn nothing from the rows at hand.",
    )
    tried = trial(backbone, inputs)
    for row in range(len(tried.batch)):
        one = {name: [values[row]] for name, values in inputs.items()}
        with law.runs(f"preparing row {row} alone"):
            alone = backbone.processor.prepare(one).batch
        if problem := _difference(tried.batch.select([row]), alone):
            places = [other for other in range(len(tried.batch)) if not _difference(tried.batch.select([other]), alone)]
            if places:
                raise law.broken(
                    f"example {row} stands in row {places[0]} of the batch", "Give rows in the order of the examples."
                )
            raise law.broken(f"row {row} prepared alone has another {problem}")
    if problem := _difference(tried.batch, collate(tried.batch.unbind())):
        raise law.broken(f"stripped and padded anew with 0, the examples have another {problem}")


def check_invalid_rows_are_reported(backbone: Backbone, inputs: Columns) -> None:
    """A row of empty cells is refused with a reason and the others are not; prepare does not raise.

    A backbone that reads any columns may also take an empty cell for what it is.
    """
    law = law_of(
        backbone,
        "a row that cannot be used is named, not raised",
        "Give it a row in the batch all the same, and its reason in 'refused'.",
    )
    trial(backbone, inputs)
    bad = {name: [values[0], None, *values[2:]] for name, values in inputs.items()}
    with law.runs("preparing a row of empty cells (None)"):
        prepared: ProcessedBatch = backbone.processor.prepare(bad)
    if len(prepared.batch) != len(bad[next(iter(bad))]):
        raise law.broken("with a row of empty cells, the batch has another number of rows than the examples")
    if backbone.description.inputs and 1 not in prepared.invalid:
        raise law.broken("a row of empty cells is not refused")
    if others := sorted(set(prepared.invalid) - {1}):
        raise law.broken(f"row {others[0]} is refused because another row has empty cells")
    if not all(isinstance(reason, str) and reason for reason in prepared.invalid.values()):
        raise law.broken("a refused row has no reason")


def check_processor_settings_are_json(backbone: Backbone, inputs: Columns) -> None:
    """The settings can be written to an artifact, read, and compared, and do not change with use."""
    law = law_of(
        backbone,
        "the processor's settings are JSON",
        "Give texts, numbers, true, false, null, and lists and objects of them, all decided when it was built.",
    )
    settings = backbone.processor.settings()
    if not isinstance(settings, Mapping):
        raise law.broken(f"they are a {type(settings).__name__}, not a mapping")
    before = _json(law, settings)
    trial(backbone, inputs)
    if before != _json(law, backbone.processor.settings()):
        raise law.broken("they changed when examples were prepared")


def _json(law: Check, settings: Mapping[str, Any]) -> str:
    try:
        return json.dumps(settings, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise law.broken(f"they cannot be written as JSON ({error})") from None


def _difference(first: Batch, second: Batch) -> str | None:
    """Say in what two batches differ, or None."""
    if first.tensors.keys() != second.tensors.keys() or dict(first.axes) != dict(second.axes):
        return "set of tensors"
    for what, one, other in (("tensor", first.tensors, second.tensors), ("length", first.lengths, second.lengths)):
        for name in one:
            if name not in other or not same_bits(one[name], other[name]):
                return f"{what} '{name}'"
    return None

"""Laws of a processor: preprocessing is deterministic and row by row, and invalid rows are reported."""

import json
import pickle
from collections.abc import Mapping
from typing import Any

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import collate
from taskgraft.contract.columns import Columns
from taskgraft.contract.processor import ProcessedBatch
from taskgraft.testing.backbone_fixture import prepare_backbone
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import batch_difference


@law_check("Use no random numbers in prepare; hold only settings, no module and no open file.")
def check_preprocessing_is_deterministic(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """Preprocessing twice, or with a processor sent to another process, gives the same bits."""
    tested = prepare_backbone(backbone, inputs)
    if difference := batch_difference(tested.batch, backbone.processor.prepare(inputs).batch):
        raise law.violation(f"preprocessing the same examples twice gives another {difference}")
    with law.must_succeed("sending the processor to another process (pickle)"):
        sent = pickle.loads(pickle.dumps(backbone.processor))  # noqa: S301  what was pickled in this line
    if difference := batch_difference(tested.batch, sent.prepare(inputs).batch):
        raise law.violation(f"a processor sent to another process gives another {difference}")


@law_check("Pad on the right with 0, name padded axes with their lengths, and fit nothing to the rows of the batch.")
def check_rows_are_preprocessed_independently(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """A row preprocessed alone equals its row of a batch without the padding, and padding is 0."""
    tested = prepare_backbone(backbone, inputs)
    rows = [tested.batch.select([row]) for row in range(len(tested.batch))]
    for row in range(len(rows)):
        one = {name: [values[row]] for name, values in inputs.items()}
        with law.must_succeed(f"preprocessing row {row} alone"):
            alone = backbone.processor.prepare(one).batch
        if difference := batch_difference(rows[row], alone):
            if places := [place for place, other in enumerate(rows) if not batch_difference(other, alone)]:
                raise law.violation(
                    f"example {row} is in row {places[0]} of the batch", "Return rows in the order of the examples."
                )
            raise law.violation(f"row {row} preprocessed alone has another {difference}")
    if difference := batch_difference(tested.batch, collate(tested.batch.unbind())):
        raise law.violation(f"stripped and padded again with 0, the examples have another {difference}")


@law_check("Keep the row in the batch, and put its reason into 'invalid'.")
def check_invalid_rows_are_reported(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """A row of empty cells is reported as invalid with a reason, and no other row is; prepare does not raise.

    A backbone that reads any columns may accept an empty cell.
    """
    prepare_backbone(backbone, inputs)
    with_empty_row = {name: [values[0], None, *values[2:]] for name, values in inputs.items()}
    with law.must_succeed("preprocessing a row of empty cells (None)"):
        processed: ProcessedBatch = backbone.processor.prepare(with_empty_row)
    if len(processed.batch) != len(next(iter(with_empty_row.values()))):
        raise law.violation("with a row of empty cells, the batch has another number of rows than the examples")
    if backbone.description.inputs and 1 not in processed.invalid:
        raise law.violation("a row of empty cells is not invalid")
    if others := sorted(set(processed.invalid) - {1}):
        raise law.violation(f"row {others[0]} is invalid because another row has empty cells")
    if not all(isinstance(reason, str) and reason for reason in processed.invalid.values()):
        raise law.violation("an invalid row has no reason")


@law_check("Return strings, numbers, true, false, null, and lists and objects of them, all fixed when it was built.")
def check_processor_settings_are_json(law: Law, backbone: Backbone, inputs: Columns) -> None:
    """The settings can be written to an artifact, read and compared, and do not change with use."""
    settings = backbone.processor.settings()
    if not isinstance(settings, Mapping):
        raise law.violation(f"they are a {type(settings).__name__}, not a mapping")
    before = _as_json(law, settings)
    prepare_backbone(backbone, inputs)
    if before != _as_json(law, backbone.processor.settings()):
        raise law.violation("they changed when examples were preprocessed")


def _as_json(law: Law, settings: Mapping[str, Any]) -> str:
    try:
        return json.dumps(settings, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise law.violation(f"they cannot be written as JSON ({error})") from None

"""Estimate the memory that a large head needs, before it is trained."""

from collections.abc import Sequence

from torch import nn

from taskgraft.contract.plan import HeadSolver, Stage

_COPIES = {HeadSolver.DESCENT: 4, HeadSolver.CONVEX: 25}
"""Tensors of the size of the head: weights, gradient and two moments of AdamW; or weights, gradient, direction and two times
ten vectors of the history of L-BFGS, with what its line search holds."""

_NOTED_BYTES = 1_000_000_000
"""Bytes below which there is no note."""


def widest_output(head: nn.Module) -> int:
    """Return the most outputs of a layer of a head: the classes of a classifier."""
    return max((parameter.shape[0] for parameter in head.parameters() if parameter.dim() > 1), default=1)


def memory_note(head: nn.Module, plan: Sequence[Stage], validation_rows: int) -> str | None:
    """Estimate the memory for training a head and for its predictions of validation rows; None for a small one."""
    parameters = list(head.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    training = size * max((_COPIES[stage.solve] for stage in plan), default=1)
    outputs = widest_output(head)
    predicting = 2 * outputs * 4 * validation_rows  # logits and probabilities, in float32
    if training + predicting < _NOTED_BYTES:
        return None
    count = sum(parameter.numel() for parameter in parameters)
    of_head = f"The head has {outputs:,} outputs and {count:,} parameters"
    text = f"{of_head}: training it takes about {training / 1e9:,.1f} GB of memory"
    if predicting:
        text += f", and predicting for {validation_rows:,} validation rows about {predicting / 1e9:,.1f} GB"
    return f"{text}."

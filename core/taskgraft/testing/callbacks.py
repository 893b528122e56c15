"""The law of callbacks: training that continues from their state ends with the same weights as training without a break."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.callback import Callback
from taskgraft.contract.columns import Columns
from taskgraft.contract.head import Head
from taskgraft.contract.plan import Stage
from taskgraft.contract.strategy import Strategy
from taskgraft.files.temporary_folder import temporary_folder
from taskgraft.model.compose import compose
from taskgraft.optimization.saved_state import UnsavedState
from taskgraft.preparation.errors import TrainingError
from taskgraft.testing.check import Law, law_check
from taskgraft.testing.compare import same_bits

_MOMENTS = {"during step 2": "on_step_end", "at the end of epoch 1": "on_epoch_end"}
"""Moments of an interruption, each with the method of a callback; the latest checkpoint is that of the step before it."""


class _Interrupted(Exception):
    """An interruption of training."""


@law_check("Return everything that later calls read from 'state_dict', and continue from it in 'load_state_dict'.")
def check_callbacks_resume_exactly(
    law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
) -> None:
    """Interrupted and resumed, the first stage with callbacks gives the weights of training without a break, bit for bit."""
    plan = strategy.plan(backbone.description, head.description)
    stage = next((one for one in plan if one.callbacks or one.on_stage_start or one.on_step_end), None)
    if stage is None:
        return
    fit = _Fit(law, strategy, backbone, head, inputs, targets)
    whole = fit.run()
    for moment, method in _MOMENTS.items():
        stop = _interruption(stage, method)
        with temporary_folder() as folder:
            try:
                fit.run([stop], folder / "run")
            except _Interrupted:
                resumed = fit.run([stop], folder / "run")
            else:
                continue  # the stage has fewer steps
        if changed := [name for name in whole if not same_bits(whole[name], resumed[name])]:
            raise law.violation(
                f"interrupted {moment} of the stage '{stage.name}' and resumed, training ends with another {changed[0]}"
            )


class _Fit:
    """Fits of two epochs with two steps each, with a checkpoint after every step."""

    def __init__(
        self, law: Law, strategy: Strategy, backbone: Backbone, head: Head[Any], inputs: Columns, targets: Columns
    ):
        self._law, self._parts, self._rows = law, (backbone, head, strategy), {**inputs, **targets}
        self._targets, self._count = tuple(targets), len(next(iter(targets.values())))

    def run(self, callbacks: Any = (), run: Path | None = None) -> dict[str, Tensor]:
        """Fit, or resume the run; return the tensors."""
        backbone, head, strategy = self._parts
        model = compose(deepcopy(backbone), head, strategy)
        training = {"epochs": 2, "batch_size": -(-self._count // 2), "warmup": 0.0, "checkpoint_every": 1}
        try:
            model.fit(
                self._rows,
                validation=self._rows,
                target=self._targets,
                training=training,
                callbacks=callbacks,
                run=run,
                resume=run is not None,
                quiet=True,
            )
        except (UnsavedState, TrainingError) as error:
            raise self._law.violation(str(error).partition(" Keep ")[0].partition(" If its")[0].rstrip(".")) from None
        assert model.fitted is not None
        tensors = model.fitted.task.state_dict()
        return {name.removeprefix("backbone."): tensor.detach().cpu() for name, tensor in tensors.items()}


def _interruption(stage: Stage, method: str) -> type[Callback]:
    """Make a callback that interrupts a stage once, when it is called for the second step or the first epoch."""
    number, left = {"on_step_end": 2, "on_epoch_end": 1}[method], [stage.name]

    class Interruption(Callback):
        def on_step_end(self, step: int) -> None:
            self._interrupt("on_step_end", step)

        def on_epoch_end(self, epoch: int, scores: Any) -> None:
            self._interrupt("on_epoch_end", epoch)

        def _interrupt(self, called: str, count: int) -> None:
            if (called, count) == (method, number) and self.run.stage in left:
                left.clear()
                raise _Interrupted

    return Interruption

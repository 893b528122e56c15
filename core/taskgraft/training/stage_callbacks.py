"""The callbacks of a stage: those that its plan names, and those of the user."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from taskgraft.adaptation.trainable import restore_tensors
from taskgraft.contract.callback import Callback, MakeCallback, StageRun
from taskgraft.contract.plan import Stage, StepCallback
from taskgraft.engine.precision import is_finite
from taskgraft.errors import join_words
from taskgraft.preparation.errors import TrainingError


@dataclass
class StageCallbacks:
    """Runs the callbacks of one stage, in order. Between :meth:`start` and the end of the stage it has one for each maker."""

    stage: Stage
    of_user: Sequence[MakeCallback] = ()
    _callbacks: list[Callback] = field(default_factory=list)
    _trainable: Mapping[str, Tensor] = field(default_factory=dict)

    def start(self, run: StageRun, states: Sequence[Mapping[str, Any]] | None) -> None:
        """Make the callbacks, and let them continue from their states in a checkpoint. Raises TrainingError."""
        self._trainable = run.trainable
        self._callbacks = [_made(maker, run) for maker in self._makers]
        if states is not None:
            for callback, state in zip(self._callbacks, states, strict=True):
                callback.load_state_dict(state)
        if self.stage.on_stage_start is not None or self.stage.on_step_end is not None:
            self._callbacks.insert(0, _Functions(self.stage.on_stage_start, self.stage.on_step_end, run))

    def check(self, states: Any) -> Sequence[Mapping[str, Any]]:
        """Return states of a checkpoint that fit these callbacks. Raises ValueError with a clause for others."""
        if not isinstance(states, list) or not all(isinstance(state, Mapping) for state in states):
            raise ValueError("the states of its callbacks are not written as states are")
        if len(states) != len(self._makers):
            raise ValueError(f"it has the states of {len(states)} callbacks, but the stage has {len(self._makers)}")
        return states

    @property
    def _makers(self) -> Sequence[MakeCallback]:
        return (*self.stage.callbacks, *self.of_user)

    def on_step_end(self, step: int) -> None:
        """Call each after an optimizer step."""
        for callback in self._callbacks:
            callback.on_step_end(step)

    def on_epoch_end(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Call each after an epoch."""
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, scores)

    def on_stage_end(self) -> None:
        """Call each after the last step."""
        for callback in self._callbacks:
            callback.on_stage_end()

    def states(self) -> list[Mapping[str, Any]]:
        """Return the state of each, for a checkpoint."""
        return [callback.state_dict() for callback in self._callbacks if not isinstance(callback, _Functions)]

    @property
    def names(self) -> str:
        """The classes of the callbacks, for messages."""
        return join_words([type(callback).__name__ for callback in self._callbacks])

    @contextmanager
    def validation_weights(self) -> Iterator[None]:
        """Put the weights in place that a callback provides for validation, and the trained ones back afterwards."""
        weights = self._validation_weights()
        trained = {name: self._trainable[name].detach().clone() for name in weights}
        restore_tensors(self._trainable, weights)
        try:
            yield
        finally:
            restore_tensors(self._trainable, trained)

    def keep_validation_weights(self) -> None:
        """End the stage with the weights that a callback provides for validation."""
        restore_tensors(self._trainable, self._validation_weights())

    def _validation_weights(self) -> Mapping[str, Tensor]:
        """Ask every callback; at most one may provide weights, for trainable tensors, of their shape and dtype, and finite."""
        found = [(callback, weights) for callback in self._callbacks if (weights := callback.validation_weights())]
        if not found:
            return {}
        names = [type(callback).__name__ for callback, _ in found]
        if len(found) > 1:
            raise TrainingError(
                f"The callbacks {' and '.join(names)} of the stage '{self.stage.name}' both return weights for validation. "
                "Keep one of them."
            )
        ((_, weights),) = found
        for name, value in weights.items():
            if (problem := self._problem(name, value)) is not None:
                raise TrainingError(
                    f"The callback {names[0]} of the stage '{self.stage.name}' returns weights for validation that {problem}."
                )
        return weights

    def _problem(self, name: str, value: Any) -> str | None:
        """Say in a clause why a value cannot take the place of a trainable tensor."""
        if name not in self._trainable:
            return f"name '{name}', which the stage does not train"
        trained = self._trainable[name]
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (trained.shape, trained.dtype):
            form = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            return f"have {form} for '{name}', which is {trained.dtype} {tuple(trained.shape)}"
        return None if is_finite(value) else f"are not finite in '{name}'"


def _made(maker: MakeCallback, run: StageRun) -> Callback:
    callback = maker(run)
    if not isinstance(callback, Callback):
        raise TrainingError(
            f"A callback of the stage '{run.stage}' is of the type {type(callback).__name__}. Give the class of a callback, "
            "which extends taskgraft.plugin.Callback, or a function that makes one from a StageRun."
        )
    return callback


class _Functions(Callback):
    """The functions that a stage of contract 1.0 names, which have no state."""

    def __init__(self, on_start: StepCallback | None, on_step: StepCallback | None, run: StageRun):
        super().__init__(run)
        self._on_step = on_step
        if on_start is not None:
            on_start(run.backbone, run.steps)

    def on_step_end(self, step: int) -> None:
        if self._on_step is not None:
            self._on_step(self.run.backbone, step)

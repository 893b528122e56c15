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
from taskgraft.optimization.saved_state import UnsavedState, pack_state, unpack_state
from taskgraft.preparation.errors import TrainingError
from taskgraft.training.checkpoint import tensors_of

SavedStates = tuple[list[Any], dict[str, Tensor]]
"""The states of callbacks: JSON of each in their order, and tensors, whose names begin with the number of the callback."""


@dataclass
class StageCallbacks:
    """Runs the callbacks of one stage, in order. Between :meth:`start` and the end of the stage it has one for each maker."""

    stage: Stage
    of_user: Sequence[MakeCallback] = ()
    _callbacks: list[Callback] = field(default_factory=list)
    _trainable: Mapping[str, Tensor] = field(default_factory=dict)
    _step: int = 0

    def start(self, run: StageRun, states: Sequence[Mapping[str, Any]] | None, step: int) -> None:
        """Make the callbacks, and let them continue from their states in a checkpoint, after a step. Raises TrainingError."""
        self._trainable, self._step = run.trainable, step
        for maker in self._makers:
            with self._named(_name(maker)):
                self._callbacks.append(_made(maker, run))
        for callback, state in zip(self._stateful, states or (), strict=states is not None):
            try:
                callback.load_state_dict(state)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise TrainingError(
                    f"{self._who(callback)} cannot continue from its state in the checkpoint: {type(error).__name__}: {error}. "
                    "If its code has changed, start a new run."
                ) from error

    @property
    def _makers(self) -> Sequence[MakeCallback]:
        old = (_Functions.of(self.stage),) if self.stage.on_stage_start or self.stage.on_step_end else ()
        return (*old, *self.stage.callbacks, *self.of_user)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes of the callbacks, for messages; empty for functions of contract 1.0."""
        return tuple(map(_name, self._stateful))

    @property
    def _stateful(self) -> Sequence[Callback]:
        """All but the functions of contract 1.0, which have no state, so that a run resumes with or without them."""
        return [callback for callback in self._callbacks if not isinstance(callback, _Functions)]

    def on_step_end(self, step: int) -> None:
        """Call each after an optimizer step."""
        self._step = step
        for callback in self._callbacks:
            with self._named(_name(callback), "on_step_end"):
                callback.on_step_end(step)

    def on_epoch_end(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Call each after an epoch."""
        for callback in self._callbacks:
            with self._named(_name(callback), "on_epoch_end"):
                callback.on_epoch_end(epoch, dict(scores))

    def on_stage_end(self) -> None:
        """Call each after the last step."""
        for callback in self._callbacks:
            with self._named(_name(callback), "on_stage_end"):
                callback.on_stage_end()

    def pack_states(self) -> SavedStates:
        """Return the state of each, for a checkpoint. Raises UnsavedState for what it cannot hold."""
        documents: list[Any] = []
        tensors: dict[str, Tensor] = {}
        for index, callback in enumerate(self._stateful):
            with self._named(_name(callback), "state_dict"):
                state = callback.state_dict()
            if not isinstance(state, Mapping):
                raise UnsavedState(
                    f"{self._who(callback)} returns a state that is a {type(state).__name__}, not a dict."
                )
            document, found = pack_state(state, self._who(callback))
            documents.append(document)
            tensors |= {f"{index}.{name}": tensor for name, tensor in found.items()}
        return documents, tensors

    def unpack_states(self, documents: Any, tensors: Mapping[str, Tensor]) -> Sequence[Mapping[str, Any]]:
        """Return the states of a checkpoint. Raises ValueError with a clause if these callbacks have others."""
        expected = len(self.stage.callbacks) + len(self.of_user)
        if not isinstance(documents, list) or len(documents) != expected:
            count = len(documents) if isinstance(documents, list) else "no"
            raise ValueError(f"it has the states of {count} callbacks, but the stage has {expected}")
        if spare := {name.partition(".")[0] for name in tensors} - {str(index) for index in range(len(documents))}:
            raise ValueError(f"it has tensors of a callback {min(spare)} that does not exist")
        states = [unpack_state(one, tensors_of(str(index), tensors)) for index, one in enumerate(documents)]
        if not all(isinstance(state, Mapping) for state in states):
            raise ValueError("the states of its callbacks are not written as states are")
        return states

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
        found: list[tuple[Callback, Mapping[str, Tensor]]] = []
        for callback in self._callbacks:
            with self._named(_name(callback), "validation_weights"):
                weights = callback.validation_weights()
            if weights is not None and not isinstance(weights, Mapping):
                raise TrainingError(
                    f"{self._who(callback)} returns a {type(weights).__name__} of weights for validation. Return a dict of "
                    "name → tensor, or None."
                )
            if weights:
                found.append((callback, weights))
        if len(found) > 1:
            names = " and ".join(_name(callback) for callback, _ in found)
            raise TrainingError(
                f"The callbacks {names} of the stage '{self.stage.name}' both return weights for validation. Keep one of them."
            )
        for callback, weights in found:
            for name, value in weights.items():
                if (problem := self._problem(name, value)) is not None:
                    raise TrainingError(f"{self._who(callback)} returns weights for validation that {problem}.")
            return weights
        return {}

    def _problem(self, name: str, value: Any) -> str | None:
        """Say in a clause why a value cannot take the place of a trainable tensor."""
        if name not in self._trainable:
            return f"name '{name}', which the stage does not train"
        trained = self._trainable[name]
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (trained.shape, trained.dtype):
            form = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            return f"have {form} for '{name}', which is {trained.dtype} {tuple(trained.shape)}"
        return None if is_finite(value) else f"are not finite in '{name}'"

    def _who(self, callback: Callback) -> str:
        return f"The callback {_name(callback)} of the stage '{self.stage.name}'"

    @contextmanager
    def _named(self, *call: str) -> Iterator[None]:
        """Add a note to an exception that a callback raises: which one, and when. Its type stays."""
        try:
            yield
        except Exception as error:
            when = f"after step {self._step:,}" if self._step else "before the first step"
            error.add_note(f"The callback {'.'.join(call)} raised this {when} of the stage '{self.stage.name}'.")
            raise


def _made(maker: MakeCallback, run: StageRun) -> Callback:
    callback = maker(run)
    if not isinstance(callback, Callback):
        raise TrainingError(
            f"A callback of the stage '{run.stage}' is of the type {type(callback).__name__}. Give the class of a callback, "
            "which extends taskgraft.plugin.Callback, or a function that makes one from a StageRun."
        )
    return callback


def _name(callback: Any) -> str:
    """The name of a class, of a function that makes callbacks, or of the class of an object."""
    return str(getattr(callback, "__name__", type(callback).__name__))


class _Functions(Callback):
    """The functions that a stage of contract 1.0 names, which have no state."""

    def __init__(self, on_start: StepCallback | None, on_step: StepCallback | None, run: StageRun):
        super().__init__(run)
        self._on_step = on_step
        if on_start is not None:
            on_start(run.backbone, run.steps)

    @classmethod
    def of(cls, stage: Stage) -> MakeCallback:
        """Make callbacks of the functions of a stage."""
        return lambda run: cls(stage.on_stage_start, stage.on_step_end, run)

    def on_step_end(self, step: int) -> None:
        if self._on_step is not None:
            self._on_step(self.run.backbone, step)

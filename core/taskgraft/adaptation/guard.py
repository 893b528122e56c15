"""The weight guard: exactly the declared tensors change in a stage, and every other one stays bit-identical."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.contract.config import Config
from taskgraft.engine.precision import is_finite
from taskgraft.errors import TaskgraftError
from taskgraft.storage.fingerprints import tensor_digest
from taskgraft.storage.manifest import HEAD


@dataclass(eq=False)
class WeightGuardError(TaskgraftError):
    """A stage changed a frozen tensor, or did not train a declared one.

    Attributes:
        starved: whether every fault is a missing or zero gradient, which data can cause, too.
        data_fault: a clause on the data that explains it.
        callbacks: the classes of callbacks that ran in the stage, any of which may have changed a tensor.
    """

    stage: str
    faults: tuple[str, ...]
    starved: bool = False
    data_fault: str | None = None
    callbacks: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.data_fault is not None:
            return f"The stage '{self.stage}' had nothing to train on: {self.data_fault}."
        shown = "\n  ".join(self.faults[:10])
        more = f"\n  … and {len(self.faults) - 10:,} more." if len(self.faults) > 10 else ""
        suspects = [f"the callback {name}" for name in self.callbacks] + ["the strategy", "the backbone"]
        return (
            f"The stage '{self.stage}' did not train exactly what it declared:\n  {shown}{more}\n"
            f"This is a bug in {', '.join(suspects)} or the head, not in your data."
        )


class GuardState(Config):
    """What a guard has observed in a stage so far, named as in checkpoints."""

    before: dict[str, str]
    without: list[str]
    gates: list[str]
    blamed: list[str]
    awake: list[str]
    excused: dict[str, str]
    passes: int


@dataclass
class WeightGuard:
    """Watches one stage.

    Attributes:
        trainable: what the stage declared.
        frozen: modules that must stay in eval mode, by name.
        before: digests of tensors, by name, from before anything was inserted; the others are computed now.
        zero_gradients: parameters whose gradient was always zero, with the reason.
    """

    stage: str
    trainable: TrainableTensors
    frozen: list[tuple[str, nn.Module]]
    before: Mapping[str, str] = field(default_factory=dict)
    zero_gradients: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        now, declared = self.trainable.tensors(), self.trainable.declared
        self._before = {**self.before} | {name: tensor_digest(now[name]) for name in now if name not in self.before}
        self._parameters = {name: tensor for name, tensor in now.items() if isinstance(tensor, nn.Parameter)}
        self._without_gradient = {name for name in declared if name in self._parameters}
        self._gates = {name for name, tensor in now.items() if _may_be_gate(name, tensor) and not bool(tensor.any())}
        self._unexplained: set[str] = set()
        self._left_eval_mode: set[str] = set()
        self._passes = 0

    def state(self) -> GuardState:
        """Return what was observed so far, for a checkpoint."""
        return GuardState(
            before={name: digest for name, digest in self._before.items() if name in self.trainable.declared},
            without=sorted(self._without_gradient),
            gates=sorted(self._gates),
            blamed=sorted(self._unexplained),
            awake=sorted(self._left_eval_mode),
            excused=self.zero_gradients,
            passes=self._passes,
        )

    def resume(self, state: GuardState) -> None:
        """Continue from the result of :meth:`state`. Frozen tensors are compared with their present values."""
        self._before |= state.before
        self._without_gradient, self._gates = set(state.without), set(state.gates)
        self._unexplained, self._left_eval_mode = set(state.blamed), set(state.awake)
        self.zero_gradients, self._passes = dict(state.excused), state.passes

    def after_backward(self) -> None:
        """Record which declared parameters received a gradient that is not all zero."""
        self._passes += 1
        if not self._without_gradient:
            return
        now = self.trainable.tensors()
        self._gates = {name for name in self._gates if name in now and not bool(now[name].any())}
        for name in list(self._without_gradient):
            gradient = now[name].grad if name in now else None
            if gradient is not None and bool(gradient.any()):
                self._without_gradient.discard(name)
            elif (gate := self._closed_gate(name)) is None:
                self._unexplained.add(name)
            else:
                self.zero_gradients[name] = f"behind {gate}, which was zero"

    def after_step(self) -> None:
        """Record modules that left eval mode."""
        self._left_eval_mode |= {name for name, module in self.frozen if module.training}

    def finish(self, *, solved: bool = False, callbacks: tuple[str, ...] = ()) -> None:
        """Compare all tensors with those before the stage. Raises WeightGuardError, which lists every fault.

        Args:
            solved: whether a solver found the head, without gradients to watch.
            callbacks: the classes of those that ran, for the message.
        """
        now, declared = self.trainable.tensors(), self.trainable.declared
        changed = {name for name, digest in self._before.items() if name in now and tensor_digest(now[name]) != digest}
        replaced = {name for name, tensor in self._parameters.items() if now.get(name, tensor) is not tensor}
        never = set() if solved else self._without_gradient & self._unexplained
        starved = [f"the tensor {name} is trainable, but never received a gradient" for name in sorted(never)]
        faults = [
            *(f"the module {name} is frozen, but ran in training mode" for name in sorted(self._left_eval_mode)),
            *(f"the tensor {name} was removed" for name in self._before if name not in now),
            *(f"the tensor {name} was added" for name in now if name not in self._before),
            *(f"the tensor {name} is trainable, but was replaced by another" for name in sorted(replaced & declared)),
            *(f"the tensor {name} is frozen, but changed" for name in sorted(changed - declared)),
            *(f"the tensor {name} is not finite" for name in sorted(declared & now.keys()) if not is_finite(now[name])),
        ]
        for group in self.trainable.groups:
            if group.learning_rate > 0 and self._passes + solved > 0 and not changed.intersection(group.tensors):
                rate = f"{group.learning_rate:g}"
                starved.append(f"the group '{group.name}' has learning rate {rate}, but none of its tensors changed")
        unchanged = self._without_gradient - self._unexplained
        self.zero_gradients = {name: reason for name, reason in self.zero_gradients.items() if name in unchanged}
        if faults or starved:
            raise WeightGuardError(self.stage, (*faults, *starved), starved=not faults, callbacks=callbacks)

    def _closed_gate(self, name: str) -> str | None:
        """Find a parameter of the same part, or of the head, that is all zero and so passes no gradient on."""
        owners = (self._owner(name), HEAD)
        return next((gate for gate in sorted(self._gates) if gate != name and self._owner(gate) in owners), None)

    def _owner(self, name: str) -> str:
        if name.startswith(f"{HEAD}."):
            return HEAD
        layer = name.partition(":")[0]
        parts = self.trainable.backbone.description.parts
        return next((part.name for part in parts if part.begins_with(layer)), "")


def _may_be_gate(name: str, tensor: Tensor) -> bool:
    """Return whether zeros in a tensor would stop gradients: in a scale or a matrix they do, in a bias they do not."""
    return isinstance(tensor, nn.Parameter) and tensor.numel() > 0 and not name.endswith("bias")

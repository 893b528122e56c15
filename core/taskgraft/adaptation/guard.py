"""Proof that exactly the declared tensors moved: everything else is bit-identical after a stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from taskgraft.adaptation.trainable import HEAD, TrainableTensors
from taskgraft.errors import TaskgraftError
from taskgraft.storage.fingerprints import tensor_digest


@dataclass(eq=False)
class WeightGuardError(TaskgraftError):
    """A stage changed what it should not have, or did not train what it declared."""

    stage: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        shown = "\n  ".join(self.faults[:10])
        more = f"\n  … and {len(self.faults) - 10:,} more." if len(self.faults) > 10 else ""
        return (
            f"The stage '{self.stage}' did not train exactly what it declared:\n  {shown}{more}\n"
            "This is a fault in the strategy, the backbone or the head, not in your data."
        )


@dataclass
class WeightGuard:
    """Watches one stage.

    Attributes:
        learning: what the stage declared.
        frozen: modules that must stay in eval mode.
        before: digests of tensors, by name, as they were before anything was inserted; the others are taken now.
        zero_gradients: tensors that received no gradient, with the reason.
    """

    stage: str
    learning: TrainableTensors
    frozen: list[tuple[str, nn.Module]]
    before: Mapping[str, str] = field(default_factory=dict)
    zero_gradients: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        now = self.learning.tensors()
        self._before = {**self.before} | {name: tensor_digest(now[name]) for name in now if name not in self.before}
        self._parameters = {name: tensor for name, tensor in now.items() if isinstance(tensor, nn.Parameter)}
        self._rates = {name: group.rate for group in self.learning.groups for name in group.tensors}
        self._without = {name for name in self._rates if isinstance(now[name], nn.Parameter)}
        self._gates = {name for name, tensor in now.items() if _may_be_a_gate(name, tensor) and not bool(tensor.any())}
        self._blamed: set[str] = set()
        self._awake: set[str] = set()
        self._passes = 0

    def state(self) -> dict[str, Any]:
        """Give what was seen so far, as plain JSON, so that a run that was killed can go on."""
        return {
            "before": {name: mark for name, mark in self._before.items() if name in self.learning.declared},
            "without": sorted(self._without),
            "gates": sorted(self._gates),
            "blamed": sorted(self._blamed),
            "awake": sorted(self._awake),
            "excused": self.zero_gradients,
            "passes": self._passes,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on with what :meth:`state` gave. What does not learn is compared with its present bytes."""
        self._before |= state["before"]
        self._without, self._gates = set(state["without"]), set(state["gates"])
        self._blamed, self._awake = set(state["blamed"]), set(state["awake"])
        self.zero_gradients, self._passes = dict(state["excused"]), state["passes"]

    def after_backward(self) -> None:
        """Note which declared tensors received a gradient that is not all zero."""
        self._passes += 1
        if not self._without:
            return
        now = self.learning.tensors()
        self._gates = {name for name in self._gates if name in now and not bool(now[name].any())}
        for name in list(self._without):
            gradient = now[name].grad if name in now else None
            if gradient is not None and bool(gradient.any()):
                self._without.discard(name)
            elif self._gate(name) is None:
                self._blamed.add(name)
            else:
                self.zero_gradients[name] = f"behind {self._gate(name)}, which was zero"

    def after_step(self) -> None:
        """Note modules that left eval mode."""
        self._awake |= {name for name, module in self.frozen if module.training}

    def finish(self, *, solved: bool = False) -> None:
        """Compare with the start.

        Args:
            solved: whether a solver found the head, so that there were no gradients to watch.

        Raises:
            WeightGuardError: listing every fault.
        """
        now = self.learning.tensors()
        faults = [f"the module {name} does not learn, but ran in training mode" for name in sorted(self._awake)]
        faults += [f"the tensor {name} is gone" for name in self._before if name not in now]
        faults += [f"the tensor {name} was not there before" for name in now if name not in self._before]
        declared = self.learning.declared
        replaced = {name for name, tensor in self._parameters.items() if now.get(name, tensor) is not tensor}
        faults += [f"the tensor {name} learns, but was replaced by another" for name in sorted(replaced & declared)]
        changed = {name for name, mark in self._before.items() if name in now and tensor_digest(now[name]) != mark}
        faults += [f"the tensor {name} does not learn, but changed" for name in sorted(changed - declared)]
        faults += [
            f"the tensor {name} is not finite" for name in sorted(declared & now.keys()) if not _finite(now[name])
        ]
        if not solved:
            faults += self._gradient_faults()
        for group in self.learning.groups:
            if group.rate > 0 and self._passes + solved > 0 and not changed.intersection(group.tensors):
                faults.append(
                    f"the group '{group.name}' learns at rate {group.rate:g}, but none of its tensors changed"
                )
        self.zero_gradients = {
            name: why for name, why in self.zero_gradients.items() if name in self._without - self._blamed
        }
        if faults:
            raise WeightGuardError(self.stage, tuple(faults))

    def _gradient_faults(self) -> list[str]:
        return [
            f"the tensor {name} learns, but never received a gradient" for name in sorted(self._without & self._blamed)
        ]

    def _gate(self, name: str) -> str | None:
        """Find a tensor of the same part, or of the head, that is all zero and so lets no gradient through."""
        places = (self._place(name), HEAD)
        return next((gate for gate in sorted(self._gates) if gate != name and self._place(gate) in places), None)

    def _place(self, name: str) -> str:
        if name.startswith(f"{HEAD}."):
            return HEAD
        layer = name.partition(":")[0]
        parts = self.learning.backbone.description.parts
        return next((part.name for part in parts if part.begins_with(layer)), "")


def _may_be_a_gate(name: str, tensor: Tensor) -> bool:
    """A zero bias lets gradients through; a zero scale or matrix does not."""
    return isinstance(tensor, nn.Parameter) and tensor.numel() > 0 and not name.endswith("bias")


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())

"""The optimizer: AdamW, its parameters grouped by learning rate and weight decay."""

from torch import Tensor, nn
from torch.optim import AdamW

from taskgraft.adaptation.trainable import TrainableTensors
from taskgraft.recipe import TrainingConfig

_ADAMW_EPSILON = 1e-6
"""As BERT was trained with. It must be large compared with a gradient that is zero but for rounding (that of the bias of the
keys, which a softmax ignores), or the step follows the rounding, which differs with the number of processes."""


def make_optimizer(trainable: TrainableTensors, settings: TrainingConfig, device: str) -> AdamW:
    """Make the optimizer of a stage, fused where the device type supports that."""
    groups = parameter_groups(trainable, settings)
    return AdamW(groups, eps=_ADAMW_EPSILON, fused=device in ("cpu", "cuda"))


def parameter_groups(trainable: TrainableTensors, settings: TrainingConfig) -> list[dict[str, object]]:
    """Group parameters by learning rate, and by weight decay: matrices decay, biases and norms do not."""
    tensors = trainable.tensors()
    groups: list[dict[str, object]] = []
    for group in trainable.groups:
        by_options: dict[tuple[float, bool], list[Tensor]] = {}
        for name in group.tensors:
            if isinstance(tensors[name], nn.Parameter):
                is_matrix = tensors[name].dim() > 1 and not name.endswith("bias")
                by_options.setdefault((group.factors.get(name, 1.0), is_matrix), []).append(tensors[name])
        for (factor, is_matrix), parameters in sorted(by_options.items(), key=lambda item: item[0], reverse=True):
            decay = settings.weight_decay if is_matrix else 0.0
            groups.append({"params": parameters, "lr": group.learning_rate * factor, "weight_decay": decay})
    return groups

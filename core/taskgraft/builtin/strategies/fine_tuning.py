"""Fine-tuning: train the whole backbone, its last parts or its biases, in one stage."""

from typing import ClassVar

from pydantic import Field

from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, HeadDescription, Part
from taskgraft.contract.plan import Plan, Stage, Unfreeze
from taskgraft.contract.strategy import Strategy, StrategyNotApplicable

_BIASES = frozenset({"bias", "in_proj_bias"})
"""Names of the biases in torch's layers; the second is that of ``nn.MultiheadAttention``."""


class FullConfig(Config):
    """Train the whole backbone and the head."""

    learning_rate: float = Field(default=5e-5, ge=0, description="peak rate of the backbone, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Full(Strategy):
    """Train all parts in one stage."""

    def __init__(self, config: FullConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        unfreeze = Unfreeze(tuple(part.name for part in backbone.parts), self._config.learning_rate)
        return (Stage("full", (unfreeze,), head_learning_rate=self._config.head_learning_rate),)


class PartialConfig(Config):
    """Train the last parts of the backbone and the head; freeze the rest."""

    positional: ClassVar[str | None] = "learn"

    learn: int = Field(ge=1, description="number of parts that are trained, counted from the output")
    learning_rate: float = Field(default=3e-4, ge=0, description="peak rate of the trained parts, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class Partial(Strategy):
    """Train the last parts in one stage."""

    def __init__(self, config: PartialConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config = self._config
        names = tuple(part.name for part in last_parts("partial", "learn", config.learn, backbone))
        unfreeze = Unfreeze(names, config.learning_rate)
        return (Stage("partial", (unfreeze,), head_learning_rate=config.head_learning_rate, cache_features=True),)


class LayerDecayConfig(Config):
    """Train the whole backbone, with rates that fall from output to input, and the head."""

    positional: ClassVar[str | None] = "layer_decay"

    layer_decay: float = Field(
        default=0.8,  # ELECTRA-Base (Clark et al., 2020, arXiv:2003.10555); vision transformers take 0.65 to 0.75
        gt=0,
        le=1,
        description="learning rate of a part, as a multiple of that of the part after it",
    )
    learning_rate: float = Field(default=1e-4, ge=0, description="peak rate of the last part, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class LayerDecay(Strategy):
    """Train all parts in one stage, each with a lower rate than the part after it. Other strategies have this as a setting."""

    def __init__(self, config: LayerDecayConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        unfreeze = Unfreeze(tuple(part.name for part in backbone.parts), self._config.learning_rate)
        decay, head_rate = self._config.layer_decay, self._config.head_learning_rate
        return (Stage("layer-decay", (unfreeze,), layer_decay=decay, head_learning_rate=head_rate),)


class BitFitConfig(Config):
    """Train the biases of the backbone and the head; freeze the rest."""

    norms: bool = Field(default=False, description="whether the scales of norms are trained too")
    learning_rate: float = Field(default=1e-3, ge=0, description="peak rate of the biases, per step")
    head_learning_rate: float = Field(default=3e-3, ge=0, description="peak rate of the head, per step")


class BitFit(Strategy):
    """Train the biases of all parts in one stage (Ben Zaken, Ravfogel and Goldberg, 2022, arXiv:2106.10199)."""

    def __init__(self, config: BitFitConfig):
        self._config = config

    def plan(self, backbone: BackboneDescription, head: HeadDescription) -> Plan:
        config, names = self._config, tuple(part.name for part in backbone.parts)
        unfreeze = Unfreeze(names, config.learning_rate, tensors=_BIASES, norms=config.norms)
        return (Stage("bitfit", (unfreeze,), head_learning_rate=config.head_learning_rate),)


def last_parts(strategy: str, setting: str, count: int | None, backbone: BackboneDescription) -> tuple[Part, ...]:
    """Select the last parts of a backbone; all when the count is None.

    Args:
        strategy: its name, for the message.
        setting: the name of the setting with the count, for the message.

    Raises:
        StrategyNotApplicable: when the backbone has fewer parts.
    """
    names = [part.name for part in backbone.parts]
    if count is not None and count > len(names):
        raise StrategyNotApplicable(
            f"'{strategy}' has {setting} = {count}, but the backbone has only {len(names)} parts: {', '.join(names)}. "
            f"Choose {setting} = {len(names)} or less."
        )
    return backbone.parts[-(count or len(names)) :]

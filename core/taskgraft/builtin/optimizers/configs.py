"""Settings of the optimizers of torch.optim, under the names that they have there; no torch is imported here.

The learning rates come from the strategy, and the weight decay from the training settings.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from taskgraft.contract.config import Config

_EPS = "added to the denominator, for numerical stability"
_Decay = Annotated[float, Field(ge=0, lt=1)]


class _MomentsConfig(Config):
    betas: tuple[_Decay, _Decay] = Field(
        default=(0.9, 0.999), description="decay rates, per step, of the means of the gradient and of its square"
    )
    eps: float = Field(default=1e-8, gt=0, description=_EPS)


class AdamConfig(_MomentsConfig):
    """Adam (Kingma and Ba 2015). Weight decay is added to the gradient."""

    amsgrad: bool = Field(default=False, description="divide by the maximum of the squared mean so far")


class AdamWConfig(AdamConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    eps: float = Field(
        default=1e-6,
        gt=0,
        description=_EPS
        + "; as for BERT, large beside gradients that are zero but for rounding, which a step must not follow",
    )


class SGDConfig(Config):
    """Stochastic gradient descent. Weight decay is added to the gradient. It needs far larger rates than AdamW."""

    positional: ClassVar[str | None] = "momentum"

    momentum: float = Field(default=0.0, ge=0, lt=1, description="share of the step before that is added to each step")
    dampening: float = Field(default=0.0, ge=0, le=1, description="share of the gradient left out of the momentum")
    nesterov: bool = Field(default=False, description="look ahead along the momentum; needs momentum, and no dampening")

    @model_validator(mode="after")
    def _check_nesterov(self) -> "SGDConfig":
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise ValueError("nesterov needs momentum above 0 and dampening = 0")
        return self


class RMSpropConfig(Config):
    """RMSprop (Hinton 2012)."""

    alpha: float = Field(
        default=0.99, ge=0, lt=1, description="decay rate, per step, of the mean of the squared gradient"
    )
    eps: float = Field(default=1e-8, gt=0, description=_EPS)
    momentum: float = Field(default=0.0, ge=0, lt=1, description="share of the step before that is added to each step")
    centered: bool = Field(default=False, description="divide by the variance of the gradient instead of its square")


class AdagradConfig(Config):
    """Adagrad (Duchi, Hazan and Singer 2011)."""

    lr_decay: float = Field(default=0.0, ge=0, description="the rate is divided by 1 + this x the number of steps")
    initial_accumulator_value: float = Field(default=0.0, ge=0, description="of the sum of squared gradients")
    eps: float = Field(default=1e-10, gt=0, description=_EPS)


class AdadeltaConfig(Config):
    """Adadelta (Zeiler 2012)."""

    rho: float = Field(default=0.9, ge=0, le=1, description="decay rate, per step, of the mean of the squared gradient")
    eps: float = Field(default=1e-6, gt=0, description=_EPS)


class AdamaxConfig(_MomentsConfig):
    """Adam with the infinity norm (Kingma and Ba 2015, section 7)."""


class NAdamConfig(_MomentsConfig):
    """Adam with Nesterov momentum (Dozat 2016)."""

    momentum_decay: float = Field(default=4e-3, ge=0, description="how the momentum rises over the steps")
    decoupled_weight_decay: bool = Field(default=False, description="decay the weights as AdamW does")


class RAdamConfig(_MomentsConfig):
    """Rectified Adam (Liu et al. 2020)."""

    decoupled_weight_decay: bool = Field(default=False, description="decay the weights as AdamW does")


class ASGDConfig(Config):
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992). The average itself is not used: see 'average'."""

    lambd: float = Field(default=1e-4, ge=0, description="decay term")
    alpha: float = Field(default=0.75, ge=0, description="power by which the rate falls")
    t0: float = Field(default=1e6, ge=0, description="step at which averaging starts")


class RpropConfig(Config):
    """Resilient backpropagation (Riedmiller and Braun 1993), for batches of all rows. It has no weight decay."""

    etas: tuple[float, float] = Field(
        default=(0.5, 1.2), description="factors of a step whose sign changed, and did not"
    )
    step_sizes: tuple[float, float] = Field(default=(1e-6, 50.0), description="smallest and largest step")


class AdafactorConfig(Config):
    """Adafactor (Shazeer and Stern 2018): a row and a column of squared means per matrix, so little memory."""

    beta2_decay: float = Field(default=-0.8, le=0, description="power of the step by which the squared mean is updated")
    eps: tuple[float | None, float] = Field(
        default=(None, 1e-3),
        description="added to the squared gradient (null: by dtype), and the least scale of weights",
    )
    d: float = Field(default=1.0, ge=1, description="clipping threshold of an update")


class MuonConfig(Config):
    """Muon (Jordan et al. 2024): orthogonalized momentum. It trains matrices alone: no biases, norms or convolutions."""

    momentum: float = Field(default=0.95, ge=0, lt=1, description="decay rate of the momentum, per step")
    nesterov: bool = Field(default=True, description="look ahead along the momentum")
    ns_steps: int = Field(default=5, ge=1, lt=100, description="steps of the Newton-Schulz iteration")
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = Field(
        default=None, description="scale of the rate by the shape of a matrix; match_rms_adamw takes rates of AdamW"
    )

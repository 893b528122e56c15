"""Settings of augmentation: which policies vary the training images, known without any library of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from taskgraft.plugin import Config, Layout, closest_match, join_words

Positive = Annotated[float, Field(gt=0)]
Span = tuple[Positive, Positive]


class Light(Config):
    """Read a random rectangle of each image, perhaps mirrored."""

    name: Literal["light"] = "light"
    scale: Span = Field(
        default=(0.6, 1.0), description="share of the image's area that the rectangle has, at least and most"
    )
    ratio: Span = Field(
        default=(3 / 4, 4 / 3), description="width to height of the rectangle, as a multiple of what the model reads"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image; 0 for digits and text")

    @field_validator("scale", "ratio")
    @classmethod
    def _ordered(cls, value: Span) -> Span:
        if value[0] > value[1]:
            raise ValueError("the smaller number should stand first")
        return value

    @field_validator("scale")
    @classmethod
    def _inside(cls, value: Span) -> Span:
        if value[1] > 1:
            raise ValueError("a rectangle of the image has no more than 1 of its area")
        return value


class RandAugment(Config):
    """Apply random changes of colour, contrast, sharpness and position (Cubuk et al. 2020), by timm."""

    name: Literal["rand-augment"] = "rand-augment"
    magnitude: int = Field(default=9, ge=0, le=10, description="strength of the changes; 0 is the weakest")
    layers: int = Field(default=2, ge=1, le=10, description="changes per image; each is left out half of the time")
    deviation: float = Field(default=0.5, ge=0, le=10, description="standard deviation of the strength")


class MixUp(Config):
    """Blend each image, and its target, with another one of the batch (Zhang et al. 2018)."""

    name: Literal["mix-up"] = "mix-up"
    alpha: float = Field(default=0.2, gt=0, description="the share of the image is drawn from Beta(alpha, alpha)")


class CutMix(Config):
    """Put a rectangle of another image of the batch into each, and mix targets by area (Yun et al. 2019)."""

    name: Literal["cut-mix"] = "cut-mix"
    alpha: float = Field(default=1.0, gt=0, description="the area that remains is drawn from Beta(alpha, alpha)")


Policy = Annotated[Light | RandAugment | MixUp | CutMix, Field(discriminator="name")]
NAMES = ("light", "rand-augment", "mix-up", "cut-mix")


EVERYWHERE = frozenset({Layout.SEQUENCE, Layout.PAIR, Layout.GRID, Layout.PYRAMID})
"""The layouts with positions."""


@dataclass(frozen=True)
class PolicyList:
    """Policies, each at most once."""

    root: tuple[Policy, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with each other, and their targets with them."""
        return self.mix_up is not None or self.cut_mix is not None

    @property
    def displaces(self) -> frozenset[Layout]:
        """The layouts in which a target per position no longer fits.

        What ``light`` moves, a grid's place tells; a sequence has none. What ``rand-augment`` moves, nothing tells.
        """
        if self.rand_augment is not None:
            return EVERYWHERE
        return frozenset() if self.light is None else frozenset({Layout.SEQUENCE, Layout.PAIR})

    @property
    def light(self) -> Light | None:
        """The policy of that name, or None."""
        return next((policy for policy in self.root if isinstance(policy, Light)), None)

    @property
    def rand_augment(self) -> RandAugment | None:
        """The policy of that name, or None."""
        return next((policy for policy in self.root if isinstance(policy, RandAugment)), None)

    @property
    def mix_up(self) -> MixUp | None:
        """The policy of that name, or None."""
        return next((policy for policy in self.root if isinstance(policy, MixUp)), None)

    @property
    def cut_mix(self) -> CutMix | None:
        """The policy of that name, or None."""
        return next((policy for policy in self.root if isinstance(policy, CutMix)), None)


def _spelled_out(value: Any) -> Any:
    """Write a name as the policy of that name, and a policy alone as a list of one."""
    some = [value] if isinstance(value, str | Mapping | Config) else value
    if not isinstance(some, list | tuple) or not all(isinstance(one, str | Mapping | Config) for one in some):
        raise ValueError("input should be a policy's name, a dict with its name, or a list of these")
    return tuple(one if isinstance(one, Config) else _named(one) for one in some)


def _once(value: tuple[Policy, ...]) -> tuple[Policy, ...]:
    names: list[str] = [policy.name for policy in value]
    if twice := [name for name in NAMES if names.count(name) > 1]:
        raise ValueError(f"{' and '.join(map(repr, twice))} should stand there once")
    return value


Policies = Annotated[tuple[Policy, ...], BeforeValidator(_spelled_out), AfterValidator(_once)]
"""The type of a setting: ``"light"``, ``["rand-augment", "mix-up"]``, ``{"name": "light", "flip": 0}``."""


def _named(policy: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a policy as settings with its name among them."""
    settings = {"name": policy} if isinstance(policy, str) else policy
    if "name" not in settings:
        raise ValueError(f"a policy has a name. Policies: {join_words(NAMES)}")
    if settings["name"] not in NAMES:
        near = closest_match(settings["name"], NAMES)
        meant = f" Did you mean '{near}'?" if near else ""
        raise ValueError(f"there is no policy '{settings['name']}'.{meant} Policies: {join_words(NAMES)}")
    return settings

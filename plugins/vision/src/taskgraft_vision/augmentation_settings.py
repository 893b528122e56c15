"""Settings of augmentation policies for training images; importing them imports no image library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from taskgraft.plugin import Config, Layout, closest_match, join_words

Positive = Annotated[float, Field(gt=0)]
Range = tuple[Positive, Positive]


class Light(Config):
    """Random crop and horizontal flip."""

    name: Literal["light"] = "light"
    scale: Range = Field(
        default=(0.6, 1.0), description="smallest and largest area of the crop, as a share of the image"
    )
    ratio: Range = Field(
        default=(3 / 4, 4 / 3),
        description="smallest and largest aspect ratio of the crop, relative to the model's input",
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip; 0 for digits and text")

    @field_validator("scale", "ratio")
    @classmethod
    def _check_order(cls, value: Range) -> Range:
        if value[0] > value[1]:
            raise ValueError("the smaller number must come first")
        return value

    @field_validator("scale")
    @classmethod
    def _check_at_most_one(cls, value: Range) -> Range:
        if value[1] > 1:
            raise ValueError("a crop cannot be larger than the image, so at most 1")
        return value


class RandAugment(Config):
    """Random changes of colour, contrast, sharpness and position (Cubuk et al. 2020), from timm."""

    name: Literal["rand-augment"] = "rand-augment"
    magnitude: int = Field(default=9, ge=0, le=10, description="strength of the operations; 0 is the weakest")
    layers: int = Field(
        default=2, ge=1, le=10, description="operations per image; each is applied with probability 0.5"
    )
    deviation: float = Field(default=0.5, ge=0, le=10, description="standard deviation of the strength")


class MixUp(Config):
    """Blend each image, and its target, with another one of the batch (Zhang et al. 2018)."""

    name: Literal["mix-up"] = "mix-up"
    alpha: float = Field(default=0.2, gt=0, description="the share of the image is sampled from Beta(alpha, alpha)")


class CutMix(Config):
    """Paste a rectangle of another image of the batch into each, and mix targets by area (Yun et al. 2019)."""

    name: Literal["cut-mix"] = "cut-mix"
    alpha: float = Field(
        default=1.0, gt=0, description="the share of area that remains is sampled from Beta(alpha, alpha)"
    )


Policy = Annotated[Light | RandAugment | MixUp | CutMix, Field(discriminator="name")]
POLICY_NAMES = ("light", "rand-augment", "mix-up", "cut-mix")


POSITION_LAYOUTS = frozenset({Layout.SEQUENCE, Layout.PAIR, Layout.GRID, Layout.PYRAMID})
"""The layouts with positions."""


@dataclass(frozen=True)
class PolicyList:
    """Policies, each at most once."""

    root: tuple[Policy, ...] = ()

    @property
    def mixes_examples(self) -> bool:
        """Whether images, and their targets, are mixed with each other."""
        return self.mix_up is not None or self.cut_mix is not None

    @property
    def moves_positions_in(self) -> frozenset[Layout]:
        """The layouts in which a target per position would no longer match.

        The geometry of a grid records what ``light`` moves; a sequence has none. Nothing records what ``rand-augment`` moves.
        """
        if self.rand_augment is not None:
            return POSITION_LAYOUTS
        return frozenset() if self.light is None else frozenset({Layout.SEQUENCE, Layout.PAIR})

    @property
    def light(self) -> Light | None:
        """The policy of this name, or None."""
        return next((policy for policy in self.root if isinstance(policy, Light)), None)

    @property
    def rand_augment(self) -> RandAugment | None:
        """The policy of this name, or None."""
        return next((policy for policy in self.root if isinstance(policy, RandAugment)), None)

    @property
    def mix_up(self) -> MixUp | None:
        """The policy of this name, or None."""
        return next((policy for policy in self.root if isinstance(policy, MixUp)), None)

    @property
    def cut_mix(self) -> CutMix | None:
        """The policy of this name, or None."""
        return next((policy for policy in self.root if isinstance(policy, CutMix)), None)


def _normalize(value: Any) -> Any:
    """Normalize names and dicts to policies, and a single policy to a list."""
    policies = [value] if isinstance(value, str | Mapping | Config) else value
    if not isinstance(policies, list | tuple) or not all(
        isinstance(policy, str | Mapping | Config) for policy in policies
    ):
        raise ValueError("input should be a policy's name, a dict with its name, or a list of these")
    return tuple(policy if isinstance(policy, Config) else _with_name(policy) for policy in policies)


def _check_unique(value: tuple[Policy, ...]) -> tuple[Policy, ...]:
    names: list[str] = [policy.name for policy in value]
    if repeated := [name for name in POLICY_NAMES if names.count(name) > 1]:
        raise ValueError(f"{' and '.join(map(repr, repeated))} can be listed only once")
    return value


Policies = Annotated[tuple[Policy, ...], BeforeValidator(_normalize), AfterValidator(_check_unique)]
"""The type of a setting: ``"light"``, ``["rand-augment", "mix-up"]``, ``{"name": "light", "flip": 0}``."""


def _with_name(policy: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a policy's settings, including its name."""
    settings = {"name": policy} if isinstance(policy, str) else policy
    if "name" not in settings:
        raise ValueError(f"a policy needs a name. Policies: {join_words(POLICY_NAMES)}")
    if settings["name"] not in POLICY_NAMES:
        suggestion = closest_match(settings["name"], POLICY_NAMES)
        hint = f" Did you mean '{suggestion}'?" if suggestion else ""
        raise ValueError(f"there is no policy '{settings['name']}'.{hint} Policies: {join_words(POLICY_NAMES)}")
    return settings

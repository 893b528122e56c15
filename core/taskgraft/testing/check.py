"""What a broken law says, and what several checks share: examples to try, and the distance between features."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace

import torch
from torch import Tensor

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.features import Features
from taskgraft.engine.feature_checks import TOLERANCE, max_relative_difference
from taskgraft.errors import TaskgraftError

LONGER = 3
"""Positions of padding that checks add."""


@dataclass(eq=False)
class ContractViolation(TaskgraftError):
    """An implementation does not keep a promise of its contract.

    Attributes:
        who: the class or name of the implementation.
        law: the promise, as a sentence without a full stop.
        found: what was seen, as a sentence without a full stop.
        advice: what to do.
    """

    who: str
    law: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.who} breaks the law '{self.law}':\n{self.found}.\n{self.advice}"


@dataclass(eq=False)
class InsufficientExamples(TaskgraftError):
    """Examples of a test with which a check could not see anything."""

    who: str
    problem: str

    def __str__(self) -> str:
        return f"The examples given for {self.who} prove nothing: {self.problem}."


@dataclass(frozen=True)
class Check:
    """One promise of one implementation, about to be checked."""

    who: str
    law: str
    advice: str

    def broken(self, found: str, advice: str | None = None) -> ContractViolation:
        """Make the error that says it is broken."""
        return ContractViolation(self.who, self.law, found, advice or self.advice)

    @contextmanager
    def runs(self, doing: str) -> Iterator[None]:
        """Turn whatever an implementation raises into a broken law.

        Args:
            doing: what was tried ("a batch of one row").
        """
        try:
            yield
        except (TaskgraftError, AssertionError):
            raise
        except Exception as error:
            said = " ".join(str(error).partition("For further information visit")[0].split())[:300].rstrip(".")
            raise self.broken(f"{doing} raises {type(error).__name__}: {said}") from error


def law_of(thing: object, law: str, advice: str) -> Check:
    """State a law for an object; messages call it by its class."""
    return Check(type(thing).__name__, law, advice)


def describe_error(error: Exception) -> str:
    """Give the sentence of an error of the kit; of anything else, whatever a stranger's code raised, also its class."""
    if isinstance(error, TaskgraftError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@dataclass(frozen=True)
class BackboneUnderTest:
    """A backbone in eval mode with prepared examples."""

    backbone: Backbone
    batch: Batch

    @property
    def description(self) -> BackboneDescription:
        """What the backbone says it is."""
        return self.backbone.description

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The layouts that the backbone emits."""
        return tuple(feature.layout for feature in self.description.features)

    @property
    def longer(self) -> dict[str, int]:
        """More positions along each padded axis than any example needs."""
        return {axis: int(length.max()) + LONGER for axis, length in self.batch.lengths.items()}

    def features(self, layout: Layout, batch: Batch | None = None) -> Features:
        """Compute features without gradients."""
        with torch.no_grad():
            return self.backbone(self.batch if batch is None else batch, layout)  # type: ignore[no-any-return]


def trial(backbone: Backbone, inputs: Columns) -> BackboneUnderTest:
    """Prepare examples, after making sure that they can show something.

    Raises:
        InsufficientExamples: with fewer than three rows, a refused row, or padded examples that are all of one length.
    """
    who = type(backbone).__name__
    prepared = backbone.processor.prepare(inputs)
    if len(prepared.batch) < 3:
        raise InsufficientExamples(who, f"there are {len(prepared.batch)} rows; give three or more")
    if prepared.invalid:
        row, reason = next(iter(prepared.invalid.items()))
        raise InsufficientExamples(who, f"its processor refuses row {row} ({reason}); give rows that can be used")
    for axis, length in prepared.batch.lengths.items():
        if len(set(length.tolist())) == 1:
            raise InsufficientExamples(
                who, f"all have {int(length[0])} positions along '{axis}'; give different lengths"
            )
    return BackboneUnderTest(backbone.eval(), prepared.batch)


def differing(said: object, made: object, path: str = "") -> tuple[str, object, object] | None:
    """Find the first place where two descriptions differ: ``features[0].strides``, and what each has there."""
    if said == made:
        return None
    pairs: list[tuple[str, object, object]] = []
    if is_dataclass(said) and type(said) is type(made):
        names = [field.name for field in fields(said)]
        pairs = [(f"{path}.{name}".lstrip("."), getattr(said, name), getattr(made, name)) for name in names]
    elif isinstance(said, tuple) and isinstance(made, tuple) and len(said) == len(made):
        pairs = [(f"{path}[{place}]", *both) for place, both in enumerate(zip(said, made, strict=True))]
    found = (differing(one, other, inside) for inside, one, other in pairs)
    return next((place for place in found if place), (path or "description", said, made))


def distance(first: Features, second: Features) -> float:
    """The largest difference over real elements, relative to the largest value of the first."""
    largest = max((float(value.abs().max()) for value in first.values if value.numel()), default=0.0) or 1.0
    return max_relative_difference(_scaled(first, largest), _scaled(second, largest))


def alike(first: Features, second: Features) -> bool:
    """Say whether two ways of computing features agree within the tolerance of their dtype."""
    return distance(first, second) <= TOLERANCE[first.value.dtype]


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Say whether two tensors are equal bit for bit, NaN included."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    one, other = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second))
    return torch.equal(one, other)


def same_values(first: Features, second: Features) -> bool:
    """Say whether features are equal bit for bit."""
    return len(first.values) == len(second.values) and all(map(same_bits, first.values, second.values))


def _scaled(features: Features, largest: float) -> Features:
    return replace(features, values=tuple(value / largest for value in features.values))

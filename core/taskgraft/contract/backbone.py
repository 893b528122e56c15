"""The backbone contract: what is pretrained, what it reads and emits, and how it is taken apart."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.descriptions import BackboneDescription, Layout, Part
from taskgraft.contract.features import Features
from taskgraft.contract.masking import ElementSchema
from taskgraft.errors import TaskgraftError


@dataclass(frozen=True)
class ProcessedBatch:
    """Raw examples made into model inputs.

    Attributes:
        batch: one row per raw example, also for a refused one.
        invalid: row → why it cannot be used ("the text is empty").
        notes: what happened to how many rows ("cut to 256 pieces" → 12).
        elements: how many elements each raw example has, before anything was cut off, where the user's input decides it.
    """

    batch: Batch
    invalid: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    elements: Sequence[int] | None = None


@dataclass(frozen=True)
class AugmentedBatch:
    """Training examples, varied at random and made into model inputs.

    Attributes:
        batch: as in :class:`ProcessedBatch`.
        partners: ``(batch,)`` int64, the row of this batch that each row was mixed with; None when nothing is mixed.
        shares: ``(batch,)`` float32, from 0 to 1, how much of each row's target is its own; None alike.
        invalid: row → why it cannot be used, as in :class:`ProcessedBatch`.
    """

    batch: Batch
    partners: Tensor | None = None
    shares: Tensor | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)


class Processor(ABC):
    """Raw examples → model inputs. Is sent to loader workers, so it holds no module and no open file.

    Attributes:
        cacheable: whether prepared examples that do not fit in memory are written to files of the run. If not, as is right for
            what is much larger prepared than raw, they are prepared anew, in worker processes, whenever they are needed.
    """

    cacheable: ClassVar[bool] = True

    @property
    def augments(self) -> bool:
        """Whether :meth:`augment` is to be used where a training example is computed anew in each epoch."""
        return False

    @property
    def summary(self) -> Sequence[str]:
        """Lines for whoever trains: what was learned about the inputs (what each column is taken for, and its scale)."""
        return ()

    @abstractmethod
    def prepare(self, inputs: Columns) -> ProcessedBatch:
        """Turn raw examples into model inputs.

        Args:
            inputs: input role (or column, when the backbone reads any columns) → one raw value per row.
        """

    def augment(self, inputs: Columns, seeds: Sequence[int]) -> AugmentedBatch:
        """Turn training examples into model inputs, with random variations.

        Args:
            inputs: as for :meth:`prepare`.
            seeds: one per row, from 0 to 2**32 - 1; all random choices for a row come from its seed.
        """
        made = self.prepare(inputs)
        return AugmentedBatch(made.batch, invalid=made.invalid)

    @property
    def element_schema(self) -> ElementSchema:
        """What elements hold. This and the two methods below are for a backbone whose description says ``can_mask``."""
        raise NotImplementedError(f"{type(self).__name__} cannot say what elements hold")

    def element_values(self, batch: Batch) -> Batch:
        """Say what the elements of prepared examples hold.

        Args:
            batch: as :meth:`prepare` makes it, perhaps collated anew.

        Returns:
            ``category`` ``(batch, element)`` int64, from 0, -1 where there is none to recover; and ``number`` ``(batch,
            element, number)`` float32, standardised, NaN where there is none, as many as the kind with the most has. Both
            are padded along ``element``, with as many elements as the sequence features have.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot say what elements hold")

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        """Hide elements of prepared examples, so that nothing of what they hold is left; the batch itself stays as it is.

        Args:
            batch: as for :meth:`element_values`.
            hidden: ``(batch, element)`` bool; an element may also be one that holds nothing to recover.
            seeds: as for :meth:`augment`, where something else is drawn to stand in their place.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot hide elements")

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Everything that decides what :meth:`prepare` does, as JSON. An artifact holds it and compares it on loading."""


class Backbone(nn.Module, ABC):
    """A pretrained model without its head.

    The laws, which ``taskgraft.testing`` checks:

    * The parts of the description are disjoint, and together with what is declared unused they own every parameter and
      buffer exactly once.
    * Features match the description. An example's features do not depend on its batch companions or on padding. In eval
      mode they are deterministic.
    * *Resume law.* At every cut of the description, ``forward_from_cut(cut, forward_to_cut(cut, batch, layout), layout)`` equals
      ``forward(batch, layout)``, also after the state was split into single examples, stripped of padding, and collated
      with others to another length.
    """

    @property
    @abstractmethod
    def description(self) -> BackboneDescription:
        """What this backbone is. Equal to what its spec's ``describe`` answers for the same settings."""

    @property
    @abstractmethod
    def processor(self) -> Processor:
        """What makes its inputs from raw examples."""

    @abstractmethod
    def forward(self, batch: Batch, layout: Layout) -> Features:
        """Compute features in one of the layouts of the description.

        Args:
            batch: as the processor prepares it, perhaps collated anew, on the device of the weights.
        """

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        """Compute what lies at a cut: everything that :meth:`forward_from_cut` needs for features of a layout.

        Unless the cut is 0 that is no raw input, but for the place of the features, where they have one.
        """
        _only_the_first(cut)
        return batch

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        """Compute features from what lies at a cut. Parts before it are not run."""
        _only_the_first(cut)
        return self(state, layout)  # type: ignore[no-any-return]

    def example_batch(self) -> Batch | None:
        """Give a small prepared batch on which insertions can be tried, best with two rows of different lengths.

        None leaves it to the first rows that the backbone is trained on.
        """
        return None

    def fingerprint(self) -> str | None:
        """Identify the checkpoint: its tensors that the features use, as stored, and the processor's files.

        None says that no checkpoint lies below (random initialisation); an artifact then holds the whole backbone.
        """
        return None

    def export(self, folder: Path) -> None:
        """Write the weights as they are now, and the processor's files, so that the library below loads them by itself.

        Args:
            folder: is there, and empty.

        Raises:
            ExportNotSupported: when the library has no form for it.
        """
        raise ExportNotSupported(type(self).__name__, "its library has no form of a checkpoint")


@dataclass(eq=False)
class ExportNotSupported(TaskgraftError):
    """A backbone that its own library could not load."""

    backbone: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.backbone}' cannot be exported: {self.reason}. An artifact (save) holds what was trained."


def _only_the_first(cut: int) -> None:
    if cut != 0:
        raise NotImplementedError(
            f"this backbone describes cut {cut} but does not implement forward_to_cut and forward_from_cut for it"
        )


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by dotted path, persistent or not. A shared one stands under its first path."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def owning_part(description: BackboneDescription, path: str) -> Part | None:
    """Find the part that owns the tensor at a dotted path; None when it is declared unused or nobody owns it."""
    if description.declares_unused(path):
        return None
    return next((part for part in description.parts if part.covers(path)), None)

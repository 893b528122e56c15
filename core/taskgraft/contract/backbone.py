"""The backbone contract: what is pretrained, what it reads and emits, and how it is taken apart."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from taskgraft.contract.batch import Batch
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.features import Features
from taskgraft.contract.processor import Processor
from taskgraft.errors import TaskgraftError


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

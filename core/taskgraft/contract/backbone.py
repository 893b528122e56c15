"""The backbone contract: a pretrained model, what it reads and emits, and where its computation can be cut."""

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

    * The parts of the description are disjoint; together with the paths declared unused they own every parameter and buffer
      exactly once.
    * Features match the description. An example's features depend neither on the other examples of its batch nor on padding.
      In eval mode they are deterministic.
    * *Cut law.* At every cut of the description, ``forward_from_cut(cut, forward_to_cut(cut, batch, layout), layout)`` equals
      ``forward(batch, layout)``, also after the state was split into single examples, stripped of padding, and collated with
      others to another length.
    """

    @property
    @abstractmethod
    def description(self) -> BackboneDescription:
        """The description of this backbone, equal to what its spec's ``describe`` returns for the same settings."""

    @property
    @abstractmethod
    def processor(self) -> Processor:
        """The processor that turns raw examples into this backbone's inputs."""

    @abstractmethod
    def forward(self, batch: Batch, layout: Layout) -> Features:
        """Compute features in one of the layouts of the description.

        Args:
            batch: processed examples, perhaps collated again, on the device of the weights.
        """

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        """Compute the state at a cut: everything that :meth:`forward_from_cut` needs for features of a layout.

        Except at cut 0 it contains no raw input, but for the geometry of the features where they have one.
        """
        _check_first_cut(cut)
        return batch

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        """Compute features from the state at a cut, without running the parts before it."""
        _check_first_cut(cut)
        return self(state, layout)  # type: ignore[no-any-return]

    def example_batch(self) -> Batch | None:
        """Return a small processed batch to try insertions on, ideally two rows of different lengths.

        With None, the first training rows are used.
        """
        return None

    def fingerprint(self) -> str | None:
        """Return a digest of the checkpoint's tensors that the features use, and of the processor's files.

        None means that there is no checkpoint (random initialization); an artifact then contains the whole backbone.
        """
        return None

    def export(self, folder: Path) -> None:
        """Write the current weights and the processor's files in the format of the underlying library.

        Args:
            folder: exists, and is empty.

        Raises:
            ExportNotSupported: when the library has no format for them.
        """
        raise ExportNotSupported(type(self).__name__, "its library has no checkpoint format for it")


@dataclass(eq=False)
class ExportNotSupported(TaskgraftError):
    """A backbone that cannot be written in the format of its own library."""

    backbone: str
    reason: str

    def __str__(self) -> str:
        return f"'{self.backbone}' cannot be exported: {self.reason}. To store what was trained, save an artifact."


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers by dotted path, persistent or not; a shared one under its first path only."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def _check_first_cut(cut: int) -> None:
    if cut != 0:
        raise NotImplementedError(
            f"this backbone describes cut {cut} but does not implement forward_to_cut and forward_from_cut for it"
        )

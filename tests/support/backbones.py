"""Four small, different backbones with random weights from a seed and no zero gates, which the tests of the core train."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import small_plugin
import torch
from safetensors.torch import save_file
from small_plugin import PAIRS_SIZE, TABLE_SIZE, WORDS_SIZE, PairsConfig, PicturesConfig, TableConfig, WordsConfig
from torch import Tensor, nn

from taskgraft.contract.backbone import Backbone
from taskgraft.contract.batch import Batch
from taskgraft.contract.columns import Columns
from taskgraft.contract.config import Config
from taskgraft.contract.descriptions import BackboneDescription, Layout
from taskgraft.contract.features import ELEMENT_AXIS, Features
from taskgraft.contract.masking import CATEGORY, NUMBER, ElementKind, ElementSchema
from taskgraft.contract.processor import ProcessedBatch, Processor
from taskgraft.contract.specs import BackboneSpec
from taskgraft.testing import AttentionBlock, SampleProcessor

VOCABULARY = 64
HEADS = 2


def draw(module: nn.Module, seed: int) -> None:
    """Initialize all weights from a seed: scales and variances in (0.5, 1.5), no tensor of zeros."""
    generator = torch.Generator().manual_seed(seed)
    buffers = {name: buffer for name, buffer in module.named_buffers() if "running_" in name}
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *buffers.items()]:
            own = name.rpartition(".")[2]
            if (own in ("weight", "scale", "running_var") and tensor.dim() == 1) or own == "scale":
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.dim() == 1:
                tensor.normal_(std=0.2, generator=generator)
            elif isinstance(module.get_submodule(name.rpartition(".")[0]), nn.Embedding):
                tensor.normal_(generator=generator)
            else:
                tensor.normal_(std=1 / math.sqrt(tensor[0].numel()), generator=generator)


class WordsProcessor(SampleProcessor):
    """The kit's sample processor with more words. A masked word is 0; words have no names, since several share a number."""

    def __init__(self):
        super().__init__(VOCABULARY)

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="word", categories=VOCABULARY - 1),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        words = batch["words"]
        tensors = {CATEGORY: words - 1, NUMBER: torch.zeros(*words.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), batch.lengths)

    def mask_elements(self, batch: Batch, masked: Tensor, seeds: Sequence[int]) -> Batch:
        return Batch({"words": batch["words"].masked_fill(masked, 0)}, batch.axes, batch.lengths)


class Words(Backbone):
    """An encoder over words; emits the mean of the elements, and the elements. Part 0 embeds, the others are blocks."""

    def __init__(self, config: WordsConfig | None = None):
        super().__init__()
        self.config = config or WordsConfig()
        self.embedding = nn.Embedding(VOCABULARY, WORDS_SIZE)
        self.embedding_norm = nn.LayerNorm(WORDS_SIZE)
        blocks = (AttentionBlock(WORDS_SIZE, HEADS, self.config.dropout) for _ in range(self.config.blocks))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(WORDS_SIZE)
        self.register_buffer("frequencies", torch.arange(WORDS_SIZE) * 0.1, persistent=False)
        draw(self, self.config.seed)

    @property
    def description(self) -> BackboneDescription:
        return small_plugin.describe_words(self.config)

    @property
    def processor(self) -> Processor:
        return WordsProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        hidden = self.embedded(batch)
        for block in self.blocks[: cut - 1]:
            hidden = block(hidden, batch.mask(ELEMENT_AXIS))
        return Batch({"hidden": hidden}, {"hidden": (ELEMENT_AXIS,)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        mask, lengths = state.mask(ELEMENT_AXIS), state.lengths[ELEMENT_AXIS]
        hidden = self.embedded(state) if cut == 0 else state["hidden"]
        for block in self.blocks[max(cut - 1, 0) :]:
            hidden = block(hidden, mask)
        hidden = self.norm(hidden)
        if layout == Layout.SEQUENCE:
            return Features(layout, (hidden,), lengths)
        return Features(layout, (mean(hidden, mask, lengths),))

    def export(self, folder: Path) -> None:
        save_file(self.state_dict(), folder / "words.safetensors")

    def embedded(self, batch: Batch) -> Tensor:
        words = batch["words"]
        positions = torch.arange(words.shape[1], device=words.device)[:, None] * self.frequencies
        return self.embedding_norm(self.embedding(words) + positions.sin().to(self.embedding.weight.dtype))


class PicturesProcessor(Processor):
    """Rows of numbers, or all numbers in one list → ``image`` ``(batch, 1, side, side)`` float32."""

    def __init__(self, side: int):
        self.side = side

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        images, invalid = torch.zeros(len(inputs["image"]), 1, self.side, self.side), {}
        for row, image in enumerate(inputs["image"]):
            numbers = torch.tensor(image or (), dtype=torch.float32).reshape(-1)
            if numbers.numel() == self.side**2:
                images[row, 0] = numbers.reshape(self.side, self.side)
            else:
                invalid[row] = f"the image has {numbers.numel()} numbers, not {self.side} x {self.side}"
        return ProcessedBatch(Batch({"image": images}), invalid)

    def settings(self) -> Mapping[str, Any]:
        return {"side": self.side}


class Convolved(nn.Module):
    """``(batch, 1, side, side)`` → ``(batch, 8, side, side)``, or with a stride a smaller grid."""

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, grid: Tensor) -> Tensor:
        return torch.relu(self.norm(self.convolution(grid)))


class Middle(nn.Module):
    """A depthwise and a pointwise convolution: ``(batch, 8, side, side)`` → ``(batch, 8, side / 2, side / 2)``."""

    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 3, 2, padding=1, groups=8, bias=False)
        self.pointwise = nn.Conv2d(8, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, grid: Tensor) -> Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(grid))))


class Pictures(Backbone):
    """Three convolutional parts with BatchNorm; emits a vector, the last grid, and the last two."""

    def __init__(self, config: PicturesConfig | None = None):
        super().__init__()
        self.config = config or PicturesConfig()
        self.stem = Convolved(1, 8, 1)
        self.middle = Middle()
        self.last = Convolved(8, 16, 2)
        draw(self, self.config.seed)

    @property
    def description(self) -> BackboneDescription:
        return small_plugin.describe_pictures(self.config)

    @property
    def processor(self) -> Processor:
        return PicturesProcessor(self.config.side)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        grid = self.stem(self._image(batch))
        return Batch({"grid": grid if cut == 1 else self.middle(grid)})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        grid = self.stem(self._image(state)) if cut == 0 else state["grid"]
        fine = grid if cut == 2 else self.middle(grid)
        coarse = self.last(fine)
        if layout == Layout.VECTOR:
            return Features(layout, (coarse.mean((2, 3)),))
        return Features(layout, (coarse,) if layout == Layout.GRID else (fine, coarse))

    def _image(self, batch: Batch) -> Tensor:
        return batch["image"].to(self.stem.convolution.weight.dtype)


class TableProcessor(Processor):
    """Columns of numbers, or of text that reads as numbers → ``numbers`` ``(batch, column)`` float32, standardised.

    An empty cell is 0, the mean.
    """

    def __init__(self, config: TableConfig):
        self.config = config

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        rows = len(next(iter(inputs.values())))
        numbers, invalid = torch.zeros(rows, len(self.config.columns)), {}
        for place, column in enumerate(self.config.columns):
            mean, scale = self.config.means[place], self.config.scales[place]
            for row, value in enumerate(inputs[column]):
                number = small_plugin.number_in(value)
                if number is not None:
                    numbers[row, place] = (number - mean) / scale
                elif value not in (None, ""):
                    invalid[row] = f"'{column}' is {value!r}, not a number"
        return ProcessedBatch(Batch({"numbers": numbers}), invalid)

    def settings(self) -> Mapping[str, Any]:
        return {
            "columns": list(self.config.columns),
            "means": list(self.config.means),
            "scales": list(self.config.scales),
        }


class Table(Backbone):
    """An ensemble over columns of numbers: one shared layer, with a scale and a shift per member."""

    def __init__(self, config: TableConfig):
        super().__init__()
        self.config = config
        self.columns = nn.Linear(len(config.columns), TABLE_SIZE)
        self.scale = nn.Parameter(torch.empty(config.members, TABLE_SIZE))
        self.shared = nn.Linear(TABLE_SIZE, TABLE_SIZE)
        self.shift = nn.Parameter(torch.empty(config.members, TABLE_SIZE))
        self.dropout = nn.Dropout(0.1)
        draw(self, config.seed)

    @property
    def description(self) -> BackboneDescription:
        return small_plugin.describe_table(self.config)

    @property
    def processor(self) -> Processor:
        return TableProcessor(self.config)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        return batch if cut == 0 else Batch({"hidden": self._hidden(batch)})

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        hidden = self._hidden(state) if cut == 0 else state["hidden"]
        members = self.shared(hidden[:, None, :] * self.scale) + self.shift
        return Features(layout, (self.dropout(torch.tanh(members)),))

    def _hidden(self, batch: Batch) -> Tensor:
        return torch.tanh(self.columns(batch["numbers"].to(self.columns.weight.dtype)))


class LettersProcessor(Processor):
    """A word → ``letters`` ``(batch, element)`` int64, from 1."""

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        words = [word or "" for word in inputs["letters"]]
        counts = [len(word) for word in words]
        letters = torch.zeros(len(words), max(counts), dtype=torch.int64)
        for row, word in enumerate(words):
            letters[row, : len(word)] = torch.tensor([1 + ord(letter) % (VOCABULARY - 1) for letter in word])
        invalid = {row: "there are no letters" for row, word in enumerate(words) if not word}
        batch = Batch({"letters": letters}, {"letters": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: torch.tensor(counts)})
        return ProcessedBatch(batch, invalid, elements=counts)

    def settings(self) -> Mapping[str, Any]:
        return {"vocabulary": VOCABULARY}


class Pairs(Backbone):
    """A network over pairs of letters; the state at cut 1 is padded along two axes."""

    def __init__(self, config: PairsConfig | None = None):
        super().__init__()
        self.config = config or PairsConfig()
        self.letters = nn.Embedding(VOCABULARY, PAIRS_SIZE)
        self.left = nn.Linear(PAIRS_SIZE, PAIRS_SIZE)
        self.right = nn.Linear(PAIRS_SIZE, PAIRS_SIZE)
        self.mixing_in = nn.Linear(2 * PAIRS_SIZE, PAIRS_SIZE)
        self.mixing_out = nn.Linear(PAIRS_SIZE, PAIRS_SIZE)
        draw(self, self.config.seed)

    @property
    def description(self) -> BackboneDescription:
        return small_plugin.describe_pairs(self.config)

    @property
    def processor(self) -> Processor:
        return LettersProcessor()

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        return Batch({"pair": self._pair(batch)}, {"pair": (ELEMENT_AXIS, ELEMENT_AXIS)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        mask, lengths = state.mask(ELEMENT_AXIS), state.lengths[ELEMENT_AXIS]
        pair = self._pair(state) if cut == 0 else state["pair"]
        rows = mean(pair.transpose(1, 2), mask, lengths)  # over the first element: (batch, element, feature)
        mixed = torch.cat([pair, rows[:, None].expand_as(pair)], -1)
        pair = pair + self.mixing_out(torch.tanh(self.mixing_in(mixed)))
        if layout == Layout.PAIR:
            return Features(layout, (pair,), lengths)
        return Features(layout, (mean(mean(pair, mask, lengths), mask, lengths),))

    def _pair(self, batch: Batch) -> Tensor:
        letters = self.letters(batch["letters"])
        return torch.tanh(self.left(letters)[:, :, None] + self.right(letters)[:, None, :])


def mean(values: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """Average over the last axis but one, which is padded: ``(batch, …, element, feature)`` → ``(batch, …, feature)``."""
    real = mask.view(len(mask), *[1] * (values.dim() - 3), mask.shape[1], 1)
    count = lengths.clamp(min=1).view(-1, *[1] * (values.dim() - 2))
    return torch.where(real, values, 0.0).sum(-2) / count


@dataclass(frozen=True)
class Small:
    """One of the small backbones.

    Attributes:
        inputs: six examples of different lengths, where they have one.
    """

    spec: BackboneSpec
    config: Config
    inputs: Columns
    made: Callable[[Any], Backbone]

    def build(self) -> Backbone:
        """Build it in eval mode, with the same weights each time."""
        return self.made(self.config).eval()

    def __str__(self) -> str:
        return self.spec.name


TEXTS = (
    "the card was lost in the rain",
    "where is it",
    "stop",
    "send me a new one today please",
    "my transfer has not arrived",
    "why so slow",
)
IMAGES = tuple([[math.sin(row * 7 + x + 3.1 * y * (row + 1)) for x in range(8)] for y in range(8)] for row in range(6))
COLUMNS: Mapping[str, Sequence[Any]] = {
    "amount": ["12.5", "3.25", "99.0", "", "0.5", "41"],
    "age": ["20", "31", "44", "18", "75", "52"],
    "balance": [1e3, -50.0, 0.0, 320.0, None, 7.75],
}
LETTERS = ("MKV", "ACDEFGH", "W", "PQRST", "LLKA", "YVNMKCADEF")

_SPECS = {spec.name: spec for spec in small_plugin.taskgraft_backbones()}
WORDS = Small(_SPECS["small-words"], WordsConfig(), {"text": TEXTS}, Words)
PICTURES = Small(_SPECS["small-pictures"], PicturesConfig(), {"image": IMAGES}, Pictures)
TABLE = Small(_SPECS["small-table"], small_plugin.learn_table(TableConfig(), COLUMNS), COLUMNS, Table)
PAIRS = Small(_SPECS["small-pairs"], PairsConfig(), {"letters": LETTERS}, Pairs)

SMALL = (WORDS, PICTURES, TABLE, PAIRS)
"""For ``@pytest.mark.parametrize("small", SMALL, ids=str)``."""

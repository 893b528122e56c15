"""The models: letters are embedded and mixed; a row is of a kind or not."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from letters_1_0 import LettersConfig, YesConfig, describe_letters, describe_yes
from taskgraft.plugin import (
    Backbone,
    BackboneDescription,
    Batch,
    CATEGORY,
    Columns,
    ELEMENT_AXIS,
    ElementKind,
    ElementSchema,
    FeatureDescription,
    Features,
    Head,
    HeadDescription,
    HeadModule,
    InvalidTargets,
    Layout,
    LossSum,
    NUMBER,
    Predictions,
    ProcessedBatch,
    Processor,
    TargetDescription,
)

UNKNOWN, HIDDEN, FIRST = 1, 2, 3


class LettersProcessor(Processor):
    """Text → ``letters`` ``(batch, element)`` int64, a number per letter; 0 is padding."""

    def __init__(self, letters: str):
        self._letters = letters

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        texts = [text or "" for text in inputs["text"]]
        lengths = torch.tensor([len(text) for text in texts])
        letters = torch.zeros(len(texts), max(int(lengths.max()), 1), dtype=torch.int64)
        for row, text in enumerate(texts):
            numbers = [self._letters.find(letter) for letter in text]
            letters[row, : len(text)] = torch.tensor([UNKNOWN if one < 0 else FIRST + one for one in numbers])
        refused = {row: "the text is empty" for row, text in enumerate(texts) if not text}
        batch = Batch({"letters": letters}, {"letters": (ELEMENT_AXIS,)}, {ELEMENT_AXIS: lengths})
        return ProcessedBatch(batch, refused, elements=lengths.tolist())

    @property
    def element_schema(self) -> ElementSchema:
        return ElementSchema(kinds=(ElementKind(name="letter", categories=tuple(self._letters)),), by_position=False)

    def element_values(self, batch: Batch) -> Batch:
        letters = batch["letters"]
        tensors = {CATEGORY: (letters - FIRST).clamp(min=-1), NUMBER: torch.zeros(*letters.shape, 0)}
        return Batch(tensors, dict.fromkeys(tensors, (ELEMENT_AXIS,)), batch.lengths)

    def mask_elements(self, batch: Batch, hidden: Tensor, seeds: Sequence[int]) -> Batch:
        return Batch({"letters": batch["letters"].masked_fill(hidden, HIDDEN)}, batch.axes, batch.lengths)

    def settings(self) -> Mapping[str, Any]:
        return {"letters": self._letters}


class Letters(Backbone):
    """An embedding and one layer; vector features are the mean of the letters."""

    def __init__(self, config: LettersConfig):
        super().__init__()
        self._config = config
        self.embedding = nn.Embedding(FIRST + len(config.letters), config.feature_size)
        self.mixing = nn.Linear(config.feature_size, config.feature_size)
        generator = torch.Generator().manual_seed(config.seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    @property
    def description(self) -> BackboneDescription:
        return describe_letters(self._config)

    @property
    def processor(self) -> Processor:
        return LettersProcessor(self._config.letters)

    def forward(self, batch: Batch, layout: Layout) -> Features:
        return self.forward_from_cut(0, batch, layout)

    def forward_to_cut(self, cut: int, batch: Batch, layout: Layout) -> Batch:
        if cut == 0:
            return batch
        return Batch({"embedded": self.embedding(batch["letters"])}, {"embedded": (ELEMENT_AXIS,)}, batch.lengths)

    def forward_from_cut(self, cut: int, state: Batch, layout: Layout) -> Features:
        embedded = state["embedded"] if cut else self.embedding(state["letters"])
        mixed, lengths = torch.tanh(self.mixing(embedded)), state.lengths[ELEMENT_AXIS]
        if layout == Layout.SEQUENCE:
            return Features(layout, (mixed,), lengths)
        total = mixed.masked_fill(~state.mask(ELEMENT_AXIS)[..., None], 0).sum(1)
        return Features(layout, (total / lengths[:, None].to(total.dtype),))


class YesTarget(TargetDescription):
    """The two labels."""

    yes: str
    no: str


class Yes(Head[YesTarget]):
    """Whether a row is of one kind, by logistic regression."""

    target = YesTarget

    def __init__(self, config: YesConfig):
        self._config = config

    @property
    def description(self) -> HeadDescription:
        return describe_yes(self._config)

    def fit_targets(self, targets: Columns) -> YesTarget:
        (values,) = targets.values()
        others = sorted({str(value) for value in values} - {self._config.yes})
        if len(others) != 1:
            raise InvalidTargets({0: f"beside '{self._config.yes}' there are {others}, not one label"})
        return YesTarget(yes=self._config.yes, no=others[0])

    def encode(self, targets: Columns, target: YesTarget) -> Batch:
        (values,) = targets.values()
        known = {target.yes: 1.0, target.no: 0.0}
        if reasons := {row: f"the label {value!r} is unknown" for row, value in enumerate(values) if value not in known}:
            raise InvalidTargets(reasons)
        return Batch({"yes": torch.tensor([known[value] for value in values])})

    def decode_targets(self, encoded: Batch, target: YesTarget) -> list[Any]:
        return [target.yes if value else target.no for value in encoded["yes"].tolist()]

    def build_module(self, features: FeatureDescription, target: YesTarget) -> HeadModule:
        return YesModule(features, target)


class YesModule(HeadModule):
    """One output per row: the logit of yes."""

    def __init__(self, features: FeatureDescription, target: YesTarget):
        super().__init__()
        self.readout = nn.Linear(features.feature_size, 1)
        self._target = target

    def forward(self, features: Features) -> Tensor:
        return self.readout(features.value).squeeze(-1)

    def loss(self, output: Tensor, targets: Batch, features: Features) -> LossSum:
        total = nn.functional.binary_cross_entropy_with_logits(output.float(), targets["yes"], reduction="sum")
        return LossSum(total, output.new_tensor(float(len(output))).float())

    def predict(self, output: Tensor, features: Features) -> Predictions:
        shares = torch.stack([-output.float(), output.float()], dim=-1).sigmoid().cpu()
        classes = (self._target.no, self._target.yes)
        return Predictions([classes[place] for place in shares.argmax(-1).tolist()], list(shares.numpy()), classes)

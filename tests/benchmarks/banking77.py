"""Intent classification on banking77 with a real MiniLM: our strategies beside what people run instead.

    python tests/benchmarks/banking77.py              # 2,000 training rows, everything
    python tests/benchmarks/banking77.py --rows 10003 # all rows, linear probe alone

Every rival trains the same encoder. Seconds are of the whole fit, from the data in memory to the trained model, weights read
included; libraries are imported before. The Trainer runs as its documentation shows, with its default batch of 8, once as it
comes and once with group_by_length. Its learning rate is the one that serves it well here (see --trainer-rate).
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import material
import numpy as np
import pandas as pd
import torch
import transformers
from datasets import Dataset, disable_progress_bars
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

import taskgraft as tg

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
disable_progress_bars()
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

ENCODER_RATE = 5e-5
"""Of an encoder that learns: the default of our ``full`` and of the Trainer."""

STRATEGIES = ("linear-probe", "partial:1", "full")
TRAINERS = {"Trainer, as it comes": "random", "Trainer, group_by_length": "group_by_length"}


class Classifier(nn.Module):
    """The rival's model: an encoder, normalised mean pooling, a linear layer."""

    def __init__(self, folder: str, classes: int, *, frozen: bool):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder).requires_grad_(not frozen)
        self.classifier = nn.Linear(self.encoder.config.hidden_size, classes)
        self._frozen = frozen

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        if self._frozen:
            self.encoder.eval()
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        pooled = nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        logits = self.classifier(pooled)
        found = {"logits": logits}
        return found if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), **found}


class Bench:
    """One training set, one test set, and every way to learn from it."""

    def __init__(self, rows: int, trainer_rate: float):
        self.folder = material.minilm()
        train = material.table("text/banking77/train.csv.gz")
        self.train = train.sample(frac=1, random_state=0)[:rows] if rows < len(train) else train
        self.test = material.table("text/banking77/test.csv.gz")
        self.labels = sorted(set(train["label"]))
        self.rate = trainer_rate

    def ours(self, strategy: str) -> tuple[float, float, int, float]:
        """Give seconds, accuracy, trainable parameters and the artifact's size in KB."""
        began = time.perf_counter()
        model = tg.compose(f"hf-text:{self.folder}", head="classification", strategy=strategy)
        run = model.fit(self.train, inputs="text", target="label", quiet=True)
        seconds = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as place:
            size = sum(file.stat().st_size for file in model.save(Path(place) / "artifact").iterdir()) / 1e3
        accuracy = model.evaluate(self.test, quiet=True)["accuracy"]
        return seconds, accuracy, sum(stage.trained for stage in run.stages), size

    def trainer(self, sampling: str, *, frozen: bool = True, batch: int = 8) -> tuple[float, float, int, float]:
        """Train with transformers.Trainer for 3 epochs: the head of a frozen encoder, or everything."""
        began = time.perf_counter()
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        model = Classifier(self.folder, len(self.labels), frozen=frozen)
        with tempfile.TemporaryDirectory() as place:
            arguments = TrainingArguments(
                output_dir=place,
                num_train_epochs=3,
                per_device_train_batch_size=batch,
                learning_rate=self.rate,
                train_sampling_strategy=sampling,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            )
            train = self.tokenized(tokenizer, self.train)
            collator = DataCollatorWithPadding(tokenizer)
            optimizers = (None, None) if frozen else (self._optimizer(model), None)
            trainer = Trainer(model, arguments, collator, train, processing_class=tokenizer, optimizers=optimizers)
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            seconds = time.perf_counter() - began
            found = trainer.predict(self.tokenized(tokenizer, self.test))  # in the order of its sampler
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return seconds, float((found.predictions.argmax(-1) == found.label_ids).mean()), trained, float("nan")

    def sentence_transformers(self) -> tuple[float, float, int, float]:
        """Encode with sentence-transformers and fit scikit-learn's LogisticRegression, its penalty tuned."""
        began = time.perf_counter()
        encoder = SentenceTransformer(self.folder, device="cpu")
        features = encoder.encode(self.train["text"].tolist(), show_progress_bar=False)
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 3, 10, 30, 100]}, cv=3)
        search.fit(features, self.train["label"])
        seconds = time.perf_counter() - began
        accuracy = search.score(encoder.encode(self.test["text"].tolist(), show_progress_bar=False), self.test["label"])
        return seconds, float(accuracy), search.best_estimator_.coef_.size + len(self.labels), float("nan")

    def _optimizer(self, model: Classifier) -> torch.optim.Optimizer:
        """Give the head another rate than the encoder, as the Trainer's documentation says: by an optimizer of one's own."""
        groups = [
            {"params": list(model.encoder.parameters()), "lr": ENCODER_RATE},
            {"params": list(model.classifier.parameters()), "lr": self.rate},
        ]
        return torch.optim.AdamW(groups, weight_decay=0.01)

    def tokenized(self, tokenizer: transformers.PreTrainedTokenizerBase, frame: pd.DataFrame) -> Dataset:
        numbers = [self.labels.index(label) for label in frame["label"]]
        data = Dataset.from_dict({"text": frame["text"].tolist(), "labels": numbers})
        return data.map(
            lambda rows: tokenizer(rows["text"], truncation=True, return_token_type_ids=False),
            batched=True,
            remove_columns="text",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="training rows, shuffled with seed 0")
    parser.add_argument("--repeats", type=int, default=3, help="runs of what is compared; the median is given")
    parser.add_argument("--trainer-rate", type=float, default=1e-2, help="learning rate of the Trainer")
    options = parser.parse_args()
    bench = Bench(options.rows, options.trainer_rate)
    ways: dict[str, Callable[[], tuple[float, float, int, float]]] = {
        "linear-probe": lambda: bench.ours("linear-probe")
    }
    if options.rows < 10_003:
        ways |= {name: lambda sampling=sampling: bench.trainer(sampling) for name, sampling in TRAINERS.items()}
        ways |= {"encode + LogisticRegression": bench.sentence_transformers}
        ways |= {name: lambda name=name: bench.ours(name) for name in STRATEGIES[1:]}
    bench.ours("linear-probe")  # the first run of anything pays for lazy imports
    found: dict[str, list[tuple[float, float, int, float]]] = {name: [] for name in ways}
    for repeat in range(options.repeats):
        for name, way in ways.items():
            if repeat == 0 or name not in STRATEGIES[1:]:  # no ratio is claimed of partial and full
                found[name].append(way())
    probe = statistics.median(seconds for seconds, *_ in found["linear-probe"])
    table = Table(title=f"banking77, {len(bench.train):,} training rows, {len(bench.test):,} test rows")
    for column in ("", "accuracy", "seconds", "linear-probe / this", "trainable parameters", "artifact KB"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in found.items():
        seconds = statistics.median(run[0] for run in runs)
        _, accuracy, trained, size = runs[0]
        kept = "" if np.isnan(size) else f"{size:,.0f}"
        table.add_row(name, f"{accuracy:.4f}", f"{seconds:.1f}", f"{probe / seconds:.2f}", f"{trained:,}", kept)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

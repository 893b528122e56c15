"""Intent classification on banking77 with a real MiniLM: our strategies and the usual alternatives.

    python tests/benchmarks/banking77.py              # 2,000 training rows, everything
    python tests/benchmarks/banking77.py --rows 10003 # all rows, linear probe only

All use the same encoder. Seconds are of the whole fit, from the data in memory to the trained model, including reading the
weights; libraries are imported before. The Trainer runs as in its documentation, with its default batch size of 8, once with
default settings and once with group_by_length. Its learning rate was tuned (see --trainer-rate).
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
"""Learning rate of a trained encoder: the default of our ``full`` and of the Trainer."""

STRATEGIES = ("linear-probe", "partial:1", "full")
TRAINERS = {"Trainer, default settings": "random", "Trainer, group_by_length": "group_by_length"}


class Classifier(nn.Module):
    """The Trainer's model: an encoder, normalized mean pooling, a linear layer."""

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
        output = {"logits": logits}
        return output if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), **output}


class Bench:
    """One training set, one test set, and every method to train on it."""

    def __init__(self, rows: int, trainer_rate: float):
        self.folder = material.minilm()
        train = material.table("text/banking77/train.csv.gz")
        self.train = train.sample(frac=1, random_state=0)[:rows] if rows < len(train) else train
        self.test = material.table("text/banking77/test.csv.gz")
        self.labels = sorted(set(train["label"]))
        self.rate = trainer_rate

    def ours(self, strategy: str) -> tuple[float, float, int, float]:
        """Measure seconds, accuracy, trainable parameters and the artifact's size in KB."""
        start = time.perf_counter()
        model = tg.compose(f"hf-text:{self.folder}", head="classification", strategy=strategy)
        run = model.fit(self.train, inputs="text", target="label", quiet=True)
        seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            size = sum(file.stat().st_size for file in model.save(Path(folder) / "artifact").iterdir()) / 1e3
        accuracy = model.evaluate(self.test, quiet=True)["accuracy"]
        return seconds, accuracy, sum(stage.trained for stage in run.stages), size

    def trainer(self, sampling: str, *, frozen: bool = True, batch: int = 8) -> tuple[float, float, int, float]:
        """Train with transformers.Trainer for 3 epochs: only the head, or everything."""
        start = time.perf_counter()
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        model = Classifier(self.folder, len(self.labels), frozen=frozen)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
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
            seconds = time.perf_counter() - start
            output = trainer.predict(self.tokenized(tokenizer, self.test))  # in the order of its sampler
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return seconds, float((output.predictions.argmax(-1) == output.label_ids).mean()), trained, float("nan")

    def sentence_transformers(self) -> tuple[float, float, int, float]:
        """Encode with sentence-transformers and fit scikit-learn's LogisticRegression with a tuned penalty."""
        start = time.perf_counter()
        encoder = SentenceTransformer(self.folder, device="cpu")
        features = encoder.encode(self.train["text"].tolist(), show_progress_bar=False)
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 3, 10, 30, 100]}, cv=3)
        search.fit(features, self.train["label"])
        seconds = time.perf_counter() - start
        accuracy = search.score(encoder.encode(self.test["text"].tolist(), show_progress_bar=False), self.test["label"])
        return seconds, float(accuracy), search.best_estimator_.coef_.size + len(self.labels), float("nan")

    def _optimizer(self, model: Classifier) -> torch.optim.Optimizer:
        """Make an optimizer with another learning rate for the head, as the Trainer's documentation describes."""
        groups = [
            {"params": list(model.encoder.parameters()), "lr": ENCODER_RATE},
            {"params": list(model.classifier.parameters()), "lr": self.rate},
        ]
        return torch.optim.AdamW(groups, weight_decay=0.01)

    def tokenized(self, tokenizer: transformers.PreTrainedTokenizerBase, frame: pd.DataFrame) -> Dataset:
        indices = [self.labels.index(label) for label in frame["label"]]
        data = Dataset.from_dict({"text": frame["text"].tolist(), "labels": indices})
        return data.map(
            lambda rows: tokenizer(rows["text"], truncation=True, return_token_type_ids=False),
            batched=True,
            remove_columns="text",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="training rows, shuffled with seed 0")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported")
    parser.add_argument("--trainer-rate", type=float, default=1e-2, help="learning rate of the Trainer")
    options = parser.parse_args()
    bench = Bench(options.rows, options.trainer_rate)
    methods: dict[str, Callable[[], tuple[float, float, int, float]]] = {
        "linear-probe": lambda: bench.ours("linear-probe")
    }
    if options.rows < 10_003:
        methods |= {name: lambda sampling=sampling: bench.trainer(sampling) for name, sampling in TRAINERS.items()}
        methods |= {"encode + LogisticRegression": bench.sentence_transformers}
        methods |= {name: lambda name=name: bench.ours(name) for name in STRATEGIES[1:]}
    bench.ours("linear-probe")  # the first run includes lazy imports
    results: dict[str, list[tuple[float, float, int, float]]] = {name: [] for name in methods}
    for repeat in range(options.repeats):
        for name, method in methods.items():
            if repeat == 0 or name not in STRATEGIES[1:]:  # no ratio is reported for partial and full
                results[name].append(method())
    probe = statistics.median(seconds for seconds, *_ in results["linear-probe"])
    table = Table(title=f"banking77, {len(bench.train):,} training rows, {len(bench.test):,} test rows")
    for column in ("", "accuracy", "seconds", "linear-probe's seconds / these", "trainable parameters", "artifact KB"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in results.items():
        seconds = statistics.median(run[0] for run in runs)
        _, accuracy, trained, size = runs[0]
        artifact = "" if np.isnan(size) else f"{size:,.0f}"
        table.add_row(name, f"{accuracy:.4f}", f"{seconds:.1f}", f"{probe / seconds:.2f}", f"{trained:,}", artifact)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

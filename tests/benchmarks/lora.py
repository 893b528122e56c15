"""LoRA of rank 8 on query and value, on banking77 with a real MiniLM: ours and transformers.Trainer with peft.

    python tests/benchmarks/lora.py                # 2,000 training rows, 3 epochs, medians of three runs
    python tests/benchmarks/lora.py --rows 600 --repeats 1

All train the same adapters and a head for 3 epochs. The Trainer runs with default settings, with one learning rate and
batches of 8; with batches of 32; with group_by_length; and also with our learning rates, to separate speed from accuracy.
Seconds are of the whole fit, including reading the weights; ours includes the dry run of composition.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from banking77 import Bench, Classifier
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

import taskgraft as tg

STRATEGY = {"name": "lora", "rank": 8, "roles": ["query", "value"]}

Result = tuple[float, float, int, float]
"""Seconds, accuracy, trainable parameters, KB of the artifact."""


def ours(bench: Bench) -> Result:
    """Fit our strategy with its defaults."""
    start = time.perf_counter()
    model = tg.compose(f"hf-text:{bench.folder}", head="classification", strategy=STRATEGY)
    run = model.fit(bench.train, inputs="text", target="label", training={"epochs": 3, "batch_size": 32}, quiet=True)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        size = sum(file.stat().st_size for file in model.save(Path(folder) / "artifact").iterdir()) / 1e3
    return seconds, model.evaluate(bench.test, quiet=True)["accuracy"], run.stages[0].trained, size


def trainer(bench: Bench, sampling: str, batch: int, rates: tuple[float, float]) -> Result:
    """Train with transformers.Trainer and peft, for 3 epochs.

    Args:
        sampling: ``random`` or ``group_by_length``.
        rates: learning rates of the adapters and of the head.
    """
    start = time.perf_counter()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(bench.folder)
    model = Classifier(bench.folder, len(bench.labels), frozen=False)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"])
    model.encoder = get_peft_model(model.encoder, config)
    groups = [
        {"params": [weight for weight in model.encoder.parameters() if weight.requires_grad], "lr": rates[0]},
        {"params": list(model.classifier.parameters()), "lr": rates[1]},
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=3,
            per_device_train_batch_size=batch,
            train_sampling_strategy=sampling,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        hf_trainer = Trainer(
            model,
            arguments,
            DataCollatorWithPadding(tokenizer),
            bench.tokenized(tokenizer, bench.train),
            processing_class=tokenizer,
            optimizers=(torch.optim.AdamW(groups, weight_decay=0.01), None),
        )
        hf_trainer.remove_callback(PrinterCallback)
        hf_trainer.train()
        seconds = time.perf_counter() - start
        output = hf_trainer.predict(bench.tokenized(tokenizer, bench.test))
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return seconds, float((output.predictions.argmax(-1) == output.label_ids).mean()), count, float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, default=2_000, help="training rows, shuffled with seed 0; 600 contain all labels"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is reported")
    parser.add_argument("--trainer-rate", type=float, default=1e-3, help="learning rate of the Trainer")
    options = parser.parse_args()
    bench = Bench(options.rows, options.trainer_rate)
    (stage,) = tg.compose(f"hf-text:{bench.folder}", "classification", STRATEGY).composition.plan
    our_rates = stage.insertions[0].learning_rate, stage.head_learning_rate
    one_rate = options.trainer_rate, options.trainer_rate
    methods: dict[str, Callable[[], Result]] = {
        "lora": lambda: ours(bench),
        "Trainer + peft, default settings": lambda: trainer(bench, "random", 8, one_rate),
        "the same, batches of 32": lambda: trainer(bench, "random", 32, one_rate),
        "the same, group_by_length": lambda: trainer(bench, "group_by_length", 32, one_rate),
        "the same, our learning rates": lambda: trainer(bench, "group_by_length", 32, our_rates),
    }
    bench.ours("linear-probe")  # the first run includes lazy imports
    results = {name: [method() for _ in range(options.repeats)] for name, method in methods.items()}
    lora_seconds = statistics.median(seconds for seconds, *_ in results["lora"])
    table = Table(title=f"LoRA r=8 on banking77, {len(bench.train):,} training rows, {len(bench.test):,} test rows")
    for column in ("", "accuracy", "seconds", "lora's seconds / these", "trainable parameters", "artifact KB"):
        table.add_column(column, justify="right" if column else "left")
    for name, runs in results.items():
        seconds = statistics.median(run[0] for run in runs)
        _, accuracy, trained, size = runs[0]
        artifact = f"{size:,.0f}" if name == "lora" else ""
        table.add_row(
            name, f"{accuracy:.4f}", f"{seconds:.1f}", f"{lora_seconds / seconds:.2f}", f"{trained:,}", artifact
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

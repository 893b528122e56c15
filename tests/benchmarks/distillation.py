"""Distillation on banking77: the accuracy of a student with half of MiniLM's blocks, relative to its teacher's.

    python tests/benchmarks/distillation.py               # 2,000 training rows
    python tests/benchmarks/distillation.py --mix 0.9     # another weight of the teacher's predictions in the loss

The teacher is MiniLM, trained by ``full``. The students are its first three blocks, from the same pretrained weights: one is
trained on the labels only by ``full``, the other on the labels and the teacher by ``distill``, with equal learning rates and
epochs. Seconds are of the whole fit, including reading the weights and the teacher's predictions.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import material
import pandas as pd
from rich.console import Console
from rich.table import Table

import taskgraft as tg

warnings.simplefilter("ignore")


def fit(backbone: Any, strategy: Any, train: pd.DataFrame, test: pd.DataFrame, **training: Any) -> tuple[Any, ...]:
    """Return the model, its accuracy on the test rows, the seconds of the fit, and the parameters of backbone and head."""
    start = time.perf_counter()
    model = tg.compose(backbone, "classification", strategy)
    model.fit(train, inputs="text", target="label", training=training, quiet=True)
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(test, quiet=True, resamples=0)["accuracy"]
    return model, accuracy, seconds, sum(parameter.numel() for parameter in model.fitted.task.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="training rows")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the teacher")
    parser.add_argument("--student-epochs", type=int, default=6, help="epochs of both students")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate of the students' blocks")
    parser.add_argument("--temperature", type=float, nargs="*", default=[2.0])
    parser.add_argument("--mix", type=float, nargs="*", default=[0.5])
    parser.add_argument("--teacher", type=Path, help="artifact of the teacher; written if it does not exist")
    options = parser.parse_args()
    train = material.table("text/banking77/train.csv.gz").sample(frac=1, random_state=0)[: options.rows]
    test = material.table("text/banking77/test.csv.gz")
    full = {"name": "hf-text", "checkpoint": material.minilm()}
    half = full | {"until": "block.2"}
    results: dict[str, tuple[float, float, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        teacher = options.teacher or Path(folder) / "teacher"
        if (teacher / "taskgraft.json").is_file():
            accuracy = tg.load(teacher).evaluate(test, quiet=True, resamples=0)["accuracy"]
            results["teacher"] = (accuracy, float("nan"), 0)
        else:
            model, *results["teacher"] = fit(full, "full", train, test, epochs=options.epochs)
            model.save(teacher)
        _, *results["half, labels only"] = fit(
            half, {"name": "full", "learning_rate": options.rate}, train, test, epochs=options.student_epochs
        )
        for temperature in options.temperature:
            for mix in options.mix:
                strategy = {"name": "distill", "teacher": str(teacher), "temperature": temperature, "mix": mix}
                strategy["learning_rate"] = options.rate
                name = f"half, distill, temperature {temperature:g}, mix {mix:g}"
                _, *results[name] = fit(half, strategy, train, test, epochs=options.student_epochs)
    table = Table("", "accuracy", "relative to the teacher", "seconds", "parameters")
    for name, (accuracy, seconds, parameters) in results.items():
        relative = accuracy / results["teacher"][0]
        table.add_row(name, f"{accuracy:.3f}", f"{relative:.1%}", f"{seconds:.1f}", f"{parameters:,}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

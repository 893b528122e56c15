"""Trains small models and writes their weights, losses and metrics; started with one process or with several."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from cautious import Cautious
from safetensors.torch import save_file
from small_tasks import PARTS, Planned, classification, sentences, training_stage, weights, words

import taskgraft as tg
from taskgraft.builtin.heads.classification import Classification
from taskgraft.builtin.heads.configs import ClassificationConfig, ElementClassificationConfig, MaskedElementsConfig
from taskgraft.builtin.heads.element_classification import ElementClassification
from taskgraft.builtin.heads.masked_elements import MaskedElements
from taskgraft.builtin.strategies.distill import Distill, DistillConfig
from taskgraft.builtin.strategies.sharpness_aware import SharpnessAware, SharpnessAwareConfig
from taskgraft.contract.component_ref import ComponentRef
from taskgraft.contract.plan import HeadSolver, Stage
from taskgraft.engine.shared_cache import SharedCache

ROWS, BATCH = 23, 5  # neither divides by two; the last batch has three rows


def tags(texts: list[str]) -> list[list[str | None]]:
    """A label for most words, so that rows have different numbers of labelled elements."""
    return [[None if word in ("the", "my") else "xy"[len(word) % 2] for word in text.split()] for text in texts]


def models(teacher: str = "teacher") -> dict[str, tuple[tg.Head, tuple[Stage, ...], dict]]:
    probe = Stage("probe", head_learning_rate=1e-3, solve=HeadSolver.CONVEX, cache_features=True)
    every, last = training_stage(*PARTS, rate=1e-3), training_stage("block-1", rate=1e-3, cache_features=True)
    distill = Distill(DistillConfig(teacher=teacher, learning_rate=1e-3))
    taught = distill.plan(words().description, classification().description)
    sharper = SharpnessAware(SharpnessAwareConfig(strategy=ComponentRef(name="full")), (Planned(every),)).plan(
        words().description, classification().description
    )
    weighted = Classification(ClassificationConfig(class_weights="balanced"))
    return {
        "full": (classification(), (every,), {}),
        "sharpness-aware": (classification(), sharper, {"micro_batch": 2}),
        "weighted": (weighted, (every,), {}),
        "partial": (classification(), (last,), {}),
        "probe": (classification(), (probe,), {}),
        "probe, then partial": (classification(), (probe, last), {}),
        "sharing a cache": (classification(), (probe, last), {}),
        "one row per batch": (classification(), (training_stage(*PARTS, rate=1e-3, epochs=1),), {"batch_size": 1}),
        "settled": (Cautious(), (every,), {}),
        "elements": (ElementClassification(ElementClassificationConfig()), (every,), {}),
        "distilled": (classification(), taught, {"micro_batch": 2}),
        "hidden": (MaskedElements(MaskedElementsConfig()), (every,), {"micro_batch": 2}),
    }


def main(folder: Path, processes: int, teacher: str) -> None:
    rows, validation = sentences(ROWS), sentences(7, seed=1)
    rows["tags"], validation["tags"] = tags(rows["text"]), tags(validation["text"])
    validation["amount"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    numbers, process = {}, int(os.environ.get("RANK", "0"))
    for name, (head, stages, training) in models(teacher).items():
        model = tg.compose(words(dropout=0.0), head, Planned(*stages))
        if name == "sharing a cache":
            model.shared_cache = SharedCache(folder / "shelf")
        target = {ElementClassification: "tags", MaskedElements: ()}.get(type(head), "label")
        run = model.fit(
            rows, validation=validation, target=target, training={"batch_size": BATCH} | training, quiet=True
        )
        joined = AcceleratorState()
        assert joined.num_processes == processes, f"{joined.num_processes} processes, not {processes}"
        evaluated = model.evaluate(validation, quiet=True)
        numbers[name] = {
            "metrics": dict(run.metrics),
            "evaluated": dict(evaluated),
            "target": model.fitted.target.model_dump(mode="json"),
            "losses": [report.losses for report in run.stages],
        }
        save_file(weights(model), folder / f"{name}.{process}.safetensors")
    (folder / f"numbers.{process}.json").write_text(json.dumps(numbers))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""Every model family of timm: its parts, and the error of features computed from its cuts.

    python tests/benchmarks/families.py             # the smallest model of each family, up to 100 million parameters
    python tests/benchmarks/families.py --most 1e9

Weights are random. For each model the first, middle and last cut are tried, for each layout that it emits, in eval mode with
fp32. The features of a full forward pass are compared with those computed from the state at the cut, by the largest difference.
"""

import argparse
import warnings
from collections import defaultdict

import material  # noqa: F401, disables network access
import timm
import torch
from timm.models import list_models, model_entrypoint

from taskgraft.plugin import Batch, TaskgraftError
from taskgraft_vision import timm_backbone
from taskgraft_vision.settings import TimmConfig

CANDIDATES = 6
"""Models of a family among which the smallest is chosen: those with the shortest names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=1e8, help="maximum parameters of a model")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    exact, uncut, too_large, failed = 0, [], [], []
    families = smallest()
    for family, (name, parameters) in families.items():
        if parameters > options.most:
            too_large.append(family)
            continue
        try:
            parts, cuts, worst = measure(name)
        except TaskgraftError as error:
            failed.append(f"{family} ({error})")
            continue
        exact += worst == 0
        uncut += [family] if cuts == 0 else []
        print(f"{family:28} {name:34} {parts:3} parts, {cuts:3} cuts, largest difference {worst:.1e}", flush=True)
    print(f"{len(families)} families; {exact} bit for bit; no cut but 0: {', '.join(uncut) or 'none'}")
    print(f"too large: {', '.join(too_large) or 'none'}; failed: {', '.join(failed) or 'none'}")


def smallest() -> dict[str, tuple[str, int]]:
    """Choose a model of each family; also return its number of parameters."""
    names = defaultdict(list)
    for name in list_models():
        names[model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    smallest_of = {}
    for family, members in sorted(names.items()):
        sizes = {}
        for name in sorted(members, key=len)[:CANDIDATES]:
            with torch.device("meta"):
                sizes[name] = sum(weight.numel() for weight in timm.create_model(name, num_classes=0).parameters())
        best = min(sizes, key=lambda name: sizes[name])
        smallest_of[family] = best, sizes[best]
    return smallest_of


@torch.no_grad()
def measure(name: str) -> tuple[int, int, float]:
    """Return the number of parts, of cuts, and the largest difference."""
    backbone = timm_backbone.build(TimmConfig(model=name, weights="random"))
    side = backbone.processor.settings()
    pixels = torch.randint(0, 256, (2, 3, side["height"], side["width"]), dtype=torch.uint8)
    batch = Batch({"pixels": pixels, "place": torch.eye(2, 3).repeat(2, 1, 1), "sizes": torch.full((2, 2), 64)})
    cuts = backbone.description.cuts[1:]
    worst = 0.0
    for layout in (feature.layout for feature in backbone.description.features):
        whole = backbone(batch, layout)
        for cut in sorted({cuts[0], cuts[len(cuts) // 2], cuts[-1]}) if cuts else ():
            from_cut = backbone.forward_from_cut(cut, backbone.forward_to_cut(cut, batch, layout), layout)
            pairs = zip(whole.values, from_cut.values, strict=True)
            worst = max(worst, *(float((first - second).abs().max()) for first, second in pairs))
    return len(backbone.description.parts), len(cuts), worst


if __name__ == "__main__":
    main()

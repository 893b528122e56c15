"""Every family of timm: its parts, and how far features that were resumed at its cuts lie from a whole pass.

    python tests/benchmarks/families.py             # the smallest model of each family, up to 100 million parameters
    python tests/benchmarks/families.py --most 1e9

Weights are random. Of the cuts of a model the first, the middle and the last are tried, for each layout that it emits, in
eval mode with fp32. A whole pass is compared with one that is resumed from what was stored, by the largest difference.
"""

import argparse
import warnings
from collections import defaultdict

import material  # noqa: F401, it keeps away from the network
import timm
import torch
from timm.models import list_models, model_entrypoint

from taskgraft import Batch
from taskgraft.errors import TaskgraftError
from taskgraft_vision import timm_backbone
from taskgraft_vision.settings import TimmConfig

CANDIDATES = 6
"""Models of a family that are looked at for the smallest, those of the shortest names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=1e8, help="parameters of a model")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    exact, uncut, left, failed = 0, [], [], []
    families = smallest()
    for family, (name, parameters) in families.items():
        if parameters > options.most:
            left.append(family)
            continue
        try:
            parts, cuts, worst = tried(name)
        except TaskgraftError as error:
            failed.append(f"{family} ({error})")
            continue
        exact += worst == 0
        uncut += [family] if cuts == 0 else []
        print(f"{family:28} {name:34} {parts:3} parts, {cuts:3} cuts, largest difference {worst:.1e}", flush=True)
    print(f"{len(families)} families; {exact} resumed bit for bit; no cut but 0: {', '.join(uncut) or 'none'}")
    print(f"too large: {', '.join(left) or 'none'}; refused: {', '.join(failed) or 'none'}")


def smallest() -> dict[str, tuple[str, int]]:
    """Choose a model of each family, with the number of its parameters."""
    names = defaultdict(list)
    for name in list_models():
        names[model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    found = {}
    for family, some in sorted(names.items()):
        sizes = {}
        for name in sorted(some, key=len)[:CANDIDATES]:
            with torch.device("meta"):
                sizes[name] = sum(weight.numel() for weight in timm.create_model(name, num_classes=0).parameters())
        best = min(sizes, key=lambda name: sizes[name])
        found[family] = best, sizes[best]
    return found


@torch.no_grad()
def tried(name: str) -> tuple[int, int, float]:
    """Give the number of parts, of cuts, and the largest difference."""
    backbone = timm_backbone.build(TimmConfig(model=name, weights="random"))
    side = backbone.processor.settings()
    pixels = torch.randint(0, 256, (2, 3, side["height"], side["width"]), dtype=torch.uint8)
    batch = Batch({"pixels": pixels, "place": torch.eye(2, 3).repeat(2, 1, 1), "sizes": torch.full((2, 2), 64)})
    cuts = backbone.description.cuts[1:]
    worst = 0.0
    for layout in (feature.layout for feature in backbone.description.features):
        whole = backbone(batch, layout)
        for cut in sorted({cuts[0], cuts[len(cuts) // 2], cuts[-1]}) if cuts else ():
            again = backbone.forward_from_cut(cut, backbone.forward_to_cut(cut, batch, layout), layout)
            apart = (float((one - other).abs().max()) for one, other in zip(whole.values, again.values, strict=True))
            worst = max(worst, *apart)
    return len(backbone.description.parts), len(cuts), worst


if __name__ == "__main__":
    main()

"""Every installed strategy over a tiny checkpoint of each common kind: what is kept, and the reason of each refusal.

Each pair trains two steps with the guard watching, is saved, loaded, and predicts equal bits. Ends with 1 if any breaks.
"""

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), *(str(tests) for tests in ROOT.glob("plugins/*/tests"))]

import every_pair  # noqa: E402, it lies with the tests

from taskgraft.testing import Verdict, matrix, matrix_table  # noqa: E402


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = every_pair.backbones(folder), every_pair.strategies(folder)
        began = time.perf_counter(), time.process_time()
        cells = list(matrix(*pairs))
        taken = time.perf_counter() - began[0], time.process_time() - began[1]
        print(matrix_table(cells).replace(f"{folder}/", ""))
    print(f"{taken[0]:.0f} s, {taken[1]:.0f} s of the processor.")
    sys.exit(any(cell.verdict is Verdict.BROKEN for cell in cells))


if __name__ == "__main__":
    main()

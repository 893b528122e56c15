"""Every installed strategy on a tiny checkpoint of each common kind: which pairs work, and why others do not apply.

Each pair is trained for two steps with the weight guard, saved and loaded, and must predict the same bits. Exits with 1 if
any fails.
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

import every_pair  # noqa: E402, in tests/support

from taskgraft.testing import Verdict, matrix, matrix_table  # noqa: E402


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = every_pair.backbones(folder), every_pair.strategies(folder)
        start = time.perf_counter(), time.process_time()
        cells = list(matrix(*pairs))
        seconds = time.perf_counter() - start[0], time.process_time() - start[1]
        print(matrix_table(cells).replace(f"{folder}/", ""))
    print(f"{seconds[0]:.0f} s, {seconds[1]:.0f} CPU s.")
    sys.exit(any(cell.verdict is Verdict.BROKEN for cell in cells))


if __name__ == "__main__":
    main()

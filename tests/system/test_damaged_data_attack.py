"""3,300 bit flips over data sets and Parquet files: rows or one sentence, no crash, no hang."""

import pytest
from damaged_data import KINDS, flip_bits

pytestmark = pytest.mark.attack


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_give_rows_or_one_sentence(kind, tmp_path):
    flip_bits(kind, 660, 2_026, tmp_path)

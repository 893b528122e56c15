import os
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from taskgraft.builtin.readers.configs import HubConfig
from taskgraft.builtin.readers.dataset_folder import read_dataset_folder
from taskgraft.builtin.readers.hf_datasets import dataset_to_arrow, read_hub
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import UnreadableFile

COLUMNS = {"text": ["a", "b", "c"], "label": [0, 1, 0]}


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_a_saved_dataset_is_read_from_its_folder(tmp_path):
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(tmp_path / "saved")
    rows = read_dataset_folder(tmp_path / "saved", EmptyConfig())
    assert rows.table.to_pydict() == COLUMNS
    assert rows.source == "saved"


def test_a_filtered_dataset_has_only_the_remaining_rows():
    chosen = datasets.Dataset.from_dict(COLUMNS).select([2, 0])
    assert dataset_to_arrow(chosen).to_pydict() == {"text": ["c", "a"], "label": [0, 0]}


def test_a_folder_of_several_splits_is_rejected(tmp_path):
    part = datasets.Dataset.from_dict(COLUMNS)
    datasets.DatasetDict(train=part, test=part).save_to_disk(tmp_path / "saved")
    with pytest.raises(UnreadableFile) as caught:
        read_dataset_folder(tmp_path / "saved", EmptyConfig())
    assert str(caught.value) == (
        f"{tmp_path / 'saved'}: the folder contains the splits train, test. Name one: {tmp_path / 'saved' / 'train'}."
    )
    assert len(read_dataset_folder(tmp_path / "saved" / "train", EmptyConfig())) == 3


def test_a_damaged_folder_is_rejected(tmp_path):
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "state.json").write_text("{}")
    with pytest.raises(UnreadableFile) as caught:
        read_dataset_folder(tmp_path / "saved", EmptyConfig())
    assert str(caught.value) == f"{tmp_path / 'saved'}: the dataset cannot be loaded (state.json has no '_data_files')."


def test_a_dataset_is_loaded_by_name_and_split(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    parquet.write_table(pa.table(COLUMNS), folder / "train.parquet")
    parquet.write_table(pa.table({"text": ["z"], "label": [1]}), folder / "test.parquet")
    assert read_hub(folder, HubConfig()).table.to_pydict() == COLUMNS
    assert read_hub(Path(f"{folder}:test"), HubConfig()).values("text") == ["z"]
    with pytest.raises(UnreadableFile) as caught:
        read_hub(Path(f"{folder}:dev"), HubConfig())
    assert str(caught.value) == f"hub:{folder}:dev: the dataset has no split 'dev'. Splits: train, test."


def test_a_dataset_that_cannot_be_loaded_is_reported_in_one_line():
    with pytest.raises(UnreadableFile) as caught:
        read_hub(Path("nobody/nothing"), HubConfig())
    assert str(caught.value) == (
        "hub:nobody/nothing: the dataset cannot be loaded "
        "(Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled))."
    )


def test_a_local_dataset_leaves_nothing_in_the_cache(tmp_path):
    (tmp_path / "set").mkdir()
    parquet.write_table(pa.table(COLUMNS), tmp_path / "set" / "train.parquet")
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    before = sorted(os.listdir(cache)) if cache.is_dir() else None
    read_hub(tmp_path / "set", HubConfig())
    assert (sorted(os.listdir(cache)) if cache.is_dir() else None) == before

"""Damaged data sets: one sentence or rows, never the end of the process; and no file outside of the folder is opened."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from damaged_data import KINDS, flip_bits
from pyarrow import parquet

from taskgraft.builtin.readers.configs import HubConfig
from taskgraft.builtin.readers.dataset_folder import read_dataset_folder
from taskgraft.builtin.readers.hf_datasets import read_hub
from taskgraft.builtin.readers.parquet import read_parquet
from taskgraft.contract.config import EmptyConfig
from taskgraft.contract.rows import UnreadableFile

pytestmark = pytest.mark.slow


@pytest.fixture
def saved(tmp_path):
    datasets.disable_progress_bars()
    columns = {"text": [f"row {row}" for row in range(2_500)], "label": [row % 2 for row in range(2_500)]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved")
    yield tmp_path / "saved"
    datasets.enable_progress_bars()


def arrow_file(saved):
    return next(saved.glob("*.arrow"))


def problem(saved):
    with pytest.raises(UnreadableFile) as caught:
        read_dataset_folder(saved, EmptyConfig())
    return str(caught.value).removeprefix(f"{saved}: ")


def change(saved, name, **values):
    document = json.loads((saved / name).read_text())
    (saved / name).write_text(json.dumps(document | values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_gives_rows_or_one_sentence(kind, tmp_path):
    flip_bits(kind, 4, 7, tmp_path)


def test_a_file_that_was_cut_anywhere_is_not_complete(saved):
    whole = arrow_file(saved).read_bytes()
    batch_ends = [len(whole) - 8, len(whole) // 2, len(whole) - 1, 7, 0]
    for size in batch_ends:
        arrow_file(saved).write_bytes(whole[:size])
        assert problem(saved).startswith("the dataset cannot be loaded (")


def test_a_file_without_its_end_is_not_complete(saved):
    size = arrow_file(saved).stat().st_size
    os.truncate(arrow_file(saved), size - 8)
    assert problem(saved) == (
        f"the dataset cannot be loaded (data-00000-of-00001.arrow is not complete: its end is at byte {size - 8:,} of "
        f"{size - 8:,})."
    )


def test_rows_after_an_early_end_are_noticed(saved):
    whole = bytearray(arrow_file(saved).read_bytes())
    second = whole.index(b"\xff\xff\xff\xff", whole.index(b"\xff\xff\xff\xff", 4) + 4)
    whole[second : second + 8] = b"\xff\xff\xff\xff\0\0\0\0"
    arrow_file(saved).write_bytes(whole)
    assert problem(saved).endswith(f"of {len(whole):,}).")


def test_offsets_outside_of_their_buffer_are_found_before_use(saved):
    whole = arrow_file(saved).read_bytes()
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 5, 10, 15))
    assert whole.count(offsets) >= 1
    arrow_file(saved).write_bytes(whole.replace(offsets, offsets[:4] + b"\xff\xff\xff\x3f" + offsets[8:]))
    assert problem(saved).startswith("the dataset cannot be loaded (data-00000-of-00001.arrow: In column 0: ")


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("../other.arrow", "state.json names '../other.arrow', which is not a file in the folder"),
        ("/etc/passwd", "state.json names '/etc/passwd', which is not a file in the folder"),
        ("sub/x.arrow", "state.json names 'sub/x.arrow', which is not a file in the folder"),
        ("..", "state.json names '..', which is not a file in the folder, but a link to {parent}"),
        ("a\0b", "state.json names 'a\\x00b', which is not a file in the folder"),
        ("", "state.json has a file of rows without a name"),
        (5, "state.json has a file of rows without a name"),
        ("gone.arrow", "gone.arrow: No such file or directory"),
    ],
)
def test_metadata_name_only_files_in_the_folder(saved, name, clause):
    change(saved, "state.json", _data_files=[{"filename": name}])
    expected = clause.format(parent=saved.parent)
    assert problem(saved) == f"the dataset cannot be loaded ({expected})."


def test_a_link_that_leaves_the_folder_is_not_followed(saved, tmp_path):
    outside = tmp_path / "outside.arrow"
    arrow_file(saved).rename(outside)
    link = saved / "data-00000-of-00001.arrow"
    link.symlink_to(outside)
    assert problem(saved) == (
        "the dataset cannot be loaded (state.json names 'data-00000-of-00001.arrow', which is not a file in the folder, "
        f"but a link to {outside})."
    )


def test_the_links_of_the_hub_s_cache_are_followed(saved, tmp_path):
    snapshot, blobs = tmp_path / "cache" / "snapshots" / "abc", tmp_path / "cache" / "blobs"
    snapshot.parent.mkdir(parents=True)
    blobs.mkdir()
    saved.rename(snapshot)
    arrow_file(snapshot).rename(blobs / "0123")
    (snapshot / "data-00000-of-00001.arrow").symlink_to("../../blobs/0123")
    assert len(read_dataset_folder(snapshot, EmptyConfig())) == 2_500


@pytest.mark.parametrize(
    ("features", "clause"),
    [
        ({"text": {"dtype": "string", "_type": "Value"}}, "describes the columns text, but there are text, label"),
        (
            {"text": {"dtype": "string", "_type": "Value"}, "label": {"dtype": "string", "_type": "Value"}},
            "describes 'label' as string, but it is int64",
        ),
    ],
)
def test_features_that_are_not_those_of_the_columns_are_rejected(saved, features, clause):
    change(saved, "dataset_info.json", features=features)
    assert problem(saved) == f"the dataset cannot be loaded (dataset_info.json {clause})."


def test_types_of_the_library_are_read_also_where_it_is_not_imported_yet(tmp_path):
    kinds = {"grid": datasets.Array2D((2, 3), "float32"), "names": datasets.List(datasets.Value("string"))}
    columns = {"grid": [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]] * 3, "names": [["a"], [], ["b", "c"]]}
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).save_to_disk(tmp_path / "set")
    code = "import sys; from taskgraft.reading.read import read_file; print(read_file(sys.argv[1]).table.to_pydict())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "set"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(columns)), done.stderr


def test_features_of_an_unknown_class_are_rejected(saved):
    change(saved, "dataset_info.json", features={"text": {"_type": "os.system", "dtype": "true"}})
    assert problem(saved).startswith(
        "the dataset cannot be loaded (dataset_info.json: Feature type 'os.system' not found."
    )


def test_lengths_and_fingerprints_that_lie_are_not_used(saved):
    change(saved, "dataset_info.json", splits={"train": {"num_examples": 10**12}}, dataset_size=-5)
    change(saved, "state.json", _fingerprint="../../x", _format_columns=["gone"], _format_type="torch")
    assert len(read_dataset_folder(saved, EmptyConfig())) == 2_500


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json"])
def test_a_sparse_description_is_not_read(saved, name):
    os.truncate(saved / name, 40 * 2**30)
    assert problem(saved) == (
        f"the dataset cannot be loaded ({name}: it has 42,949,672,960 bytes, more than the limit of 32,000,000)."
    )


FAR = pa.array([2**62], pa.int64()).view(pa.timestamp("us"))
FAR_DATES = {
    "plain": FAR,
    "in a list": pa.ListArray.from_arrays([0, 1], FAR),
    "in a struct": pa.StructArray.from_arrays([FAR], ["one"]),
    "in a map": pa.MapArray.from_arrays([0, 1], pa.array(["one"]), FAR),
}


@pytest.mark.parametrize("where", FAR_DATES)
def test_a_date_that_python_does_not_have_is_found_while_reading(tmp_path, where):
    parquet.write_table(pa.table({"when": FAR_DATES[where]}), tmp_path / "rows.parquet")
    with pytest.raises(UnreadableFile) as caught:
        read_parquet(tmp_path / "rows.parquet", EmptyConfig())
    assert str(caught.value) == (
        f"{tmp_path / 'rows.parquet'}: the file is not a complete Parquet file (the column 'when' holds a timestamp[us] "
        "that Python cannot represent)."
    )


def test_validation_is_fast(tmp_path):
    """Reading 100,000 honest rows takes the time of a few passes over their values, not that of a training."""
    count = 100_000
    columns = {"text": ["some words " * 10] * count, "label": [0] * count}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    read_dataset_folder(tmp_path / "set", EmptyConfig())  # imports are not counted
    start = time.process_time()
    rows = read_dataset_folder(tmp_path / "set", EmptyConfig())
    reading = time.process_time() - start
    assert len(rows.values("text")) == count
    assert reading < 10 * (time.process_time() - start - reading)


# --- the hub


def test_a_name_of_the_hub_is_not_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "set").mkdir(parents=True)
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "org" / "set" / "train.parquet")
    with pytest.raises(UnreadableFile) as caught:
        read_hub(Path("org/set"), HubConfig())
    assert str(caught.value) == (
        "hub:org/set: the working directory has a file or folder 'org/set', so this name is ambiguous. To read that, leave "
        "out 'hub:'; to read the dataset on the hub, work in another directory."
    )


@pytest.mark.parametrize("name", ["csv", "json", "parquet", "text", "imagefolder"])
def test_a_name_for_files_in_the_working_directory_is_not_one_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text\nsecret\n")
    with pytest.raises(UnreadableFile) as caught:
        read_hub(Path(name), HubConfig())
    assert str(caught.value) == f"hub:{name}: '{name}' is not the name of a dataset on the hub. Write OWNER/NAME."

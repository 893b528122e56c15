import os
import zipfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from backbones import PAIRS, PICTURES, TABLE, WORDS, Words
from pyarrow import parquet
from small_plugin import WordsConfig
from small_tasks import sentences, trained, training_stage, words

import taskgraft as tg
from taskgraft.artifact.load import InvalidDevice
from taskgraft.composition.resolve import CompositionError
from taskgraft.contract.config import ConfigError
from taskgraft.contract.features import Features
from taskgraft.contract.rows import InvalidRows, MissingColumn
from taskgraft.engine.feature_checks import UnreliableBackbone
from taskgraft.inference import feature_windows as windows
from taskgraft.inference.errors import InferenceError
from taskgraft.reading.errors import DataError
from taskgraft.storage.atomic_write import OutputError
from taskgraft.storage.manifest import InvalidArtifact

LAYOUTS = [(WORDS, "vector"), (WORDS, "sequence"), (PICTURES, "vector"), (PICTURES, "grid"), (TABLE, "vector")]


def one_by_one(small, layout):
    """The features that the backbone itself computes for each example in a batch of one."""
    backbone = small.build()
    batch = backbone.processor.prepare(small.inputs).batch
    with torch.no_grad():
        return [backbone(one, layout).value[0].numpy() for one in batch.unbind()]


def written(tmp_path, suffix, small=WORDS, **more):
    """Write the features of a small backbone's examples, and give the path."""
    path = tmp_path / f"out{suffix}"
    tg.extract_features_to(small.build(), dict(small.inputs), path, batch_size=4, quiet=True, **more)
    return path


def read_back(path):
    """Read the features of each row of a file."""
    if path.suffix == ".parquet":
        return [np.array(row, np.float32) for row in parquet.read_table(path).column("features").to_pylist()]
    if path.suffix == ".npy":
        return list(np.load(path))
    arrays = np.load(path)
    if "starts" not in arrays:
        return list(arrays["features"])
    places = zip(arrays["starts"], arrays["lengths"], strict=True)
    return [arrays["features"][start : start + length] for start, length in places]


def assert_close(found, expected):
    assert [row.shape for row in found] == [row.shape for row in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


# --- values


@pytest.mark.parametrize(("small", "layout"), LAYOUTS, ids=str)
@pytest.mark.parametrize("size", [1, 4, 32])
def test_features_equal_those_of_each_row_in_a_batch_of_one(small, layout, size):
    found = tg.extract_features(small.build(), dict(small.inputs), layout=layout, batch_size=size, quiet=True)
    assert (found.layout, len(found), found.values.dtype) == (layout, 6, np.float32)
    assert_close(list(found), one_by_one(small, layout))


@pytest.mark.parametrize("elements", [1, 9, 10_000])
def test_a_limit_of_elements_changes_no_feature(elements):
    found = tg.extract_features(words(), dict(WORDS.inputs), layout="sequence", batch_elements=elements, quiet=True)
    assert_close(list(found), one_by_one(WORDS, "sequence"))


def test_a_limit_of_zero_elements_is_rejected():
    with pytest.raises(ConfigError) as caught:
        tg.extract_features(words(), dict(WORDS.inputs), batch_elements=0, quiet=True)
    message = "features: the setting 'batch_elements' is 0: input should be greater than or equal to 1."
    assert str(caught.value) == message


def test_the_usual_layout_is_the_first_that_the_backbone_emits():
    assert tg.extract_features(words(), dict(WORDS.inputs), quiet=True).layout == "vector"


def test_the_elements_of_sequences_stand_one_after_another():
    found = tg.extract_features(words(), dict(WORDS.inputs), layout="sequence", quiet=True)
    assert found.lengths.tolist() == [7, 3, 1, 7, 5, 3]
    assert found.starts.tolist() == [0, 7, 10, 11, 18, 23]
    assert found.values.shape == (26, 16)


@pytest.mark.parametrize("layout", ["vector", "sequence"])
@pytest.mark.parametrize("window", [1, 8, 20, 50])
def test_the_order_of_the_rows_does_not_depend_on_windows(monkeypatch, layout, window):
    rows = sentences(50, seed=3)
    whole = tg.extract_features(words(), rows, layout=layout, quiet=True)
    monkeypatch.setattr(windows, "WINDOW_ROWS", window)
    pieces = tg.extract_features(words(), rows, layout=layout, batch_size=4, quiet=True)
    assert_close(list(pieces), list(whole))
    assert np.array_equal(pieces.lengths, whole.lengths) if layout == "sequence" else pieces.lengths is None


def test_features_in_memory_are_limited(monkeypatch, tmp_path):
    rows = sentences(50, seed=3)
    whole = tg.extract_features(words(), rows, layout="sequence", quiet=True)
    monkeypatch.setattr(windows, "WINDOW_BYTES", 40 * 16 * 4)  # elements, features, bytes
    sizes = []

    class Counted(Words):
        """Records how many real elements are in each batch."""

        def forward(self, batch, layout):
            sizes.append(int(batch.lengths["element"].sum()))
            return super().forward(batch, layout)

    tg.extract_features_to(
        Counted(WordsConfig()), rows, tmp_path / "out.npz", layout="sequence", batch_size=4, quiet=True
    )
    assert max(sizes) <= 40
    assert_close(read_back(tmp_path / "out.npz"), list(whole))


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (100, [range(5)]),
        (6, [range(2), range(2, 5)]),
        (5, [range(2), range(2, 4), range(4, 5)]),
        (1, [range(2), range(2, 4), range(4, 5)]),
    ],
)
def test_rows_are_split_into_chunks_of_whole_batches(most, expected):
    assert list(windows.split_into_chunks([2, 3, 3, 2, 1], 2, most)) == expected


def test_padding_is_avoided_where_features_depend_on_it():
    class Padded(Words):
        """Adds the length of the longest row of the batch."""

        def forward(self, batch, layout):
            features = super().forward(batch, layout)
            return Features(features.layout, (features.value + batch.longest("element"),), features.lengths)

    with pytest.warns(UnreliableBackbone):
        found = tg.extract_features(Padded(WordsConfig()), dict(WORDS.inputs), quiet=True)
    lengths = [len(text.split()) for text in WORDS.inputs["text"]]
    assert_close(list(found), [row + length for row, length in zip(one_by_one(WORDS, "vector"), lengths, strict=True)])


def test_bf16_features_are_close_and_float32():
    found = tg.extract_features(words(), dict(WORDS.inputs), precision="bf16", quiet=True)
    assert found.values.dtype == np.float32
    exact = np.stack(one_by_one(WORDS, "vector"))
    assert 0 < np.abs(found.values - exact).max() < 0.1


def test_an_object_gets_its_training_and_eval_modes_back():
    backbone = words().train()
    backbone.norm.eval()
    before = [module.training for module in backbone.modules()]
    found = tg.extract_features(backbone, dict(WORDS.inputs), quiet=True)
    assert [module.training for module in backbone.modules()] == before
    assert_close(list(found), one_by_one(WORDS, "vector"))


def test_a_frame_and_a_file_give_the_same(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"text": WORDS.inputs["text"]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    one, other = (tg.extract_features(words(), data, quiet=True) for data in (frame, tmp_path / "rows.csv"))
    assert np.array_equal(one.values, other.values)


# --- named backbones


def test_a_backbone_is_named_with_settings(small_plugin_installed):
    found = tg.extract_features({"name": "small-words", "blocks": 1}, dict(WORDS.inputs), quiet=True)
    expected = tg.extract_features(words(blocks=1), dict(WORDS.inputs), quiet=True)
    assert np.array_equal(found.values, expected.values)


@pytest.mark.parametrize("prefix", ["", "small-words:"])
def test_an_artifact_gives_its_trained_backbone_and_its_inputs(small_plugin_installed, tmp_path, prefix):
    rows = sentences()
    renamed = {"said": rows["text"], "label": rows["label"]}
    model = tg.compose("small-words", "classification", "full")
    model.fit(renamed, inputs="said", target="label", training={"batch_size": 8, "epochs": 1}, quiet=True)
    model.save(tmp_path / "artifact")
    found = tg.extract_features(f"{prefix}{tmp_path / 'artifact'}", renamed, quiet=True)
    trained_one = tg.extract_features(model.fitted.task.backbone, renamed, inputs="said", quiet=True)
    assert np.array_equal(found.values, trained_one.values)
    fresh = tg.extract_features("small-words", renamed, inputs="said", quiet=True)
    assert np.abs(found.values - fresh.values).max() > 1e-4


def test_the_backbone_of_an_artifact_keeps_the_preprocessing_fitted_to_training_rows(small_plugin_installed, tmp_path):
    rows = {name: list(values) for name, values in TABLE.inputs.items()} | {"label": list("ababab")}
    model = tg.compose("small-table", "classification", "linear-probe")
    model.fit(rows, inputs=list(TABLE.inputs), target="label", quiet=True)
    model.save(tmp_path / "artifact")
    found = tg.extract_features(tmp_path / "artifact", rows, quiet=True)
    assert_close(list(found), one_by_one(TABLE, "vector"))


def test_a_backbone_with_fitted_preprocessing_has_no_features_before_a_fit(small_plugin_installed):
    with pytest.raises(InferenceError) as caught:
        tg.extract_features("small-table", dict(TABLE.inputs), quiet=True)
    assert str(caught.value) == (
        "'small-table' fits its preprocessing to the training rows, so it has no features before a fit. "
        "Fit and save a model with it, then name the artifact as the backbone."
    )


def test_an_artifact_whose_backbone_was_an_object_is_rejected(tmp_path):
    trained(words(), training_stage()).save(tmp_path / "artifact")
    with pytest.raises(InvalidArtifact) as caught:
        tg.extract_features(tmp_path / "artifact", sentences(), quiet=True)
    assert str(caught.value) == (
        f"The artifact {tmp_path / 'artifact'} cannot be used: its backbone was an object of the class backbones.Words; "
        "load it, and pass the object."
    )


# --- files


@pytest.mark.parametrize(("small", "layout"), LAYOUTS, ids=str)
@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
def test_a_file_holds_the_features_of_each_row(tmp_path, small, layout, suffix):
    if suffix == ".npy" and layout == "sequence":
        return
    assert_close(read_back(written(tmp_path, suffix, small, layout=layout)), one_by_one(small, layout))
    assert os.listdir(tmp_path) == [f"out{suffix}"]


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
def test_a_file_is_written_window_by_window(monkeypatch, tmp_path, suffix):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 8)
    rows = {"id": list(range(50))} | sentences(50, seed=3)
    path, keep = tmp_path / f"out{suffix}", [] if suffix == ".npy" else ["id"]
    result = tg.extract_features_to(words(), rows, path, keep=keep, batch_size=4, quiet=True)
    assert (result.rows, result.layout, result.shape, result.notes) == (50, "vector", (16,), {})
    assert_close(read_back(path), list(tg.extract_features(words(), rows, quiet=True)))


@pytest.mark.parametrize(
    ("small", "layout", "kind"),
    [
        (WORDS, "vector", pa.list_(pa.float32(), 16)),
        (WORDS, "sequence", pa.list_(pa.list_(pa.float32(), 16))),
        (TABLE, "vector", pa.list_(pa.list_(pa.float32(), 8), 3)),
        (PICTURES, "grid", pa.list_(pa.list_(pa.list_(pa.float32(), 2), 2), 16)),
    ],
    ids=str,
)
def test_parquet_holds_lists_of_fixed_size(tmp_path, small, layout, kind):
    schema = parquet.read_schema(written(tmp_path, ".parquet", small, layout=layout))
    assert schema.field("features").type == kind


def test_pairs_of_rows_of_one_length_are_written(tmp_path):
    rows = {"letters": ["MKV", "ACD", "WYV"]}
    tg.extract_features_to(PAIRS.build(), rows, tmp_path / "out.npy", layout="pair", quiet=True)
    assert np.load(tmp_path / "out.npy").shape == (3, 3, 3, 8)


def test_kept_columns_stand_before_the_features(tmp_path):
    rows = dict(WORDS.inputs) | {"id": [f"{row:03}" for row in range(6)], "score": [1, None, 3, 4, 5, 6]}
    tg.extract_features_to(words(), rows, tmp_path / "out.parquet", keep=["score", "id"], quiet=True)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["score", "id", "features"]
    assert table.select(["score", "id"]).to_pydict() == {"score": rows["score"], "id": rows["id"]}


def test_an_npz_file_holds_kept_columns_as_plain_arrays(tmp_path):
    rows = dict(WORDS.inputs) | {
        "id": ["a", "bcd", None, "é", "", "f"],
        "whole": [1, 2, 3, 4, 5, 6],
        "missing": [1, None, 3, 4, 5, 6],
        "share": [0.5] * 6,
        "yes": [True, False] * 3,
    }
    keep = ["id", "whole", "missing", "share", "yes"]
    tg.extract_features_to(words(), rows, tmp_path / "out.npz", keep=keep, layout="sequence", quiet=True)
    arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
    assert arrays.files == ["features", "starts", "lengths", *keep]
    assert arrays["id"].tolist() == ["a", "bcd", "", "é", "", "f"]
    assert arrays["whole"].dtype == np.int64
    assert np.array_equal(arrays["missing"], [1, np.nan, 3, 4, 5, 6], equal_nan=True)
    assert (arrays["share"].tolist(), arrays["yes"].tolist()) == ([0.5] * 6, [True, False] * 3)
    assert zipfile.ZipFile(tmp_path / "out.npz").testzip() is None


def test_a_file_is_only_overwritten_on_request(tmp_path):
    path = tmp_path / "out.npy"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError):
        written(tmp_path, ".npy")
    assert path.read_bytes() == b"precious"
    assert_close(read_back(written(tmp_path, ".npy", overwrite=True)), one_by_one(WORDS, "vector"))


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".npy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("in the second window")], ids=str)
def test_nothing_is_left_of_an_interrupted_file(monkeypatch, tmp_path, suffix, error):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 4)

    class Breaking(Words):
        """Fails at the last rows."""

        def forward(self, batch, layout):
            if len(batch) == 2:
                raise error
            return super().forward(batch, layout)

    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"precious")
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        tg.extract_features_to(
            Breaking(WordsConfig()), sentences(10), path, overwrite=True, batch_size=4, device="cpu", quiet=True
        )
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == [path.name]


# --- errors


def error_message(kind, tmp_path, backbone=None, data=None, output="out.npz", **more):
    """Return the message of the error; no file is left."""
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(kind) as caught:
        tg.extract_features_to(
            words() if backbone is None else backbone,
            dict(WORDS.inputs) if data is None else data,
            tmp_path / output,
            quiet=True,
            **more,
        )
    assert sorted(os.listdir(tmp_path)) == before
    return str(caught.value).replace(f"{tmp_path}{os.sep}", "")


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (InferenceError, {"layout": "grid"}, "'Words' has no grid features. Choose vector or sequence."),
        (
            InferenceError,
            {"layout": "vectr"},
            "'Words' has no vectr features. Did you mean vector? Choose vector or sequence.",
        ),
        (
            InferenceError,
            {"backbone": PICTURES.build(), "data": dict(PICTURES.inputs), "layout": "pyramid"},
            "Pyramid features are several arrays per row, which cannot be written. Choose vector or grid.",
        ),
        (
            InferenceError,
            {"backbone": PAIRS.build(), "data": {"letters": ["MKV", "AC"]}, "layout": "pair"},
            "The pair features of the rows have different shapes (2 × 2 × 8 and 3 × 3 × 8), so they do not fit into one "
            "array. Choose another layout, or give rows of one size.",
        ),
        (
            InferenceError,
            {"backbone": PAIRS.build(), "data": {"letters": ["MKV", "AC"]}, "layout": "pair", "batch_size": 1},
            "The pair features of the rows have different shapes (3 × 3 × 8 and 2 × 2 × 8), so they do not fit into one "
            "array. Choose another layout, or give rows of one size.",
        ),
        (
            ConfigError,
            {"batch_size": 0},
            "features: the setting 'batch_size' is 0: input should be greater than or equal to 1.",
        ),
        (
            ConfigError,
            {"precision": "fp8"},
            "features: the setting 'precision' is 'fp8': input should be 'fp32' or 'bf16'.",
        ),
        (MissingColumn, {"keep": ["txt"]}, "the data has no column 'txt'. Did you mean 'text'? Columns: text."),
        (MissingColumn, {"inputs": "txt"}, "the data has no column 'txt'. Did you mean 'text'? Columns: text."),
        (
            DataError,
            {"data": {"said": ["a"]}},
            "The backbone reads text, but no column was named for 'text', and the data has said. "
            "Name the columns to read with inputs=….",
        ),
        (DataError, {"data": {"text": []}}, "the data has columns but no rows."),
        (InvalidDevice, {"device": "meta"}, "The device 'meta' cannot be used: it holds no data. 'cpu' always can."),
        (
            CompositionError,
            {"backbone": 3},
            "The backbone is 3, of the type int. Give a name, a dict with 'name' and settings, or an object of the class "
            "taskgraft.Backbone.",
        ),
        (
            InferenceError,
            {"keep": ["text", "text"]},
            "The output would have two columns named 'text'. Keep other columns.",
        ),
        (
            InferenceError,
            {"data": dict(WORDS.inputs) | {"features": [1] * 6}, "keep": ["features"]},
            "The output would have two columns named 'features'. Keep other columns.",
        ),
        (
            InferenceError,
            {"data": dict(WORDS.inputs) | {"tags": [["a"]] * 6}, "keep": ["tags"]},
            "The column 'tags' (list<item: string>) cannot be stored in an .npz file, which holds numbers, text, and booleans "
            "without missing values. Write .parquet, or keep other columns.",
        ),
        (
            OutputError,
            {"output": "out.txt"},
            "The features cannot be written to out.txt: supported file endings are .parquet, .npz, .npy.",
        ),
        (
            OutputError,
            {"output": "out.npy", "layout": "sequence"},
            "The features cannot be written to out.npy: a .npy file holds one array, not sequences; write .npz or .parquet.",
        ),
        (
            OutputError,
            {"output": "out.npy", "keep": ["text"]},
            "The features cannot be written to out.npy: a .npy file cannot hold other columns; write .npz or .parquet.",
        ),
    ],
)
def test_an_invalid_request_is_answered_with_one_message(tmp_path, kind, arguments, message):
    assert error_message(kind, tmp_path, **arguments) == message


def test_an_invalid_row_is_numbered_from_the_first_window(monkeypatch, tmp_path):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 4)
    rows = {"text": [*sentences(9)["text"], "  "]}
    message = error_message(InvalidRows, tmp_path, data=rows, batch_size=4)
    assert message == (
        "the data, row 9: the text is empty.\n"
        'Fix these rows, or leave them out: on_bad_row = "skip" (--on-bad-row skip).'
    )


def test_all_invalid_rows_of_all_windows_are_listed_and_left_out_on_request(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_ROWS", 4)
    texts = ["late", "", "lost card", "late", "", "", "", "", "my card", None, "late"]
    with pytest.raises(InvalidRows) as caught:
        tg.extract_features(words(), texts, batch_size=4, quiet=True)
    assert "6 of 11 rows are like this (rows 1, 4, 5, 6, 7 and 1 more)" in str(caught.value)
    left = tg.extract_features(words(), texts, batch_size=4, on_bad_row="skip", quiet=True)
    expected = tg.extract_features(words(), [text for text in texts if text], batch_size=4, quiet=True)
    np.testing.assert_allclose(left.values, expected.values, atol=1e-6)
    with pytest.raises(InvalidRows):
        tg.extract_features(words(), ["", ""], on_bad_row="skip", quiet=True)


def test_remarks_of_a_reader_are_among_the_notes(tmp_path):
    (tmp_path / "rows.csv").write_text("text\ncafÃ©\nlost card\n")
    result = tg.extract_features_to(words(), tmp_path / "rows.csv", tmp_path / "out.npy", quiet=True)
    assert result.notes == {"the text looks like UTF-8 that was read as cp1252 ('cafÃ©' for 'café')": 1}


def test_features_never_overwrite_their_data(tmp_path):
    parquet.write_table(pa.table({"text": WORDS.inputs["text"]}), tmp_path / "rows.parquet")
    message = error_message(
        OutputError, tmp_path, data=tmp_path / "rows.parquet", output="rows.parquet", overwrite=True
    )
    assert message == "The features cannot be written to rows.parquet: it holds the data; name another file."
    assert parquet.read_table(tmp_path / "rows.parquet").column_names == ["text"]

"""A message names the row of the user's own data: by its line in a file, else by its place, from 0; after any split or drop."""

import gzip
import json

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from small_tasks import sentences, words

import taskgraft as tg
from taskgraft.contract.rows import InvalidRows
from taskgraft.discovery.catalog import catalog
from taskgraft.reading.splitting import read_train_and_validation
from taskgraft.recipe import DataConfig

PROBE = {"name": "linear-probe", "penalty": 1e-3}
COUNT, BAD = 60, 40
SKIP = 'Fix these rows, or drop them with data.on_bad_row = "skip".'


def rows_with(bad, **texts):
    """Sentences; the row ``bad`` has an empty text, and others have what ``texts`` gives."""
    rows = sentences(COUNT)
    rows["text"][bad] = ""
    return rows | {"place": list(range(COUNT))}


def as_list(rows, folder):
    return [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]


def as_json_lines(rows, folder):
    (folder / "data.jsonl").write_text("\n\n".join(json.dumps(row) for row in as_list(rows, folder)))
    return folder / "data.jsonl"


def as_csv(rows, folder):
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def as_gzipped_csv(rows, folder):
    path = folder / "data.csv.gz"
    path.write_bytes(gzip.compress(as_csv(rows, folder).read_bytes()))
    return path


def as_parquet(rows, folder):
    parquet.write_table(pa.table(rows), folder / "data.parquet", row_group_size=7)
    return folder / "data.parquet"


def as_dataset_folder(rows, folder):
    datasets.Dataset.from_dict(rows).save_to_disk(folder / "saved")
    return folder / "saved"


def as_filtered_dataset(rows, folder):
    """The rows of a longer dataset that were selected: the places are those of the selection."""
    longer = {name: [values[0], *values] for name, values in rows.items()}
    return datasets.Dataset.from_dict(longer).select(range(1, COUNT + 1))


def as_indexed_frame(rows, folder):
    return pd.DataFrame(rows, index=[f"c{1000 - place}" for place in rows["place"]])


SOURCES = {
    "columns": (lambda rows, folder: rows, "the training data", "row 40"),
    "list of dicts": (as_list, "the training data", "row 40"),
    "Arrow table": (lambda rows, folder: pa.table(rows), "the training data", "row 40"),
    "dataset": (lambda rows, folder: datasets.Dataset.from_dict(rows), "the training data", "row 40"),
    "selected dataset": (as_filtered_dataset, "the training data", "row 40"),
    "frame": (lambda rows, folder: pd.DataFrame(rows), "the training data", "row 40"),
    "frame with an index": (as_indexed_frame, "the training data", "row 40 (index c960)"),
    "CSV": (as_csv, "data.csv", "line 42"),
    "gzipped CSV": (as_gzipped_csv, "data.csv.gz", "line 42"),
    "JSON lines": (as_json_lines, "data.jsonl", "line 81"),
    "Parquet": (as_parquet, "data.parquet", "row 40"),
    "dataset folder": (as_dataset_folder, "saved", "row 40"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("source", SOURCES)
def test_a_row_keeps_its_number_through_a_split(tmp_path, source, seed):
    give, _, place = SOURCES[source]
    data = give(rows_with(BAD), tmp_path)
    config = DataConfig(target=("label",), split="fraction:0.4")
    for rows in read_train_and_validation(data, None, config, seed, catalog(), ()):
        texts = rows.values("text")
        if "" in texts:
            assert rows.location(texts.index("")) == place
        dropped = rows.drop({0: "it is odd", 3: "it is odd"})
        for row in range(len(dropped)):
            number = int(dropped.value("place", row))
            assert dropped.location(row) == rows.location(rows.values("place").index(dropped.value("place", row)))
            if rows.lines is None:
                assert dropped.location(row).split()[1] == str(number)


@pytest.mark.parametrize("source", SOURCES)
def test_an_invalid_row_is_named_as_the_user_knows_it(tmp_path, source):
    give, name, place = SOURCES[source]
    data, messages = give(rows_with(BAD), tmp_path), set()
    for seed in range(4):  # the row is in training for some, in validation for others
        with pytest.raises(InvalidRows) as caught:
            tg.compose(words(), "classification", PROBE).fit(
                data, split="fraction:0.4", inputs="text", target="label", training={"seed": seed}, quiet=True
            )
        messages.add(str(caught.value))
    assert messages == {f"{name}{part}, {place}: the text is empty.\n{SKIP}" for part in ("", " (validation)")}


def test_rows_dropped_before_do_not_shift_the_numbers():
    rows = rows_with(BAD)
    rows["label"][3] = rows["label"][7] = None
    rows["part"] = ["?", *["train"] * 45, *["valid"] * (COUNT - 46)]
    rows["label"][50] = "unseen"
    with pytest.raises(InvalidRows) as caught:
        tg.compose(words(), "classification", PROBE).fit(
            {name: values[1:] for name, values in rows.items()},
            split="column:part",
            inputs="text",
            target="label",
            quiet=True,
        )
    assert str(caught.value) == (
        "the training data, row 2: the target column 'label' is empty. 2 of 45 rows are like this (rows 2, 6).\n" + SKIP
    )


def test_a_column_split_that_skips_rows_keeps_the_numbers():
    rows = rows_with(BAD) | {"part": ["?"] * 5 + ["train"] * 30 + ["valid"] * 25}
    config = DataConfig(target=("label",), split="column:part", on_bad_row="skip")
    training, validation = read_train_and_validation(rows, None, config, 0, catalog(), ())
    assert [training.location(0), training.location(29)] == ["row 5", "row 34"]
    assert [validation.location(0), validation.location(24)] == ["row 35", "row 59"]


@pytest.mark.slow
def test_predictions_in_windows_number_the_rows_from_the_first(tmp_path):
    model = tg.compose(words(), "classification", PROBE)
    model.fit(sentences(), target="label", quiet=True)
    rows = {"text": ["lost card"] * 4_500 + [""]}
    for give, place in (
        (lambda: rows, "the data, row 4,500"),
        (lambda: as_parquet(rows, tmp_path), "data.parquet, row 4,500"),
        (lambda: as_csv(rows, tmp_path), "data.csv, line 4,502"),
        (lambda: pd.DataFrame(rows, index=range(10, 4_511)), "the data, row 4,500 (index 4510)"),
    ):
        with pytest.raises(InvalidRows) as caught:
            model.predict_to(give(), tmp_path / "out.csv", quiet=True)
        assert str(caught.value).splitlines()[0] == f"{place}: the text is empty."


def test_an_evaluation_names_rows_as_the_user_does(tmp_path):
    model = tg.compose(words(), "classification", PROBE)
    model.fit(sentences(), target="label", quiet=True)
    rows = rows_with(BAD)
    rows["label"][17] = "never seen"
    rows["text"][BAD] = "lost card"
    with pytest.raises(InvalidRows) as caught:
        model.evaluate(pd.DataFrame(rows, index=range(100, 100 + COUNT)), quiet=True)
    assert str(caught.value) == (
        "the data, row 17 (index 117): the label 'never seen' does not occur in the training split, which has 'a', 'b', "
        f"'c'.\n{SKIP}"
    )

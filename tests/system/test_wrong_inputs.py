"""What a user reads after a mistake: the whole text, the exit code, and that no file is left incomplete."""

import errno
import gzip
import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
import tiny
from commands import typed
from full_disk import room_for
from pyarrow import parquet
from refusals import SKIP, refused, state_of
from safetensors.torch import load_file, save_file
from small_recipe import RECIPE, write_rows
from small_tasks import sentences

pytestmark = pytest.mark.slow

HEADER = "id,text,label\n"
PREDICT_ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
RUN_FILES = ("lock", "metrics.jsonl", "run.json")
PLAIN_MARKS = 'if quotation marks are ordinary characters, set data.reader = {name = "csv", quoting = "none"}'
GOOD = "001,lost my card,a\n002,the rain stops,b\n003,where is it,a\n"


@pytest.fixture
def folder(tmp_path, monkeypatch, small_plugin_installed):
    """The working directory, with a valid recipe and valid data."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    write_rows(place / "train.csv", 24, 0)
    write_rows(place / "valid.csv", 12, 1)
    (place / "intents.toml").write_text(RECIPE)
    return place


def refused_fit(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "intents.toml", "--quiet", *words)


# --- files of rows


def test_a_missing_file(folder):
    (folder / "train.csv").unlink()
    assert refused_fit() == "train.csv: there is no such file."


def test_an_empty_file(folder):
    (folder / "train.csv").write_bytes(b"")
    assert refused_fit() == ("train.csv: the file is empty; a header line with the names of the columns is needed.")


def test_a_header_without_rows(folder):
    (folder / "train.csv").write_text(HEADER)
    assert refused_fit() == "train.csv has columns but no rows."


def test_another_encoding(folder):
    (folder / "train.csv").write_bytes((HEADER + GOOD + "004,café,c\n").encode("latin-1"))
    assert refused_fit() == (
        'train.csv: line 5: the byte 0xe9 is not UTF-8. As cp1252 the line reads "004,café,c": '
        'data.reader = {name = "csv", encoding = "cp1252"}.'
    )
    done = typed("fit", "intents.toml", "--quiet", "--set", 'data.reader = {name = "csv", encoding = "cp1252"}')
    assert done.code == 0


def test_another_delimiter(folder):
    (folder / "train.csv").write_text((HEADER + GOOD).replace(",", ";"))
    assert refused_fit() == (
        "train.csv: line 1 names a single column, 'id;text;label'. If values are not separated by commas, name the delimiter: "
        'data.reader = {name = "csv", delimiter = ";"}.'
    )


def test_a_column_named_twice(folder):
    (folder / "train.csv").write_text("text,text,label\na,b,c\n")
    assert refused_fit() == "train.csv: line 1: 'text' names more than one column."


def test_a_missing_target_column(folder):
    assert refused_fit("data.target=lable") == (
        "train.csv has no column 'lable'. Did you mean 'label'? Columns: id, text, label."
    )


def test_a_missing_input_column(folder):
    assert refused_fit("data.inputs=txt") == (
        "train.csv has no column 'txt'. Did you mean 'text'? Columns: id, text, label."
    )


def test_an_excluded_column_that_does_not_exist(folder):
    assert refused_fit("data.exclude=idd") == (
        "data.exclude names 'idd', which train.csv does not have. Did you mean 'id'? Columns: id, text, label."
    )


def test_an_excluded_target(folder):
    assert refused_fit("data.exclude=label") == (
        "data.exclude names 'label', which is the target. Take it out of data.exclude."
    )


def test_an_excluded_input(folder):
    assert refused_fit('data.exclude=["id", "text"]') == (
        "'text' is in data.inputs and in data.exclude. Take it out of one of them."
    )


def test_an_excluded_column_that_would_be_matched_by_name(folder):
    (folder / "intents.toml").write_text(RECIPE.replace('inputs = "text"\n', ""))
    assert refused_fit("data.exclude=text") == (
        "The backbone reads text, but no column was named for 'text', and train.csv has id, text, label. "
        "Name the columns to read with inputs=…."
    )


def test_a_validation_file_without_the_target(folder):
    (folder / "valid.csv").write_text("id,text\n001,lost\n")
    assert refused_fit() == "valid.csv has no column 'label'. Columns: id, text."


def test_an_empty_cell(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + "004,the card,\n005,my card,a\n006,,b\n007,late,\n")
    assert refused_fit() == (
        "train.csv, line 5: the target column 'label' is empty. 2 of 7 rows are like this (lines 5, 8).\n" + SKIP
    )


def test_an_empty_text(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + "006,,b\n")
    assert refused_fit() == f"train.csv, line 5: the text is empty.\n{SKIP}"


def test_a_ragged_row(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + "004,my, oh my,b\n")
    assert refused_fit() == f"train.csv, line 5: the row has 4 values, but the header names 3 columns.\n{SKIP}"


def test_a_quoted_line_break_before_an_invalid_row(folder):
    (folder / "train.csv").write_text(HEADER + '001,"lost\nmy\ncard",a\n' + GOOD + "004,my card\n")
    assert refused_fit() == f"train.csv, line 8: the row has 2 values, but the header names 3 columns.\n{SKIP}"


def test_a_quotation_mark_without_an_end(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + '004,"my card,b\n005,late,a\n')
    assert refused_fit() == f"train.csv: line 5: a quoted value is never closed; {PLAIN_MARKS}."


def test_a_gzip_file_cut_off(folder):
    (folder / "train.csv.gz").write_bytes(gzip.compress((HEADER + GOOD).encode())[:-12])
    assert refused_fit("data.train=train.csv.gz") == (
        "train.csv.gz: the file is not a complete gzip file (Compressed file ended before the end-of-stream "
        "marker was reached)."
    )


def test_a_line_that_is_not_json(folder):
    (folder / "train.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": "c", "label": }\n')
    assert refused_fit("data.train=train.jsonl") == (
        f"train.jsonl, line 2: the line is not JSON (Expecting value).\n{SKIP}"
    )


def test_a_file_that_is_not_parquet(folder):
    (folder / "train.parquet").write_text("text,label\n")
    assert refused_fit("data.train=train.parquet") == (
        "train.parquet: the file is not a Parquet file: it begins with 'text,label\\n'."
    )


OTHER_FILES = {
    "gzip": (
        "train.csv",
        gzip.compress((HEADER + GOOD).encode()),
        "the file is gzipped, but its name does not end in .gz. Rename it to train.csv.gz.",
    ),
    "UTF-16": (
        "train.csv",
        (HEADER + GOOD).encode("utf-16"),
        'the file is UTF-16 text, not UTF-8. Name the encoding: data.reader = {name = "csv", encoding = "utf-16"}.',
    ),
    "a web page": (
        "train.csv",
        b"<html><body>Please sign in</body></html>",
        "the file is a web page, perhaps a login or an error page saved under this name. Download the file again.",
    ),
    "a Git LFS pointer": (
        "train.csv",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n",
        "the file is a Git LFS pointer, not the data themselves. Fetch them with git lfs pull.",
    ),
    "an old workbook": (
        "train.xls",
        bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500),
        "the file is an Excel workbook in the old format, or another Office document with a password. Save the sheet as CSV, "
        "or read it with pandas.read_excel and pass the DataFrame.",
    ),
    "a pickle": (
        "train.pkl",
        b"\x80\x04\x95\x0b\0\0\0\0\0\0\0.",
        "the file is a pickle, which is never opened, since that can run code. Save the data as CSV or Parquet.",
    ),
    "a JSON array": (
        "train.jsonl",
        b'[{"text": "a", "label": "b"}]',
        "line 1 begins a JSON value of more than one row; write one object per line, as DataFrame.to_json(…, orient='records', "
        "lines=True) does.",
    ),
    "a title": (
        "train.csv",
        f"Export of May\n{HEADER}{GOOD}".encode(),
        "line 1 names 1 column, 'Export of May', but from line 2 there are 3 values in a line. If line 2 is the header, skip "
        'the lines above it: data.reader = {name = "csv", skip = 1}.',
    ),
    "Excel's note": (
        "train.csv",
        f"sep=;\n{HEADER}{GOOD}".replace(",", ";").encode(),
        "line 1 is Excel's note on the delimiter, 'sep=;'. Skip it, and name the delimiter: "
        'data.reader = {name = "csv", delimiter = ";", skip = 1}.',
    ),
    "two encodings": (
        "train.csv",
        (HEADER + "001,thé,a\n").encode() + "002,café,b\n".encode("cp1252"),
        "line 3: the byte 0xe9 is not UTF-8, but line 2 is ('001,thé,a'). Save all of the file in one encoding.",
    ),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_that_is_something_else(folder, case):
    name, content, message = OTHER_FILES[case]
    (folder / name).write_bytes(content)
    assert refused_fit(f"data.train={name}") == f"{name}: {message}"


def test_files_joined_with_their_headers(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + HEADER + GOOD)
    assert refused_fit() == f"train.csv, line 5: the row repeats the header, as of a file that was appended.\n{SKIP}"


def test_a_nul_byte(folder):
    (folder / "train.csv").write_text(HEADER + GOOD + "004,my \0card,a\n")
    assert refused_fit() == f"train.csv, line 5: the value of 'text' has a NUL byte.\n{SKIP}"


def test_what_is_odd_about_a_file_is_printed_once_and_in_json(folder):
    rows = [f"{number:03}\tthe card {number}\t{'abc'[number % 3]}\n" for number in range(30)]
    rows[5], rows[9] = '005\t"the card\ta\n', '009\t12"\ta\n'
    rows[12] = "012\tcafÃ©\ta\n"
    (folder / "train.tsv").write_text(HEADER.replace(",", "\t") + "".join(rows))
    done = typed("fit", "intents.toml", "--set", "data.train=train.tsv", "--json", "--quiet")
    swallowed = f"a quoted value holds lines that look like rows (the first on lines 7 to 11); {PLAIN_MARKS}"
    wrong = "the text looks like UTF-8 that was read as cp1252 ('cafÃ©' for 'café')"
    assert done.code == 0
    assert json.loads(done.out)["notes"] == {swallowed: 1, wrong: 1}
    done = typed("fit", "intents.toml", "--set", "data.train=train.tsv", "--overwrite")
    assert [line for line in done.err.splitlines() if line.startswith((swallowed, wrong))] == [
        f"{swallowed}: 1 of 26 training rows",
        f"{wrong}: 1 of 26 training rows",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_row_of_parquet_keeps_its_number_after_a_split(folder, seed):
    rows = sentences(60)
    rows["text"][40] = ""
    parquet.write_table(pa.table(rows), folder / "rows.parquet")
    (folder / "intents.toml").write_text(RECIPE.replace('validation = "valid.csv"', 'split = "fraction:0.3"'))
    message = refused_fit("data.train=rows.parquet", f"training.seed={seed}")
    assert message.replace(" (validation)", "") == f"rows.parquet, row 40: the text is empty.\n{SKIP}"


def test_a_kind_of_file_without_a_reader(folder):
    (folder / "train.xlsx").write_text("")
    assert refused_fit("data.train=train.xlsx") == (
        "train.xlsx: no reader takes files of this kind. Readers take .csv, .csv.gz, .fa, .fa.gz, .faa, "
        ".faa.gz, .fas, .fas.gz, .fasta, .fasta.gz, .jsonl, .jsonl.gz and 6 more."
    )


def test_a_folder_without_a_reader(folder):
    (folder / "rows").mkdir()
    assert refused_fit("data.train=rows") == (
        "rows: no reader takes this folder. Readers look for *.bmp, *.gif, *.jpeg, *.jpg, *.png, *.ppm, *.tif, *.tiff, *.webp, "
        "dataset_dict.json, dataset_info.json, history.* in it."
    )


def test_a_data_set_that_cannot_be_loaded(folder):
    assert refused_fit("data.train=hub:nobody/nothing") == (
        "hub:nobody/nothing: the dataset cannot be loaded "
        "(Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled))."
    )


# --- targets


def test_one_class_only(folder):
    (folder / "train.csv").write_text(HEADER + "001,lost,a\n002,late,a\n")
    assert refused_fit() == (
        "The target column 'label' has only the label 'a' in the training split; a head needs two or more to tell apart."
    )


def test_a_label_outside_the_training_split(folder):
    (folder / "valid.csv").write_text(HEADER + GOOD + "004,slow,c\n")
    (folder / "train.csv").write_text(HEADER + GOOD)
    assert refused_fit() == (
        f"valid.csv, line 5: the label 'c' does not occur in the training split, which has 'a', 'b'.\n{SKIP}"
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity"])
def test_a_target_that_is_not_a_finite_number(folder, value):
    (folder / "train.csv").write_text(HEADER + f"001,lost,1.5\n002,late,{value}\n003,my,2\n")
    assert refused_fit("head=regression", "strategy=full", "data.validation=null") == (
        f"train.csv, line 3: the target column 'label' is {value!r}, not a finite number.\n{SKIP}"
    )


def test_a_text_where_a_number_is_predicted(folder):
    (folder / "train.csv").write_text(HEADER + "001,lost,1.5\n002,late,many\n")
    assert refused_fit("head=regression", "data.validation=null") == (
        f"train.csv, line 3: the target column 'label' is 'many', not a number.\n{SKIP}"
    )


def test_labels_of_another_number_than_elements(folder):
    (folder / "train.csv").write_text(HEADER + "001,lost my card,A B C\n002,late again,A\n")
    assert refused_fit("head=element-classification", "strategy=full", "data.validation=null") == (
        f"train.csv, line 3: 'label' has 1 labels for 2 elements.\n{SKIP}"
    )


# --- the recipe


def test_a_missing_recipe(folder):
    assert refused("fit", "intent.toml") == "intent.toml: there is no such file. Did you mean 'intents.toml'?"


def test_a_recipe_of_an_unknown_kind(folder):
    (folder / "intents.ini").write_text("")
    assert refused("fit", "intents.ini") == (
        "intents.ini: a recipe is a file that ends in .toml or .json or .yaml or .yml, or an artifact."
    )


def test_a_recipe_with_a_hole_in_it(folder):
    (folder / "intents.toml").write_text(RECIPE.replace('head = "classification"', "head = "))
    assert refused("fit", "intents.toml") == "intents.toml, line 3, column 8: invalid value."


def test_a_key_that_a_recipe_does_not_have(folder):
    (folder / "intents.toml").write_text(RECIPE + "[trainig]\nepochs = 3\n")
    assert refused("fit", "intents.toml") == (
        "intents.toml: there is no setting 'trainig'. Did you mean 'training'? "
        "Settings: backbone, head, strategy, data, training."
    )


def test_an_override_of_an_unknown_key(folder):
    assert refused_fit("training.epoch=3").startswith(
        "'training.epoch=3' cannot be set: a recipe has no 'training.epoch'. Did you mean 'training.epochs'? Keys: "
    )


def test_a_value_of_the_wrong_type(folder):
    assert refused_fit("training.epochs=many") == (
        "intents.toml (with training.epochs=many): the setting 'training.epochs' is 'many': input should be a valid "
        "integer, unable to parse string as an integer."
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbone=5", "the setting 'backbone' is 5: input should be a dict."),
        ("data.target=5", "the setting 'data.target' is 5: input should be a list."),
        ("training=fast", "the setting 'training' is 'fast': input should be a dict."),
    ],
)
def test_a_value_of_the_wrong_kind(folder, override, message):
    assert refused_fit(override) == f"intents.toml (with {override}): {message}"


def test_a_value_out_of_its_range(folder):
    assert refused_fit("training.epochs=0") == (
        "intents.toml (with training.epochs=0): the setting 'training.epochs' is 0: input should be greater than or "
        "equal to 1."
    )


def test_an_unknown_head(folder):
    message = refused_fit("head=clasification")
    assert message.startswith("No head named 'clasification'. Did you mean 'classification' (from taskgraft 0.1.0)?\n")


def test_a_setting_that_a_strategy_does_not_have(folder):
    assert refused_fit("strategy.penalti=1") == (
        "strategy 'linear-probe': there is no setting 'penalti'. Did you mean 'penalty'? Settings: penalty, "
        "head_learning_rate, layer_decay, epochs, patience."
    )


def test_a_strategy_without_what_it_needs(folder):
    assert refused_fit("strategy=partial") == (
        "strategy 'partial': the setting 'learn' has no default, so set it (number of parts that are trained, "
        "counted from the output)."
    )


def test_a_head_that_reads_what_the_backbone_does_not_emit(folder):
    message = refused_fit("backbone=small-table", "head=element-classification")
    assert message.splitlines()[0] == (
        "'element-classification' reads sequence features, but 'small-table' emits vector."
    )


def test_validation_rows_twice(folder):
    assert refused_fit("data.split=fraction:0.1") == (
        "intents.toml (with data.split=fraction:0.1): the setting 'data' is {'train': 'train.csv', 'validation': "
        "'v…get': 'label', 'split': 'fraction:0.1'}: give validation rows by 'validation' or by 'split', not by both."
    )


def test_validation_rows_that_are_the_training_rows(folder):
    assert refused_fit("data.validation=train.csv") == (
        "The validation data are the training data (train.csv), so they would say nothing about new rows. "
        'Name other rows, or hold some out with data.split = "fraction:0.1".'
    )


def test_early_stopping_without_validation_rows(folder):
    assert refused_fit("data.validation=null", "training.patience=2", "strategy=full") == (
        "training.patience stops training after 2 epochs without a lower validation loss, but there are no validation rows. "
        "Give data.validation or data.split."
    )


def test_a_split_that_leaves_nothing(folder):
    (folder / "train.csv").write_text(HEADER + GOOD)
    assert refused_fit("data.validation=null", "data.split=fraction:0.1") == (
        "The split 'fraction:0.1' (from taskgraft 0.1.0) leaves no row for 'validation' (train 3, validation 0). "
        "Choose another split, or change its settings."
    )


def test_a_tracker_that_is_not_installed(folder):
    assert refused_fit('training.trackers=["mlflow"]') == (
        "The tracker 'mlflow' cannot be used: its package is not installed (pip install mlflow)."
    )


DIVERGING = ("--set", 'strategy={"name": "full", "learning_rate": 1e30}')


def test_training_that_diverges_in_its_first_epoch(folder):
    done = typed("fit", "intents.toml", "-q", *DIVERGING)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "Error: No prediction for a validation row is finite after an epoch, so training has diverged. "
        "Lower the learning rate.\n",
    )
    assert not (folder / "intents").exists()


def test_a_loss_that_is_not_finite(folder):
    done = typed("fit", "intents.toml", "-q", "--set", "data.validation=null", *DIVERGING)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(
        r"Error: The loss of stage 'full' (became (nan|inf) at step \d+|is \S+ at step \d+, but its gradient is not "
        r"finite)\. The model keeps the weights of the step before\. Lower the learning rate, or look for inputs that are "
        r"not finite\.\n",
        done.err,
    )
    assert not (folder / "intents").exists()


# --- checkpoints


def test_a_folder_that_is_not_a_checkpoint(folder):
    (folder / "checkpoint").mkdir()
    assert refused_fit("backbone=hf-text:./checkpoint") == (
        "The checkpoint './checkpoint' cannot be used: it has no config.json, so it is not a transformers checkpoint."
    )


def test_a_checkpoint_with_a_missing_tensor(folder, tmp_path):
    checkpoint = tiny.save("bert", tmp_path / "checkpoint")
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors["embeddings.word_embeddings.weight"]
    save_file(tensors, checkpoint / "model.safetensors", {"format": "pt"})
    assert refused_fit(f"backbone=hf-text:{checkpoint}") == (
        f"The checkpoint '{checkpoint}' lacks 1 tensors that the features use: embeddings.word_embeddings.weight.\n"
        "They would be initialized at random, so choose a complete checkpoint."
    )


# --- places


def test_an_output_folder_that_holds_something_else(folder):
    (folder / "intents").mkdir()
    (folder / "intents" / "thesis.txt").write_text("")
    assert refused("fit", "intents.toml", "--overwrite") == (
        "Nothing was fitted: intents is not an artifact, so it is not overwritten. Choose another folder with -o."
    )


def test_an_artifact_that_already_exists(folder):
    assert typed("fit", "intents.toml", "-q").code == 0
    assert refused("fit", "intents.toml") == (
        "Nothing was fitted: intents already exists. "
        "Choose another folder with -o, or replace the artifact with --overwrite."
    )


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no read-only folder")
def test_a_read_only_folder(folder):
    assert refused("fit", "intents.toml", "-o", "/proc/intents") == (
        "Nothing was fitted: /proc cannot be written to (No such file or directory). Choose another folder with -o."
    )


def test_a_folder_below_a_file(folder):
    assert refused("fit", "intents.toml", "-o", "train.csv/intents") == (
        f"Nothing was fitted: {folder / 'train.csv'} cannot be written to (Not a directory). Choose another folder with -o."
    )


@contextmanager
def room_for_the_checkpoint_alone():
    """Let the folder of an artifact be made, and nothing be written into it."""

    def refuse(tensors, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("taskgraft.artifact.save.save_file", refuse)
        yield


def test_no_room_for_the_artifact(folder):
    before = state_of(folder)
    with room_for(8_000):
        done = typed("fit", "intents.toml", "-q", "-o", "models/intents")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: The artifact cannot be written to {folder / 'models' / 'intents'}: File too large.\n"
    left = {name for name in state_of(folder) if name not in before}
    assert left == {
        "models",
        "models/intents.run",
        *(f"models/intents.run/{name}" for name in (*RUN_FILES, "finished.json")),
    }


def test_no_room_for_the_artifact_loses_no_work(folder):
    words = (
        "fit",
        "intents.toml",
        "-q",
        "--set",
        "strategy=full",
        "-o",
        "models/intents",
        "--set",
        "training.epochs=1",
    )
    with room_for_the_checkpoint_alone():
        done = typed(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"Error: The artifact cannot be written to {folder / 'models' / 'intents'}: No space left on device.\n"
        "The checkpoint is in models/intents.run. Once that is fixed, continue with: "
        "taskgraft fit intents.toml -q --set strategy=full -o models/intents --set training.epochs=1 --resume\n"
    )
    assert typed(*words, "--resume").code == 0
    lines = (folder / "models" / "intents.run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2  # a step and an epoch, of the first run


def test_no_room_for_the_rows(folder):
    write_rows(folder / "train.csv", 24, 0)
    with room_for(100):
        assert refused_fit() == (
            f"The rows cannot be written to the temporary folder, {tempfile.gettempdir()}: File too large. "
            "Make room there, or set the environment variable TMPDIR to another folder."
        )


def test_two_runs_in_one_folder(folder):
    from taskgraft.storage.run_directory import RunDirectory

    first = RunDirectory(folder / "intents.run")
    first.open({}, resume=False)
    try:
        assert refused_fit() == (
            "The run folder intents.run cannot be used: another run is using it; wait, or choose another folder."
        )
    finally:
        first.close()


# --- an artifact


@pytest.fixture
def artifact(folder):
    assert typed("fit", "intents.toml", "-q").code == 0
    return folder / "intents"


def test_an_artifact_that_is_missing(folder):
    assert refused("predict", "intent", "valid.csv") == "The artifact intent cannot be used: there is no such folder."


def test_a_damaged_artifact(artifact):
    with (artifact / "learned.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    assert refused("evaluate", "intents", "valid.csv") == (
        "The artifact intents cannot be used: its files do not match SHA256SUMS, so it is damaged or was changed."
    )


def test_no_room_for_predictions(artifact, folder):
    (folder / "new.csv").write_text("text\n" + "lost my card\n" * 2_000)
    before = state_of(folder)
    with room_for(60_000):
        done = typed("predict", "intents", "new.csv", "-o", "out.csv", "--probabilities", "--keep", "text", "-q")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: The predictions cannot be written to out.csv: File too large.\n"
    assert state_of(folder) == before


def test_rows_to_predict_for_without_the_input(artifact, folder):
    (folder / "new.csv").write_text("id,words\n1,lost\n")
    assert refused("predict", "intents", "new.csv", "-o", "out.csv") == (
        "new.csv has no column 'text'. Columns: id, words."
    )


def test_an_invalid_row_to_predict_for(artifact, folder):
    (folder / "new.csv").write_text("id,text\n1,lost\n2,\n3,late\n")
    assert refused("predict", "intents", "new.csv", "-o", "out.csv") == (
        f"new.csv, line 3: the text is empty.\n{PREDICT_ADVICE}"
    )


def test_predictions_onto_the_rows_themselves(artifact):
    assert refused("predict", "intents", "valid.csv", "-o", "valid.csv", "--overwrite") == (
        "The predictions cannot be written to valid.csv: it holds the data; name another file."
    )


def test_an_evaluation_by_an_unknown_metric(artifact):
    message = refused("evaluate", "intents", "valid.csv", "--metrics", "regresion", "--quiet")
    assert message.startswith("No metric named 'regresion'. Did you mean 'regression' (from taskgraft 0.1.0)?\n")


def test_an_evaluation_by_an_unknown_group_column(artifact):
    assert refused("evaluate", "intents", "valid.csv", "--groups", "customer", "--quiet") == (
        "valid.csv has no column 'customer'. Columns: id, text, label."
    )


def test_an_unknown_device(artifact):
    message = refused("predict", "intents", "valid.csv", "--device", "warp")
    assert message.startswith("The device 'warp' cannot be used: ")
    assert message.endswith(" 'cpu' always can.")

"""Mistakes with sequences on the command line: the whole message, the exit code, and no files left behind."""

import gzip
import io

import pytest
from commands import typed
from planting import garden_in
from refusals import SKIP, refused

pytestmark = pytest.mark.slow

ADVICE = "Fix these rows, or take them out of the data."
PREDICT_ADVICE = (
    'Fix these rows, or go on without them: on_bad_row = "null" (--on-bad-row null) leaves their predictions empty, "skip" '
    "leaves them out."
)
RECIPE = """
backbone = "small-words"
head = "classification"
strategy = "linear-probe"

[data]
train = "proteins.fasta"
inputs = "sequence"
target = "label"

[data.reader]
name = "fasta"
label = 'class=(\\S+)'
"""
GOOD = ">p1 class=a\nMKVLAAGI\nLLA\n>p2 class=b\nGGSGGS\n>p3 class=a\nMKILAAGV\n>p4 class=b\nGSSGGT\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with a valid recipe, valid sequences, and matching labels and a table."""
    folder = tmp_path / "work"
    folder.mkdir()
    folder.joinpath("sort.toml").write_text(RECIPE)
    folder.joinpath("proteins.fasta").write_text(GOOD)
    folder.joinpath("secondary.fasta").write_text(">p1\nHHHHHHHHHHC\n>p2\nCCCCCC\n>p3\nHHHHHHHC\n>p4\nCCCCCC\n")
    folder.joinpath("activity.csv").write_text("id,activity\np1,0.5\np2,1.5\np3,0.6\np4,1.4\n")
    monkeypatch.chdir(folder)
    with garden_in(tmp_path / "installed", alone=False) as garden:
        garden.plant(None, "taskgraft-small", module="small_plugin")
        yield folder


def fit_error(*overrides):
    words = [word for text in overrides for word in ("--set", text)]
    return refused("fit", "sort.toml", "--quiet", *words)


def fasta_error(place, content, *overrides):
    """Fit with another file of sequences, and give the error."""
    place.joinpath("proteins.fasta").write_bytes(content if isinstance(content, bytes) else content.encode())
    return fit_error(*overrides)


def labels_error(place, content, *overrides):
    """Fit with another file of labels per residue, and give the error."""
    place.joinpath("secondary.fasta").write_text(content)
    return fit_error("data.reader.labels=secondary.fasta", "data.target=labels", *overrides)


def table_error(place, content, *overrides):
    """Fit with another table for the sequences, and give the error."""
    place.joinpath("activity.csv").write_text(content)
    return fit_error("data.reader.table=activity.csv", "data.target=activity", "head=regression", *overrides)


@pytest.mark.slow
def test_valid_files_are_accepted(place):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    table = ("data.reader.table=activity.csv", "data.target=activity", "head=regression")
    words = [word for text in table for word in ("--set", text)]
    assert typed("fit", "sort.toml", "-q", "-o", "other", *words).code == 0


# --- files


def test_a_missing_file(place):
    assert fit_error("data.train=protein.fasta") == "protein.fasta: there is no such file."


def test_an_empty_file(place):
    assert fasta_error(place, "") == (
        "proteins.fasta: the file has no sequences; each needs a header, a line that begins with '>'."
    )


def test_a_file_with_another_suffix(place):
    (place / "proteins.fasta").rename(place / "proteins.seq")
    assert fit_error("data.train=proteins.seq", "data.reader=csv") == (
        "proteins.seq has no column 'label'. Columns: >p1 class=a."
    )


def test_a_suffix_without_a_reader(place):
    (place / "proteins.fasta").rename(place / "proteins.seq")
    assert (
        typed("fit", "sort.toml", "-q", "--set", "data.train=proteins.seq", "-o", "model").code == 0
    )  # named, so it is taken


def test_bare_sequences_without_headers(place):
    assert fasta_error(place, "MKVLAAGI\nGGSGGS\n") == (
        "proteins.fasta: line 1: 'MKVLAAGI' is before the first header, a line that begins with '>'."
    )


def test_a_table_named_fasta(place):
    assert fasta_error(place, "id,sequence\np1,MKV\n") == (
        "proteins.fasta: line 1: 'id,sequence' is before the first header, a line that begins with '>'."
    )


def test_a_file_in_utf_16(place):
    assert fasta_error(place, GOOD.encode("utf-16")) == (
        "proteins.fasta: the file is UTF-16 text, not UTF-8. Save it as UTF-8."
    )


def test_a_gzipped_file_without_the_suffix(place):
    assert fasta_error(place, gzip.compress(GOOD.encode())) == (
        "proteins.fasta: the file is gzipped, but its name does not end in .gz. Rename it to proteins.fasta.gz."
    )


def test_a_web_page_named_fasta(place):
    assert fasta_error(place, b"<!doctype html><html><body>Sign in</body></html>") == (
        "proteins.fasta: the file is a web page, perhaps a login or an error page saved under this name. Download the file "
        "again."
    )


def test_a_gzip_file_cut_off(place):
    content = gzip.compress(GOOD.encode(), mtime=0)
    (place / "proteins.fasta.gz").write_bytes(content[: len(content) - 12])
    assert fit_error("data.train=proteins.fasta.gz") == (
        "proteins.fasta.gz: the file is not a complete gzip file (Compressed file ended before the end-of-stream marker was "
        "reached)."
    )


def test_a_plain_file_named_gzip(place):
    (place / "proteins.fasta.gz").write_text(GOOD)
    assert fit_error("data.train=proteins.fasta.gz") == (
        "proteins.fasta.gz: its name ends in .gz, but the file is not gzipped. If it is plain, rename it to proteins.fasta."
    )


# --- records


def test_a_header_without_an_id(place):
    assert fasta_error(place, GOOD + ">\nMKV\n") == f"proteins.fasta, line 10: the header has no id.\n{SKIP}"


def test_a_header_without_a_sequence(place):
    assert fasta_error(place, ">p0 class=a\n\n" + GOOD + ">p5 class=a\n") == (
        "proteins.fasta, line 1: there is no sequence below the header. 2 of 6 rows are like this (lines 1, 12).\n"
        f"{SKIP}"
    )


def test_a_duplicate_id(place):
    assert fasta_error(place, GOOD + ">p2 class=b\nMMM\n") == (
        f"proteins.fasta, line 10: the id 'p2' is already on line 4.\n{SKIP}"
    )


def test_a_header_in_another_encoding(place):
    assert fasta_error(place, GOOD.encode() + ">p5 Protéine class=a\nMKV\n".encode("latin-1")) == (
        f"proteins.fasta, line 10: the byte 0xe9 is not UTF-8.\n{SKIP}"
    )


def test_invalid_records_can_be_skipped_and_are_counted(place):
    (place / "proteins.fasta").write_text(GOOD + ">\nMKV\n>p1\nGG\n")
    done = typed("fit", "sort.toml", "-o", "model", "--set", "data.on_bad_row=skip")
    assert done.code == 0
    assert (
        "skipped, since the header has no id: 1 of 6 training rows\n"
        "skipped, since the id 'p1' is already on line 1: 1 of 6 training rows\n"
    ) in done.err


# --- labels in headers


def test_a_header_without_a_label(place):
    assert fasta_error(place, GOOD + ">p5 kind=a\nMKV\n") == (
        f"proteins.fasta, line 10: the target column 'label' is empty.\n{SKIP}"
    )


def test_one_label_only(place):
    assert fasta_error(place, GOOD.replace("class=b", "class=a")) == (
        "The target column 'label' has only the label 'a' in the training split; a head needs two or more to tell apart."
    )


def test_a_pattern_without_a_group(place):
    assert fit_error("data.reader.label=class=") == (
        "reader 'fasta': the setting 'label' is 'class=': it needs one group, as in 'class=(\\S+)', or groups that all have a "
        "name."
    )


def test_an_invalid_pattern(place):
    assert fit_error("data.reader.label=class=(") == (
        "reader 'fasta': the setting 'label' is 'class=(': it is not a regular expression (missing ), unterminated subpattern "
        "at position 6)."
    )


def test_no_pattern_for_the_label(place):
    assert fit_error("data.reader=fasta") == (
        "proteins.fasta has no column 'label'. Columns: id, description, sequence."
    )


def test_a_setting_that_does_not_exist(place):
    assert fit_error("data.reader.lables=secondary.fasta") == (
        "reader 'fasta': there is no setting 'lables'. Did you mean 'labels'? Settings: label, labels, table, unresolved."
    )


# --- labels of residues


def test_a_missing_file_of_labels(place):
    (place / "secondary.fasta").unlink()
    assert fit_error("data.reader.labels=secondary.fasta") == (
        "secondary.fasta: the file cannot be read (No such file or directory)."
    )


def test_a_file_of_labels_that_is_a_table(place):
    assert labels_error(place, "id,labels\np1,HHH\n") == (
        "secondary.fasta: line 1: 'id,labels' is before the first header, a line that begins with '>'."
    )


def test_labels_of_another_length(place):
    assert labels_error(place, ">p1\nHHHHHHHHHHC\n>p2\nCCCCC\n>p3\nHHHHHHHC\n>p4\nCCCCCCC\n") == (
        "proteins.fasta, line 4: secondary.fasta, line 3, has length 5, but the sequence has length 6.\n"
        "proteins.fasta, line 8: secondary.fasta, line 7, has length 7, but the sequence has length 6.\n"
        f"{SKIP}"
    )


def test_labels_with_a_duplicate_id(place):
    assert labels_error(place, ">p1\nHHHHHHHHHHC\n>p1\nHHHHHHHHHHH\n") == (
        f"secondary.fasta, line 3: the id 'p1' is already on line 1.\n{ADVICE}"
    )


def test_a_sequence_without_labels(place):
    assert labels_error(place, ">p1\nHHHHHHHHHHC\n>p2\nCCCCCC\n", "head=element-classification") == (
        f"proteins.fasta, line 6: the target column 'labels' is empty. 2 of 4 rows are like this (lines 6, 8).\n{SKIP}"
    )


# --- tables


def test_a_missing_table(place):
    (place / "activity.csv").unlink()
    assert fit_error("data.reader.table=activity.csv") == "activity.csv: there is no such file."


def test_a_table_without_ids(place):
    assert table_error(place, "name,activity\np1,0.5\n") == (
        "activity.csv has no column 'id'. Columns: name, activity."
    )


def test_a_table_with_a_duplicate_id(place):
    assert table_error(place, "id,activity\np1,0.5\np1,0.6\n") == (
        f"activity.csv, line 3: the id 'p1' is already on line 2.\n{ADVICE}"
    )


def test_a_table_with_a_column_of_sequences(place):
    assert table_error(place, "id,sequence,activity\np1,MKV,0.5\n") == (
        "activity.csv: it has a column 'sequence', and so has proteins.fasta. Rename it, or remove it."
    )


def test_a_table_that_lacks_a_sequence(place):
    assert table_error(place, "id,activity\np1,0.5\np2,1.5\np4,1\n") == (
        f"proteins.fasta, line 6: the target column 'activity' is empty.\n{SKIP}"
    )


def test_a_table_with_a_text_for_a_number(place):
    assert table_error(place, "id,activity\np1,0.5\np2,high\np3,1\np4,1\n") == (
        f"proteins.fasta, line 4: the target column 'activity' is 'high', not a number.\n{SKIP}"
    )


RESIDUES = ("data.train=residues.csv", "data.target=labels", "data.reader={name='residue-labels', resolved='seen'}")


def test_a_table_with_labels_of_another_length(place):
    (place / "residues.csv").write_text("sequence,labels,seen\nMKV,HHC,111\nGG,E,11\n")
    assert (
        fit_error(*RESIDUES) == f"residues.csv, line 3: 'labels' has length 1, but the sequence has length 2.\n{SKIP}"
    )


def test_a_table_with_a_mask_of_another_length(place):
    (place / "residues.csv").write_text("sequence,labels,seen\nMKV,HHC,111\nGG,EE,1\n")
    assert fit_error(*RESIDUES) == (f"residues.csv, line 3: '1' is not a 0 or 1 for each of 2 residues.\n{SKIP}")


# --- splits


def test_a_split_of_one_cluster(place):
    content = "".join(f">p{number} class={label}\nMKVLAAGILLA{'G' * number}\n" for number, label in enumerate("abab"))
    assert fasta_error(place, content, "data.split=sequence-identity:0.25") == (
        "proteins.fasta: all 4 sequences are in one cluster at an identity of 0.5, so none can be held out. Raise 'identity' "
        "of the split 'sequence-identity', or choose another split."
    )


def test_a_split_without_a_share(place):
    assert fit_error("data.split=sequence-identity") == (
        "split 'sequence-identity': set either 'validation', the share of the rows to hold out, or 'part', the column with the "
        "part of each row."
    )


def test_a_sequence_in_two_parts(place):
    overrides = (
        r"data.reader.label='^(?P<part>\w+)\S* class=(?P<label>\S+)'",
        "data.split={name='sequence-identity', part='part'}",
    )
    content = ">train.1 class=a\nMKV\n>train.2 class=b\nGGS\n>valid.1 class=a\nMKV\n"
    assert fasta_error(place, content, *overrides) == (
        "proteins.fasta, line 5: the sequence is in the part 'validation', and on line 1 in the part 'train'.\n"
        "Let the column 'part' put each sequence into one part."
    )


# --- predictions


def test_predicting_for_an_invalid_record_among_valid_ones(place):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    (place / "new.fasta").write_text(">n1\nMKV\n>n2\n>n3\nGG\n")
    assert refused("predict", "model", "new.fasta", "-q", "-o", "out.csv") == (
        f"new.fasta, line 3: there is no sequence below the header.\n{PREDICT_ADVICE}"
    )


def test_predicting_needs_no_labels_in_headers(place):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    (place / "new.fasta").write_text(">n1\nMKV\n>n2\nGG\n")
    assert typed("predict", "model", "new.fasta", "-q", "-o", "out.csv", "--keep", "id").code == 0
    assert [line.split(",")[0] for line in (place / "out.csv").read_text().split()] == ["id", "n1", "n2"]


ENCODER = 'backbone={name="new-esm", blocks=1, feature_size=8, heads=2}'
BARE = ">n1\nMKV\n>n2\nGG\n"


def predicted(place, *arguments):
    done = typed("predict", "model", *arguments, "-q")
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def test_predicting_needs_no_table_of_labels(place):
    settings = ("--set", "data.reader.table=activity.csv", "--set", "data.target=activity", "--set", "head=regression")
    assert typed("fit", "sort.toml", "-q", "-o", "model", *settings, "--set", "data.reader.label=null").code == 0
    (place / "other").mkdir()
    (place / "other" / "new.fasta").write_text(BARE)
    lines = predicted(place, "other/new.fasta", "--keep", "id")
    assert [line.split(",")[0] for line in lines] == ["id", "n1", "n2"]
    (place / "plain.csv").write_text("sequence\nMKV\nGG\n")
    assert predicted(place, "plain.csv")[1:] == [line.split(",")[1] for line in lines[1:]]
    assert float(predicted(place, "--text", "MKV")[1]) == pytest.approx(float(lines[1].split(",")[1]))


def test_predicting_needs_no_labels_in_a_second_file(place):
    head = ("--set", "head=element-classification", "--set", "data.target=labels", "--set", ENCODER)
    settings = ("--set", "data.reader.labels=secondary.fasta", "--set", "data.reader.label=null", *head)
    assert typed("fit", "sort.toml", "-q", "-o", "model", *settings).code == 0
    (place / "other").mkdir()
    (place / "other" / "new.fasta").write_text(BARE)
    assert len(predicted(place, "other/new.fasta")) == 3


def test_a_kept_column_of_the_table_is_read_from_it(place):
    settings = ["data.reader.table=activity.csv", "data.reader.label=null", "data.target=activity", "head=regression"]
    words = [word for text in settings for word in ("--set", text)]
    assert typed("fit", "sort.toml", "-q", "-o", "model", *words).code == 0
    lines = predicted(place, "proteins.fasta", "--keep", "activity")
    assert [line.split(",")[0] for line in lines] == ["activity", "0.5", "1.5", "0.6", "1.4"]


def test_an_invalid_last_record_of_many(place):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    (place / "new.fasta").write_text("".join(f">n{number}\nMKV\n" for number in range(5_000)) + ">last\n")
    assert refused("predict", "model", "new.fasta", "-q", "-o", "out.csv") == (
        f"new.fasta, line 10,001: there is no sequence below the header.\n{PREDICT_ADVICE}"
    )
    done = typed("predict", "model", "new.fasta", "-q", "--on-bad-row", "null")
    assert done.out.splitlines()[-1] == ",there is no sequence below the header"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new.fasta", "--reader", "csv"), "new.fasta has no column 'sequence'. Columns: >n1."),
        (("new.fsta",), "new.fsta: there is no such file. To predict for the text itself, put it in a list (--text on the "
         "command line)."),
        (("new.fasta", "proteins.fasta"), "2 files were given: new.fasta, proteins.fasta. Predict for one file of rows at a "
         "time, or join them."),
        (("new.fasta", "--set", "data.reader.lable=x"), "reader 'fasta': there is no setting 'lable'. Did you mean 'table'? "
         "Settings: label, labels, table, unresolved."),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_for(place, arguments, message):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    (place / "new.fasta").write_text(BARE)
    assert refused("predict", "model", *arguments, "-q", "-o", "out.csv") == message


def test_fasta_on_standard_input_needs_its_reader(place, monkeypatch):
    assert typed("fit", "sort.toml", "-q", "-o", "model").code == 0
    (place / "new.fasta").write_text(BARE)
    expected = predicted(place, "new.fasta")
    for arguments in (("-",), ("-", "--reader", "fasta")):  # the recipe names the reader, too
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BARE.encode())))
        assert predicted(place, *arguments) == expected

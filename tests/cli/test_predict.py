import csv
import json
from io import StringIO

import pytest
from commands import typed
from small_tasks import sentences

import taskgraft as tg


def refusal(*arguments):
    done = typed(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    return done.err.removeprefix("Error: ").removesuffix("\n")


# --- predict


def test_without_output_csv_goes_to_the_terminal(place):
    done = typed("predict", "intents", "valid.csv", "--keep", "id,label", "--quiet")
    rows = list(csv.DictReader(StringIO(done.out)))
    assert (done.code, done.err) == (0, "")
    assert [row["id"] for row in rows] == [f"{number:03}" for number in range(12)]
    assert [row["prediction"] for row in rows] == tg.load("intents").predict(sentences(12, 1)["text"])


def test_the_setting_that_a_message_advises_can_be_pasted(place):
    (place / "new.csv").write_bytes("text\nthe card\nlost café\n".encode("cp1252"))
    message = refusal("predict", "intents", "new.csv", "--quiet")
    assert message == (
        'new.csv: line 3: the byte 0xe9 is not UTF-8. As cp1252 the line reads "lost café": '
        'data.reader = {name = "csv", encoding = "cp1252"}.'
    )
    setting = message.partition('": ')[2].rstrip(".")
    pasted = typed("predict", "intents", "new.csv", "--quiet", "--set", setting)
    as_option = typed("predict", "intents", "new.csv", "--quiet", "--reader", setting.partition(" = ")[2])
    assert (pasted.code, as_option.code) == (0, 0)
    assert pasted.out == as_option.out
    assert len(pasted.out.splitlines()) == 3


def test_json_lines_go_to_the_terminal_on_request(place):
    lines = typed("predict", "intents", "valid.csv", "--json", "--probabilities", "--top", "1", "-q").out.splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 12
    assert list(first) == [
        "prediction",
        "top_1",
        "top_1_probability",
        "probability_a",
        "probability_b",
        "probability_c",
    ]
    assert first["top_1"] == first["prediction"]
    assert first["top_1_probability"] == max(first[f"probability_{label}"] for label in "abc")


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_file_holds_a_prediction_for_each_row(place, name):
    done = typed("predict", "intents", "valid.csv", "-o", name)
    assert (done.code, done.out, done.err) == (0, "", f"12 predictions are in {name}.\n")
    assert sorted(path.name for path in place.iterdir()) == sorted(["intents", "valid.csv", name])


def test_an_existing_file_is_overwritten_on_request_only(place):
    (place / "out.csv").write_text("precious")
    assert refusal("predict", "intents", "valid.csv", "-o", "out.csv") == (
        "The predictions cannot be written to out.csv: the file exists; choose another one, or pass overwrite (--overwrite)."
    )
    assert (place / "out.csv").read_text() == "precious"
    assert typed("predict", "intents", "valid.csv", "-o", "out.csv", "--overwrite").code == 0


def test_data_are_never_overwritten_by_their_predictions(place):
    before = (place / "valid.csv").read_bytes()
    assert refusal("predict", "intents", "valid.csv", "-o", "./valid.csv", "--overwrite") == (
        "The predictions cannot be written to valid.csv: it holds the data; name another file."
    )
    assert (place / "valid.csv").read_bytes() == before


def test_an_invalid_row_is_reported_with_its_line_and_leaves_no_file(place):
    with (place / "valid.csv").open("a") as file:
        file.write('012,"",a\n')
    message = refusal("predict", "intents", "valid.csv", "-o", "out.csv", "-q")
    assert "valid.csv, line 14" in message
    assert not (place / "out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "valid.csv"), "The artifact nowhere cannot be used: there is no such folder."),
        (("intents", "valid.csv", "--device", "abacus"), "The device 'abacus' cannot be used: "),
        (("intents", "missing.csv"), "missing.csv: there is no such file."),
        (
            ("intents", "valid.csv", "-o", "out.xls"),
            "The predictions cannot be written to out.xls: supported file endings are ",
        ),
        (("intents", "valid.csv", "--keep", "idd"), "valid.csv has no column 'idd'. Did you mean 'id'?"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence(place, arguments, message):
    assert refusal("predict", *arguments, "-q").startswith(message)


# --- evaluate


def test_an_artifact_is_evaluated(place):
    done = typed("evaluate", "intents", "valid.csv", "--resamples", "50", "-q")
    assert (done.code, done.err) == (0, "")
    assert "accuracy" in done.out


def test_the_numbers_are_those_of_the_python_api(place):
    done = typed("evaluate", "intents", "valid.csv", "--resamples", "50", "--json", "-q")
    expected = tg.load("intents").evaluate("valid.csv", resamples=50, quiet=True)
    assert json.loads(done.out) == json.loads(json.dumps(expected.to_json()))


def test_metrics_are_chosen_by_name(place):
    message = refusal("evaluate", "intents", "valid.csv", "--metrics", "classification,regresion", "-q")
    assert message.startswith("No metric named 'regresion'. Did you mean 'regression'")


def test_a_metric_with_settings_is_written_as_json(place):
    one = typed("evaluate", "intents", "valid.csv", "--metrics", '{"name": "classification"}', "--json", "-q")
    assert (one.code, one.out) == (0, typed("evaluate", "intents", "valid.csv", "--json", "-q").out)
    assert refusal("evaluate", "intents", "valid.csv", "--metrics", '{"name": "classification"', "-q") == (
        "metric: '{\"name\": \"classification\"' is not valid JSON: Expecting ',' delimiter: line 1 column 26 (char 25)."
    )


def test_baselines_are_requested_by_name(place, fitted):
    (place / "train.csv").write_bytes((fitted / "train.csv").read_bytes())
    done = typed("evaluate", "intents", "valid.csv", "--baseline", "majority", "--json", "-q")
    expected = tg.load("intents").evaluate("valid.csv", baselines=["majority"], quiet=True)
    assert json.loads(done.out)["baselines"] == expected.baselines
    assert refusal("evaluate", "intents", "valid.csv", "--baseline", "majority", "--baseline", "mean", "-q") == (
        "The baseline 'mean' cannot predict what 'classification' predicts."
    )


def test_figures_of_metrics_that_plot_none_are_rejected(place):
    message = refusal("evaluate", "intents", "valid.csv", "--figures", "figures", "-q")
    assert message.startswith("Figures were requested, but no figure is drawn by 'classification'. ")
    assert not (place / "figures").exists()


def test_a_damaged_artifact_is_rejected(place, fitted):
    (place / "damaged").mkdir()
    for file in (fitted / "intents").iterdir():
        (place / "damaged" / file.name).write_bytes(file.read_bytes())
    (place / "damaged" / "learned.safetensors").write_bytes(b"")
    assert refusal("evaluate", "damaged", "valid.csv") == (
        "The artifact damaged cannot be used: learned.safetensors cannot be read (it has no header of a safetensors file "
        "in its 0 bytes), so it is damaged."
    )

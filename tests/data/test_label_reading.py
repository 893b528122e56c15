import pytest

from taskgraft.contract.config import ConfigError, parse_config
from taskgraft.contract.descriptions import HeadDescription, Layout, TargetKind
from taskgraft.contract.targets import InvalidTargets
from taskgraft.data.label_reading import LabelReader, parse_list
from taskgraft.reading.errors import DataError
from taskgraft.recipe import DataConfig


def read(values, kind=TargetKind.CATEGORY, targets=("y",), separator="", **labels):
    head = HeadDescription((Layout.VECTOR,), kind, separator=separator)
    return LabelReader.of(head, DataConfig(target=targets, labels=labels)).read("y", values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("[0, 1]", [0, 1]),
        ("[0 1 0]", [0, 1, 0]),
        ("[0. 1.]", [0.0, 1.0]),
        ("[ True False]", [True, False]),
        ("('a', 'b')", ["a", "b"]),
        ("{'b', 'a'}", ["a", "b"]),
        ('{"a": 1, "b": 0}', {"a": 1, "b": 0}),
        ("[]", []),
        ("['it\\'s', None]", ["it's", None]),
        ("[CLS] O [SEP]", None),
        ("(old) model", None),
        ("(1)", None),
        ("a", None),
        ("", None),
        ("[UNK]", None),
    ],
)
def test_a_text_is_a_list_if_json_python_or_numpy_prints_lists_so(text, value):
    assert parse_list(text) == value


@pytest.mark.parametrize("text", ["['a' 'b']", "[a, b]", "['a', 'b'", "{a,b}", '["a", "b]'])
def test_a_text_that_only_looks_like_a_list_is_rejected(text):
    if text[-1] not in "]}":
        assert parse_list(text) is None
        return
    with pytest.raises(ValueError, match="a"):
        parse_list(text)


def test_a_row_whose_list_cannot_be_read_is_named():
    with pytest.raises(InvalidTargets) as caught:
        read(["a b", "['a' 'b']"], TargetKind.ELEMENT_CATEGORIES)
    assert str(caught.value) == (
        "row 1: the target column 'y' is \"['a' 'b']\", which looks like a list but cannot be read as one; "
        'write it as JSON (["a", "b"])'
    )


def test_labels_are_tidied_in_cells_lists_and_dicts():
    assert read([" a ", "b\u200b", 3, None, ""]) == ["a", "b", 3, None, None]
    assert read([["a ", 1], "b| c", {" a": 1}, None], TargetKind.CATEGORIES, separator="|") == [
        ["a", 1],
        ["b", "c"],
        {"a": 1},
        None,
    ]
    assert read(["B  I", ["O ", None]], TargetKind.ELEMENT_CATEGORIES) == [["B", "I"], ["O", None]]


def test_a_mapping_applies_to_labels_however_they_are_spelled():
    assert read(["A ", "a", "b", None], A="a", b="") == ["a", "a", None, None]
    assert read([1, 0, 1.0], **{"1": "yes", "0": "no"}) == ["yes", "no", "yes"]
    assert read([True, False], **{"true": "yes", "0": "no"}) == ["yes", "no"]
    assert read([["A", "b"], "A|b"], TargetKind.CATEGORIES, separator="|", A="a") == [["a", "b"], ["a", "b"]]


def test_a_name_has_the_type_of_the_label_it_replaces_where_it_can():
    assert [type(label) for label in read([2, 3], **{"2": "1"})] == [int, int]


def test_an_empty_cell_can_be_mapped():
    assert read(["a", None, " "], **{"": "other"}) == ["a", "other", "other"]
    assert read([1, None], TargetKind.CATEGORIES, ("y", "z"), **{"": "0"}) == [1, "0"]


def test_the_ignore_index_of_pytorch_is_no_label_of_an_element():
    assert read([[0, -100], "1 -100"], TargetKind.ELEMENT_CATEGORIES) == [[0, None], ["1", None]]
    assert read([[0, -100]], TargetKind.ELEMENT_CATEGORIES, **{"-100": "-100"}) == [[0, -100]]
    assert read([-100]) == [-100]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"a": "b", "b": "c"}, "data.labels maps 'a' to 'b', and 'b' to 'c'. Map each label to its final name."),
        ({"a": "b", "b": ""}, "data.labels maps 'a' to 'b', and 'b' to missing. Map each label to its final name."),
    ],
)
def test_an_ambiguous_mapping_is_rejected(labels, message):
    with pytest.raises(DataError) as caught:
        read(["a"], **labels)
    assert str(caught.value) == message


def test_the_labels_of_a_mapping_have_any_type():
    config = parse_config(DataConfig, {"labels": {-1: "", 2.0: "7", True: "yes", " b": "B"}}, "data")
    assert config.labels == {"-1": "", "2": "7", "True": "yes", "b": "B"}
    with pytest.raises(ConfigError) as caught:
        parse_config(DataConfig, {"labels": {"a": "b", "a ": "c"}}, "data")
    assert str(caught.value) == "data: the setting 'labels' is {'a': 'b', 'a ': 'c'}: two keys name the same label."


def test_an_identity_and_a_merge_into_it_are_no_chain():
    assert read(["A", "a", "-1"], **{"A": "a", "a": "a", "-1": "-1"}) == ["a", "a", "-1"]


def test_numbers_have_no_labels_to_map():
    head = HeadDescription((Layout.VECTOR,), TargetKind.NUMBERS)
    assert LabelReader.of(head, DataConfig(target=("y",))) is None
    with pytest.raises(DataError) as caught:
        LabelReader.of(head, DataConfig(target=("y",), labels={"a": "b"}))
    assert str(caught.value) == "data.labels maps labels, but this head predicts numbers. Leave it out."


@pytest.mark.parametrize("text", [f"[{'1' * 5_000}]", f"[{'1' * 5_000}, 2]", f"['a', {'[' * 300}{']' * 300}]"])
def test_a_list_of_too_many_digits_or_levels_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"^\["):
        parse_list(text)

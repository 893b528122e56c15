"""JSON within limits."""

import time

import pytest

from taskgraft.files.json_text import MAX_DEPTH, parse_json


def nested(depth):
    return "[" * depth + "]" * depth


def test_plain_json_is_read():
    assert parse_json(b'\xef\xbb\xbf{"a": [1, "\\ud83d\\ude00"]}') == {"a": [1, "😀"]}


def test_the_limit_of_nesting_is_stated_and_exact():
    assert parse_json(nested(MAX_DEPTH)) is not None
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(ValueError, match=r"^it is nested deeper than 100 levels$"):
            parse_json(nested(depth))


def test_many_lists_side_by_side_are_not_deep():
    assert len(parse_json(f"[{','.join(['[]'] * 1_000)}]")) == 1_000


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udc00": 1}', '[["\\ud83d"]]'])
def test_half_a_surrogate_pair_is_refused(text):
    with pytest.raises(ValueError, match=r"it has a lone surrogate \(\\ud"):
        parse_json(text)


def test_a_number_of_5000_digits_is_refused():
    with pytest.raises(ValueError, match=r"^it has a whole number of more than 4,300 digits$"):
        parse_json("1" * 5_000)


def test_a_number_beyond_floats_is_refused():
    with pytest.raises(ValueError, match=r"^the number -1e999 is too large$"):
        parse_json("[-1e999]")
    with pytest.raises(ValueError, match=r"^the number 1{19}…(1{17}\.5) is too large$"):
        parse_json("1" * 400 + ".5")


def test_100000_keys_are_read_in_a_second():
    text = "{" + ", ".join(f'"k{number}": 1' for number in range(100_000)) + "}"
    start = time.monotonic()
    assert len(parse_json(text)) == 100_000
    assert time.monotonic() - start < 1


def test_a_duplicate_key_is_refused():
    with pytest.raises(ValueError, match="a"):
        parse_json('{"a": 1, "a": 2}')

import pickle

import pytest
import tiny

from taskgraft_text.processor import TextProcessor
from taskgraft_text.settings import Pair


def processor(*, pair=Pair.NONE, max_length=8, special=True):
    return TextProcessor(tiny.tokenizer(special=special), pair, max_length, segments=False)


def test_texts_are_read_verbatim_and_padded_on_the_right():
    batch = processor().prepare({"text": ["lost card", "help"]}).batch

    assert batch["ids"].tolist() == [
        [1, tiny.VOCABULARY.index("lost"), tiny.VOCABULARY.index("card"), 2],
        [1, tiny.VOCABULARY.index("help"), 2, 0],
    ]
    assert batch.lengths["token"].tolist() == [4, 3]


def test_rows_without_a_text_are_invalid_with_a_reason():
    processed = processor().prepare({"text": ["help", "", None, "  ", 3.5, "card"]})

    assert processed.invalid == {
        1: "the text is empty",
        2: "the text is empty",
        3: "the text is empty",
        4: "the text is 3.5, not a text",
    }
    assert len(processed.batch) == 6


def test_a_text_without_tokens_is_invalid():
    processed = processor().prepare({"text": ["help", "\u200b\x00"]})

    assert processed.invalid == {1: "the text has no tokens"}


def test_a_text_without_tokens_is_invalid_for_a_decoder_too():
    assert processor(special=False).prepare({"text": ["\x00", "help"]}).invalid == {0: "the text has no tokens"}


def test_truncated_texts_are_counted():
    processed = processor(max_length=4).prepare({"text": ["lost card", "the card is lost", "my card is late"]})

    assert dict(processed.notes) == {"truncated to 4 tokens": 2}
    assert processed.batch.lengths["token"].tolist() == [4, 4, 4]


def test_a_row_counts_once_if_both_of_its_texts_are_truncated():
    processed = processor(pair=Pair.APART, max_length=4).prepare(
        {"text": ["the card is lost", "help"], "text_pair": ["my money is late", "help"]}
    )

    assert dict(processed.notes) == {"truncated to 4 tokens": 1}


def test_an_empty_second_text_is_invalid():
    processed = processor(pair=Pair.TOGETHER).prepare({"text": ["help", "help"], "text_pair": ["card", ""]})

    assert processed.invalid == {1: "the second text is empty"}


def test_words_have_a_first_token_and_are_counted_before_truncation():
    processed = processor(max_length=6).prepare(
        {"text": [["lost", "ab", "card"], ["the", "card", "is", "lost", "late"]]}
    )

    assert processed.elements == [3, 5]
    assert processed.batch["first"].tolist() == [[1, 2, 4, 0], [1, 2, 3, 4]]
    assert processed.batch.lengths["element"].tolist() == [3, 4]
    assert dict(processed.notes) == {"truncated to 6 tokens": 1}


def test_a_word_without_tokens_stays_an_element():
    processed = processor().prepare({"text": [["lost", "\u200b", "card"]]})

    assert processed.batch["first"].tolist() == [[1, 0, 2]]


def test_a_string_among_lists_of_words_is_invalid():
    processed = processor().prepare({"text": [["lost"], "lost"]})

    assert processed.invalid == {1: "the text is not a list of words, as in other rows"}


@pytest.mark.parametrize("value", [[["a", 1]], [["a", None]]])
def test_a_word_that_is_not_a_text_is_invalid(value):
    assert list(processor().prepare({"text": value}).invalid) == [0]


def test_it_can_be_sent_to_a_worker():
    sent = pickle.loads(pickle.dumps(processor()))

    assert (
        sent.prepare({"text": ["help"]}).batch["ids"].tolist()
        == processor().prepare({"text": ["help"]}).batch["ids"].tolist()
    )


def test_elements_of_a_pair_are_the_words_of_its_first_text():
    processed = processor(pair=Pair.TOGETHER, max_length=9).prepare(
        {"text": [["lost", "card"]], "text_pair": [["the", "card", "is", "late"]]}
    )

    assert processed.batch["first"].tolist() == [[1, 2]]
    assert processed.elements == [2]


def test_a_pair_of_a_string_and_a_list_is_invalid():
    processed = processor(pair=Pair.TOGETHER).prepare({"text": [["lost"], ["card"]], "text_pair": ["late", ["my"]]})

    assert processed.invalid == {0: "one text of the pair is a list of words and the other is not"}


def test_lists_of_words_in_pairs_read_apart_are_invalid():
    processed = processor(pair=Pair.APART).prepare({"text": [["lost"], "card"], "text_pair": ["late", "my"]})

    assert processed.invalid == {0: 'a text is a list of words, which pair = "apart" does not support'}

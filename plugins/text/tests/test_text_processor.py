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
    assert batch.lengths["piece"].tolist() == [4, 3]


def test_rows_without_a_text_are_refused_with_their_reason():
    made = processor().prepare({"text": ["help", "", None, "  ", 3.5, "card"]})

    assert made.invalid == {
        1: "the text is empty",
        2: "the text is empty",
        3: "the text is empty",
        4: "the text is 3.5, not a text",
    }
    assert len(made.batch) == 6


def test_a_text_that_comes_to_no_pieces_is_refused():
    made = processor().prepare({"text": ["help", "\u200b\x00"]})

    assert made.invalid == {1: "the text has no pieces"}


def test_a_decoder_refuses_a_text_of_no_pieces_too():
    assert processor(special=False).prepare({"text": ["\x00", "help"]}).invalid == {0: "the text has no pieces"}


def test_texts_that_are_cut_are_counted():
    made = processor(max_length=4).prepare({"text": ["lost card", "the card is lost", "my card is late"]})

    assert dict(made.notes) == {"cut to 4 pieces": 2}
    assert made.batch.lengths["piece"].tolist() == [4, 4, 4]


def test_a_row_counts_once_when_both_of_its_texts_are_cut():
    made = processor(pair=Pair.APART, max_length=4).prepare(
        {"text": ["the card is lost", "help"], "text_pair": ["my money is late", "help"]}
    )

    assert dict(made.notes) == {"cut to 4 pieces": 1}


def test_an_empty_second_text_is_refused():
    made = processor(pair=Pair.TOGETHER).prepare({"text": ["help", "help"], "text_pair": ["card", ""]})

    assert made.invalid == {1: "the second text is empty"}


def test_words_know_their_first_piece_and_how_many_there_were():
    made = processor(max_length=6).prepare({"text": [["lost", "ab", "card"], ["the", "card", "is", "lost", "late"]]})

    assert made.elements == [3, 5]
    assert made.batch["first"].tolist() == [[1, 2, 4, 0], [1, 2, 3, 4]]
    assert made.batch.lengths["element"].tolist() == [3, 4]
    assert dict(made.notes) == {"cut to 6 pieces": 1}


def test_a_word_without_pieces_stays_an_element():
    made = processor().prepare({"text": [["lost", "\u200b", "card"]]})

    assert made.batch["first"].tolist() == [[1, 0, 2]]


def test_a_string_among_lists_of_words_is_refused():
    made = processor().prepare({"text": [["lost"], "lost"]})

    assert made.invalid == {1: "the text is not a list of words, as other rows are"}


@pytest.mark.parametrize("value", [[["a", 1]], [["a", None]]])
def test_a_word_that_is_no_text_is_refused(value):
    assert list(processor().prepare({"text": value}).invalid) == [0]


def test_it_can_be_sent_to_a_worker():
    sent = pickle.loads(pickle.dumps(processor()))

    assert (
        sent.prepare({"text": ["help"]}).batch["ids"].tolist()
        == processor().prepare({"text": ["help"]}).batch["ids"].tolist()
    )


def test_words_of_a_pair_are_those_of_its_first_text():
    made = processor(pair=Pair.TOGETHER, max_length=9).prepare(
        {"text": [["lost", "card"]], "text_pair": [["the", "card", "is", "late"]]}
    )

    assert made.batch["first"].tolist() == [[1, 2]]
    assert made.elements == [2]


def test_a_pair_of_two_kinds_is_refused():
    made = processor(pair=Pair.TOGETHER).prepare({"text": [["lost"], ["card"]], "text_pair": ["late", ["my"]]})

    assert made.invalid == {0: "one text of the pair is a list of words and the other is not"}


def test_lists_of_words_do_not_go_apart():
    made = processor(pair=Pair.APART).prepare({"text": [["lost"], "card"], "text_pair": ["late", "my"]})

    assert made.invalid == {0: "a text of a pair that goes apart is a list of words"}

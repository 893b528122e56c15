import pytest

from taskgraft.discovery.names import ComponentName, InvalidName, is_name, normalize_distribution, parse_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf-text", ComponentName("hf-text")),
        ("hf-text:", ComponentName("hf-text", argument="")),
        ("hf-text:some/checkpoint", ComponentName("hf-text", argument="some/checkpoint")),
        (r"hf-text:C:\models\bert", ComponentName("hf-text", argument=r"C:\models\bert")),
        ("taskgraft-text/hf-text", ComponentName("hf-text", "taskgraft-text")),
        ("Acme_Text.2/hf-text:a:b/c", ComponentName("hf-text", "Acme_Text.2", "a:b/c")),
        ("partial:2", ComponentName("partial", argument="2")),
        ("2", ComponentName("2")),
    ],
)
def test_a_name_is_parsed_and_written_again(text, name):
    assert parse_name(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    ["", ":", ":x", "/", "/x", "x/", "a/b/c", "HF-text", "hf_text", "hf--text", "-hf", "hf-", "hf text", "-a/x", "x\n"],
)
def test_a_text_outside_the_grammar_is_not_a_name(text):
    with pytest.raises(InvalidName) as caught:
        parse_name(text)
    assert str(caught.value) == (
        f"'{text}' is not a name. A name is written [distribution/]name[:argument], with lower-case letters, digits and "
        "single hyphens in the name: 'hf-text:some/checkpoint', 'taskgraft-text/hf-text:some/checkpoint'."
    )


def test_a_spec_may_not_bring_its_own_argument_or_distribution():
    assert is_name("hf-text")
    assert not is_name("hf-text:some")
    assert not is_name("acme/hf-text")


def test_spellings_of_one_distribution_are_one():
    assert {normalize_distribution(name) for name in ("Acme_Text", "acme.text", "ACME--text", "acme-_.text")} == {
        "acme-text"
    }

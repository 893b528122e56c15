from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from taskgraft.contract.config import Config, ConfigError, EmptyConfig, parse_config


class Oven(Config):
    """Settings of an oven."""

    positional: ClassVar[str | None] = "minutes"

    minutes: int = Field(ge=1, description="how long it bakes, in minutes")
    heat: float = Field(default=0.5, gt=0, lt=1)
    shelf: Literal["top", "bottom"] | dict[str, int] = "top"
    guests: tuple[str, ...] = ()

    @field_validator("guests")
    @classmethod
    def _someone_else(cls, guests):
        if "wolf" in guests:
            raise ValueError("a wolf is no guest")
        return guests


class Kitchen(Config):
    """Settings that hold settings."""

    oven: Oven

    @model_validator(mode="after")
    def _enough_shelves(self):
        if len(self.oven.guests) > 2:
            raise ValueError("three guests do not fit into one kitchen")
        return self


def problem(config, settings):
    with pytest.raises(ConfigError) as caught:
        parse_config(config, settings, "oven 'acme'")
    return str(caught.value)


class Grill(Config):
    size: tuple[int, int]


def test_a_list_that_is_too_short_is_rejected():
    assert problem(Grill, {"size": [64]}) == "oven 'acme': the setting 'size' is [64], which is too short."


class Street(Config):
    """Settings that hold any number of others."""

    ovens: tuple[Oven, ...] = ()


def test_an_unknown_key_within_a_list_names_no_settings_of_others():
    assert problem(Street, {"ovens": [{"minutes": 1, "colour": 3}]}) == (
        "oven 'acme': there is no setting 'ovens.0.colour'."
    )


def test_settings_are_read_and_what_is_left_out_takes_its_default():
    assert parse_config(Oven, {"minutes": "20"}, "oven 'acme'") == Oven(minutes=20, heat=0.5, shelf="top", guests=())


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Oven(minutes=20).minutes = 30


def test_an_unknown_key_is_rejected_with_the_nearest_one():
    assert problem(Oven, {"minutes": 1, "heet": 0.1}) == (
        "oven 'acme': there is no setting 'heet'. Did you mean 'heat'? Settings: minutes, heat, shelf, guests."
    )


def test_an_unknown_key_far_from_all_is_rejected_without_a_guess():
    assert problem(Oven, {"minutes": 1, "colour": 3}) == (
        "oven 'acme': there is no setting 'colour'. Settings: minutes, heat, shelf, guests."
    )


def test_a_config_without_settings_names_none():
    assert problem(EmptyConfig, {"heat": 0.1}) == "oven 'acme': there is no setting 'heat'. Settings: nothing."


def test_what_must_be_decided_is_asked_for_with_its_meaning():
    assert problem(Oven, {}) == (
        "oven 'acme': the setting 'minutes' has no default, so set it (how long it bakes, in minutes)."
    )


def test_a_wrong_type_shows_the_value():
    assert problem(Oven, {"minutes": "soon"}) == (
        "oven 'acme': the setting 'minutes' is 'soon': "
        "input should be a valid integer, unable to parse string as an integer."
    )


def test_a_number_out_of_range_shows_the_range():
    assert problem(Oven, {"minutes": 0, "heat": 1}) == (
        "oven 'acme': the setting 'minutes' is 0: input should be greater than or equal to 1. "
        "the setting 'heat' is 1: input should be less than 1."
    )


def test_a_value_that_fits_no_alternative_is_one_problem():
    assert problem(Oven, {"minutes": 1, "shelf": "middle"}) == (
        "oven 'acme': the setting 'shelf' is 'middle': input should be 'top' or 'bottom', or input should be a dict."
    )


def test_a_problem_that_the_config_itself_raises_is_reported_in_its_own_words():
    assert problem(Oven, {"minutes": 1, "guests": ["wolf"]}) == (
        "oven 'acme': the setting 'guests' is ['wolf']: a wolf is no guest."
    )
    guests = {"oven": {"minutes": 1, "guests": ["ann", "bob", "eve"]}}
    assert problem(Kitchen, guests) == "oven 'acme': three guests do not fit into one kitchen."


def test_settings_inside_settings_are_named_by_their_path():
    assert problem(Kitchen, {"oven": {"minuts": 1, "guests": ["ann", 3]}}) == (
        "oven 'acme': the setting 'oven.minutes' has no default, so set it (how long it bakes, in minutes). "
        "the setting 'oven.guests.1' is 3: input should be a valid string. "
        "there is no setting 'oven.minuts'. Did you mean 'oven.minutes'? Settings: minutes, heat, shelf, guests."
    )


def test_a_value_inside_an_unordered_collection_is_named_by_the_collection():
    class Numbers(Config):
        numbers: set[int]

    assert problem(Numbers, {"numbers": {"one"}}) == (
        "oven 'acme': the setting 'numbers' is 'one': "
        "input should be a valid integer, unable to parse string as an integer."
    )

"""Settings of a backbone, head, strategy or run: frozen, flat, and strict about unknown keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from taskgraft.errors import TaskgraftError, closest_match, join_words, shorten


class Config(BaseModel):
    """Settings that a recipe can contain. The user must set those without a default. Texts are UTF-8 (``str_min_length``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False, str_min_length=0)

    positional: ClassVar[str | None] = None
    """The field that the text after the colon of a name sets (``hf-text:ARGUMENT``)."""

    needs_consent: ClassVar[frozenset[str]] = frozenset()
    """Fields that only the user may switch on, such as running code from a checkpoint; an artifact cannot."""


class EmptyConfig(Config):
    """A config without settings."""


@dataclass(eq=False)
class ConfigError(TaskgraftError):
    """Settings that a config class does not accept."""

    who: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.who}: {' '.join(self.problems)}"


_SHOWN = 20  # problems of one message
_AnyConfig = TypeVar("_AnyConfig", bound=Config)


def parse_config(config: type[_AnyConfig], settings: Mapping[str, Any], who: str) -> _AnyConfig:
    """Validate settings with a config class.

    Args:
        who: what the settings are for, used in messages ("backbone 'hf-text'").

    Raises:
        ConfigError: with a sentence for each invalid setting, and the nearest name for an unknown one.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(who, (f"the settings are {settings!r:.60}, not a dict.",))
    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        raise ConfigError(who, _problems(config, settings, error.errors(include_url=False))) from None


def _problems(config: type[Config], settings: Mapping[str, Any], details: list[ErrorDetails]) -> tuple[str, ...]:
    """Write one sentence per setting, however many branches of its union rejected the value."""
    by_path: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for detail in details:
        by_path.setdefault(_path(settings, detail), []).append(detail)
    problems = [_problem(config, path, alternatives) for path, alternatives in [*by_path.items()][:_SHOWN]]
    return (*problems, *([f"Further problems: {len(by_path) - _SHOWN:,}."] if len(by_path) > _SHOWN else []))


def _path(settings: Any, detail: ErrorDetails) -> tuple[str, ...]:
    """Return the path of a problem in the settings, without the steps that only name a branch of a union."""
    path = []
    for step in detail["loc"]:
        in_mapping = isinstance(settings, Mapping) and step in settings
        if in_mapping or (isinstance(settings, list | tuple) and isinstance(step, int) and step < len(settings)):
            path.append(str(step))
            settings = settings[step]
    return (*path, str(detail["loc"][-1])) if detail["type"] == "missing" else tuple(path)


def _problem(config: type[Config], path: tuple[str, ...], details: list[ErrorDetails]) -> str:
    key = shorten(".".join(path), 160)
    first, fields = details[0], _fields(config, path)
    if first["type"] == "extra_forbidden":
        near = closest_match(path[-1], fields or ())
        meant = f" Did you mean '{'.'.join((*path[:-1], near))}'?" if near else ""
        return f"there is no setting '{key}'.{meant}" + ("" if fields is None else f" Settings: {join_words(fields)}.")
    if first["type"] == "missing" and path[-1].isdigit():
        return f"the setting '{'.'.join(path[:-1])}' is {shorten(repr(first['input']))}, which is too short."
    if first["type"] == "missing":
        about = fields[path[-1]].description if fields and path[-1] in fields else None
        return f"the setting '{key}' has no default, so set it{f' ({about})' if about else ''}."
    reasons = ", or ".join(dict.fromkeys(_reason(detail) for detail in details))
    return f"the setting '{key}' is {shorten(repr(first['input']))}: {reasons}." if key else f"{reasons}."


def _fields(config: type[Config], path: tuple[str, ...]) -> Mapping[str, FieldInfo] | None:
    """Return the fields that the last step of a path should be one of; None where the path leads through a union."""
    for step in path[:-1]:
        field = config.model_fields.get(step)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Config)):
            return None
        config = field.annotation
    return config.model_fields


_WRITTEN_AS = {"tuple": "a list", "list": "a list", "dict": "a dict", "model": "a dict", "string_unicode": "UTF-8 text"}


def _reason(detail: ErrorDetails) -> str:
    if written := _WRITTEN_AS.get(detail["type"].removesuffix("_type")):
        return f"input should be {written}"
    if detail["type"] in ("value_error", "assertion_error"):  # raised by the config's own validator
        return str(detail["ctx"]["error"])
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}"

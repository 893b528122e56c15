"""Settings of a backbone, head, strategy or run: frozen, flat, and strict about unknown keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from taskgraft.error import TaskgraftError, listed, nearest


class Config(BaseModel):
    """Settings that a recipe can hold. A field without default is what the user must decide."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    argument: ClassVar[str | None] = None
    """The field that the text after the colon of a name sets (``hf-text:ARGUMENT``)."""


class NoSettings(Config):
    """Nothing to decide."""


@dataclass(eq=False)
class SettingsError(TaskgraftError):
    """Settings that a config class refuses."""

    who: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.who}: {' '.join(self.problems)}"


AnyConfig = TypeVar("AnyConfig", bound=Config)


def parse(config: type[AnyConfig], settings: Mapping[str, Any], who: str) -> AnyConfig:
    """Check settings against a config class.

    Args:
        who: who reads the settings, for the message ("backbone 'hf-text'").

    Raises:
        SettingsError: naming each refused key, with the nearest one that exists.
    """
    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        problems = tuple(_sentence(config, detail) for detail in error.errors(include_url=False))
        raise SettingsError(who, problems) from None


def _sentence(config: type[Config], detail: ErrorDetails) -> str:
    key = ".".join(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        near = nearest(key, config.model_fields)
        meant = f" Did you mean '{near}'?" if near else ""
        return f"there is no setting '{key}'.{meant} Settings: {listed(config.model_fields)}."
    if detail["type"] == "missing":
        about = config.model_fields[key].description if key in config.model_fields else None
        return f"the setting '{key}' has no default, so decide it{f' ({about})' if about else ''}."
    if not key:
        return f"{detail['msg']}."
    return f"the setting '{key}' is {detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}."

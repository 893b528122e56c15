"""How a recipe names a component: its name and its settings."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from taskgraft.contract.config import Config


class ComponentRef(Config):
    """A backbone, head, strategy or other component, and its settings.

    A recipe writes it as a name (``"partial:2"``), or as a name with settings (``{"name": "partial", "learn": 2}``, or
    the settings in a table of their own, under ``settings``). ``object`` names the class of a component that was passed as an
    object instead; such a recipe needs the object again to run.
    """

    name: str | None = None
    object: str | None = None
    settings: dict[str, Any] = {}
    base: str | None = Field(default=None, description="artifact whose trained backbone this one starts from")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and (flat := {key: value[key] for key in value if key not in cls.model_fields}):
            settings = value.get("settings", {})
            known = {key: value[key] for key in value if key in cls.model_fields}
            return known | {"settings": {**settings, **flat}} if isinstance(settings, Mapping) else value
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        table = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string"}, table | {"additionalProperties": True}]}

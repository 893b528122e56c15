"""Settings as rows of a table, read from the JSON schema of a config class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.config import Config

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "length ≥ {}",
    "maxItems": "length ≤ {}",
    "pattern": "matches {}",
}
"""Each bound of a JSON schema, in words."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """One setting as text. ``name`` is dotted for nested settings; ``default`` is "(required)" when there is none."""

    name: str
    type: str
    default: str
    range: str
    description: str


def settings_of(config: type[Config]) -> list[Setting]:
    """Describe the settings of a config class, in their order."""
    schema = config.model_json_schema()
    return list(_settings(schema, schema.get("$defs", {}), ""))


def _settings(schema: Schema, definitions: Schema, prefix: str) -> Iterator[Setting]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        resolved = _resolve(field, definitions)
        if "properties" in resolved:
            yield from _settings(resolved, definitions, f"{prefix}{name}.")
            continue
        default = "" if "default" not in field else _as_text(field["default"])
        yield Setting(
            name=f"{prefix}{name}",
            type=_type(field, definitions),
            default="(required)" if name in required else default,
            range=_range(field, definitions),
            description=field.get("description", ""),
        )


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    return schema if reference is None else definitions.get(reference.rpartition("/")[2], {})


def _type(schema: Schema, definitions: Schema) -> str:
    schema = _resolve(schema, definitions)
    if branches := _branches(schema):
        return " or ".join(dict.fromkeys(_type(branch, definitions) for branch in branches))
    if "enum" in schema:
        return " or ".join(map(_as_text, schema["enum"]))
    if "const" in schema:
        return _as_text(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        inner = schema.get("items")
        return f"list of {_type(inner, definitions)}" if isinstance(inner, Mapping) and inner else "list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"name → {_type(inner, definitions)}" if isinstance(inner, Mapping) and inner else "table"
    return {"string": "text", None: "anything"}.get(kind, str(kind))


def _range(schema: Schema, definitions: Schema) -> str:
    schema = _resolve(schema, definitions)
    own = [text.format(schema[bound]) for bound, text in _BOUNDS.items() if bound in schema]
    inner = [schema.get(key) for key in ("items", "additionalProperties")]
    nested = [*_branches(schema), *(one for one in inner if isinstance(one, Mapping))]
    return ", ".join(dict.fromkeys(text for text in (*own, *(_range(one, definitions) for one in nested)) if text))


def _branches(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]


def _as_text(value: Any) -> str:
    """Write a value as a recipe does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value).replace("'", '"')

"""Settings in words, as their JSON schema tells them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskgraft.contract.config import Config

BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "pattern": "like {}",
}
"""Each bound of a JSON schema, in words."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """One setting in words. ``name`` is dotted where settings lie in settings; ``default`` says so when there is none."""

    name: str
    type: str
    default: str
    range: str
    description: str


def settings_of(config: type[Config]) -> list[Setting]:
    """Describe the settings of a config class, in their order."""
    schema = config.model_json_schema()
    return list(_settings(schema, schema.get("$defs", {}), ""))


def _settings(schema: Schema, named: Schema, above: str) -> Iterator[Setting]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        whole = _resolved(field, named)
        if "properties" in whole:
            yield from _settings(whole, named, f"{above}{name}.")
            continue
        default = "" if "default" not in field else _told(field["default"])
        yield Setting(
            name=f"{above}{name}",
            type=_type(field, named),
            default="(decide it)" if name in required else default,
            range=_range(field, named),
            description=field.get("description", ""),
        )


def _resolved(schema: Schema, named: Schema) -> Schema:
    reference = schema.get("$ref")
    return schema if reference is None else named.get(reference.rpartition("/")[2], {})


def _type(schema: Schema, named: Schema) -> str:
    schema = _resolved(schema, named)
    if branches := _branches(schema):
        return " or ".join(dict.fromkeys(_type(branch, named) for branch in branches))
    if "enum" in schema:
        return " or ".join(map(_told, schema["enum"]))
    if "const" in schema:
        return _told(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        inner = schema.get("items")
        return f"list of {_type(inner, named)}" if isinstance(inner, Mapping) and inner else "list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"name → {_type(inner, named)}" if isinstance(inner, Mapping) and inner else "table"
    return {"string": "text", None: "anything"}.get(kind, str(kind))


def _range(schema: Schema, named: Schema) -> str:
    schema = _resolved(schema, named)
    own = [words.format(schema[bound]) for bound, words in BOUNDS.items() if bound in schema]
    inside = [schema.get(key) for key in ("items", "additionalProperties")]
    below = [*_branches(schema), *(one for one in inside if isinstance(one, Mapping))]
    return ", ".join(dict.fromkeys(text for text in (*own, *(_range(one, named) for one in below)) if text))


def _branches(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]


def _told(value: Any) -> str:
    """Write a value as a recipe does."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value).replace("'", '"')

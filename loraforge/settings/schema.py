"""What each setting admits, in words, read from the models themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from loraforge.config.job import Job
from loraforge.settings.fields import leaves_known

Schema = dict[str, Any]
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a table",
    "null": '"none"',
    "string": "text",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of forge.toml.

    Attributes:
        path: dotted, such as `network.rank`.
        allowed: the values it takes, in words.
        default: the built-in default, None where absent.
        nullable: whether `"none"` unsets it.
        items: what the values of such a table admit.
    """

    path: str
    allowed: str
    default: object
    nullable: bool
    items: str


@cache
def settings() -> dict[str, Setting]:
    """Return every setting by dotted path, in the order of the file."""
    schema = Job.model_json_schema()
    return {setting.path: setting for setting in _walk(schema, schema, "")}


@cache
def sections() -> dict[str, str]:
    """Return every table by dotted path with its one-line description."""
    found: dict[str, str] = {}

    def visit(schema: Schema, prefix: str) -> None:
        for name, child in schema.get("properties", {}).items():
            resolved = _resolve(child, root)
            if "properties" in resolved:
                found[prefix + name] = resolved.get("description", "")
                visit(resolved, f"{prefix}{name}.")

    root = Job.model_json_schema()
    visit(root, "")
    return found


def describe(schema: Schema, root: Schema) -> str:  # noqa: PLR0911  # a table of cases reads best flat
    """Say in words what a JSON schema admits."""
    schema = _resolve(schema, root)
    if "allowed" in schema:
        return str(schema["allowed"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(describe(option, root) for option in schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        items = describe(schema.get("items", {}), root)
        pair = "minItems" in schema and schema["minItems"] == schema.get("maxItems")
        return f"[{', '.join(['n'] * schema['minItems'])}], each {items}" if pair else f"a list, each {items}"
    if schema.get("format") == "path":
        return "a path"
    return _TYPES.get(schema.get("type", ""), "any value") + _span(schema)


def _walk(schema: Schema, root: Schema, prefix: str) -> Iterator[Setting]:
    for name, child in schema["properties"].items():
        resolved = _resolve(child, root)
        path = prefix + name
        if "properties" in resolved:
            yield from _walk(resolved, root, f"{path}.")
            continue
        yield Setting(
            path=path,
            allowed=describe(child, root),
            default=child.get("default"),
            nullable=leaves_known()[path].nullable,
            items=_items(resolved, root),
        )


def _items(schema: Schema, root: Schema) -> str:
    values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
    return describe(values, root) if isinstance(values, dict) else ""


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target = root["$defs"][reference.rpartition("/")[2]]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _span(schema: Schema) -> str:
    low, low_open = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, high_open = schema.get("maximum"), schema.get("exclusiveMaximum")
    parts = []
    if low is not None:
        parts.append(f"from {low:g}" if isinstance(low, float) else f"from {low}")
    if low_open is not None:
        parts.append(f"above {low_open:g}")
    if high is not None:
        parts.append(f"to {high:g}" if isinstance(high, float) else f"to {high}")
    if high_open is not None:
        parts.append(f"below {high_open:g}")
    if "multipleOf" in schema:
        parts.append(f"in multiples of {schema['multipleOf']}")
    return (" " + " ".join(parts)) if parts else ""

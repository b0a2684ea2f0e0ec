"""The configuration page of the docs, made from the schemas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwolaflow.config.validation import SCHEMAS
from cwolaflow.config.yaml import read_yaml

PAGES = ("config", "study", "samples")
HEADER = """# Configuration

Made from `workflow/schemas/` by `make docs`; a key that is not listed here is refused.
`*` stands for a name of your choice.
"""


def configuration_page() -> str:
    """Write every key of config, study and sample table as Markdown tables."""
    return "\n".join([HEADER, *map(_section, PAGES)])


def _section(name: str) -> str:
    schema = read_yaml(SCHEMAS / f"{name}.schema.yaml")
    rows = dict.fromkeys(_rows(schema, schema, ""))
    lines = [f"## `{schema['title']}`", "", schema["description"], ""]
    lines += ["| key | what | values | default |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _resolve(entry: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in entry:
        return entry
    return root["$defs"][entry["$ref"].rsplit("/", 1)[-1]] | entry


def _rows(entry: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[str]:
    for alternative in entry.get("oneOf", [entry]):
        required = alternative.get("required", [])
        children = dict(alternative.get("properties", {}))
        if isinstance(alternative.get("additionalProperties"), dict):
            children["*"] = alternative["additionalProperties"]
        for key, child in children.items():
            child = _resolve(child, root)
            where = f"{path}.{key}".lstrip(".")
            default = f"`{child['default']}`" if "default" in child else ""
            if key in required:
                default = "required"
            text = child.get("description", "").replace("|", "\\|")
            values = _values(child, root)
            if text or values != "mapping":
                yield f"| `{where}` | {text} | {values} | {default} |"
            yield from _rows(_resolve(child.get("items", child), root), root, where)
        for condition in ("then", "else"):
            if condition in alternative:
                yield from _rows(alternative[condition], root, path)


def _values(entry: dict[str, Any], root: dict[str, Any]) -> str:
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    if entry.get("type") == "array":
        inner = _values(_resolve(entry.get("items", {}), root), root)
        return f"list of {inner}" if inner else "pair of numbers"
    kinds = entry.get("type", "")
    words = {"string": "text", "object": "mapping", "array": "list", "null": "empty"}
    kind = " or ".join(
        words.get(name, name) for name in ([kinds] if isinstance(kinds, str) else kinds)
    )
    signs = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    bounds = [f"{sign} {entry[key]}" for key, sign in signs.items() if key in entry]
    return " ".join(filter(None, [kind, ", ".join(bounds)]))


if __name__ == "__main__":
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    page.write_text(configuration_page(), encoding="utf-8")

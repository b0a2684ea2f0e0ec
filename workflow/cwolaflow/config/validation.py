"""JSON-schema validation that fills defaults and reports every problem at once."""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError

SCHEMAS = Path(__file__).parents[2] / "schemas"


def _fill_defaults(
    validator: Draft202012Validator, properties: dict, instance: Any, schema: dict
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name, entry in properties.items():
            if "default" in entry:
                instance.setdefault(name, entry["default"])
    yield from Draft202012Validator.VALIDATORS["properties"](
        validator, properties, instance, schema
    )


def _match_pattern(
    validator: Draft202012Validator, pattern: str, instance: Any, schema: dict
) -> Iterator[ValidationError]:
    # In JSON schemas `$` is the very end; in Python it is also before a last line break.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_DefaultingValidator = validators.extend(
    Draft202012Validator, {"properties": _fill_defaults, "pattern": _match_pattern}
)


def nearest(word: str, known: list[str]) -> str:
    """Give ``" (did you mean 'x'?)"`` for the nearest known word, or an empty string."""
    match = difflib.get_close_matches(str(word), [str(k) for k in known], n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _explain_alternatives(error: ValidationError, key: str) -> str:
    """Explain the alternative that was meant: the one with the same `name`, or the nearest keys."""

    def distance(branch: int) -> tuple[bool, int]:
        properties = error.validator_value[branch]["properties"]
        name = properties.get("name", {}).get("const")
        return name != error.instance.get("name"), -len(properties.keys() & error.instance.keys())

    if not isinstance(error.instance, dict):
        return f"{key!r}: {error.instance!r} is no mapping of keys to values"
    branch = min(range(len(error.validator_value)), key=distance)
    names = [
        b["properties"]["name"]["const"] for b in error.validator_value if "name" in b["properties"]
    ]
    if names and distance(branch)[0]:
        name = error.instance.get("name")
        return f"'{key}.name': {name!r} is none of {', '.join(names)}{nearest(name, names)}"
    inner = [context for context in error.context if context.schema_path[0] == branch]
    return "; ".join(map(_explain, inner)) or f"{key!r}: fits several alternatives"


def _explain(error: ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        return "; ".join(
            f"unknown key {'.'.join(filter(None, [key, str(name)]))!r}{nearest(name, known)}"
            for name in unknown
        )
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"missing key {'.'.join(filter(None, [key, missing[0]]))!r}"
    if error.validator == "oneOf":
        return _explain_alternatives(error, key)
    remedy = ""
    if error.validator == "type" and isinstance(error.instance, str):
        try:
            float(error.instance)
            remedy = f" (YAML reads {error.instance} as text: write 1.0e-3, not 1e-3)"
        except ValueError:
            pass
    if error.validator == "enum":
        remedy = nearest(error.instance, error.validator_value)
    return f"{key!r}: {error.message}{remedy}"


def validate(content: dict[str, Any], schema_name: str, source: str | Path) -> None:
    """Check ``content`` against ``schemas/{schema_name}.schema.yaml`` and fill its defaults.

    Raises
    ------
    ConfigError
        One line with every problem found: the file, the key, the value, the nearest known name.
    """
    validator = _DefaultingValidator(read_yaml(SCHEMAS / f"{schema_name}.schema.yaml"))
    errors = sorted(validator.iter_errors(content), key=lambda error: list(map(str, error.path)))
    if errors:
        raise ConfigError(f"{source}: " + "; ".join(dict.fromkeys(map(_explain, errors))))

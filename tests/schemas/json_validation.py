"""Validates values against JSON Schemas, formats included."""

from typing import Any

import jsonschema


def validated(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a value that is valid."""
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)
    return value

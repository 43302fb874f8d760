"""Where the broker of `semloop up` listens, by the file that it puts into the lake."""

import json

from semloop.settings import LOCAL_FOLDER, Settings

STACK_FILE = "stack.json"


def broker_address(settings: Settings) -> str | None:
    """Where the broker of the local stack listens; None where there is no stack."""
    if settings.on_s3:
        return None
    try:
        with open(f"{settings.lake}/{LOCAL_FOLDER}/{STACK_FILE}", "rb") as file:
            stack = json.load(file)
    except (OSError, ValueError):
        return None
    kafka = stack.get("kafka") if isinstance(stack, dict) else None
    return kafka if isinstance(kafka, str) else None

"""Lakes with redaction keys."""

from pathlib import Path

from semloop.settings import LOCAL_FOLDER, Secret, Settings
from semloop.storage.key_file import KEY_FILE
from semloop.storage.location import Storage
from semloop.storage.redaction_key import DATA_TABLE, Binding, read_binding
from sinks.delta.create_table import create

HIDDEN = "tr0ub4dor&3-horse-battery"
OTHER = "another key of some length"


def key_file(lake: Path) -> Path:
    return lake / LOCAL_FOLDER / KEY_FILE


def bound(storage: Storage) -> Binding:
    """Return what a lake is bound to."""
    found = read_binding(storage)
    assert found is not None
    return found


def holding(settings: Settings, key: str | None, *old: str) -> Settings:
    """Return the settings with these keys."""
    olds = tuple(Secret(text) for text in old)
    return settings.replace(
        redaction_key=Secret(key) if key else None, redaction_keys_old=olds
    )


def with_rows(storage: Storage) -> None:
    """Make the table that exists once `archive` has started."""
    create(storage, DATA_TABLE)

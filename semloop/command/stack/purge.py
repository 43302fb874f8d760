"""Deleting a lake without what somebody else put into its folder."""

import shutil
from pathlib import Path

from semloop.errors import LakeError
from semloop.lake.generations import FOLDER
from semloop.layout import LAYOUT_FILE
from semloop.settings import LOCAL_FOLDER

# What a lake holds besides its tables.
FOLDERS_OF_OURS = (LOCAL_FOLDER, "_models", FOLDER)


def delete_tables(lake: Path) -> list[str]:
    """Delete what is ours; what somebody else put into the folder stays.

    Returns:
        the names of what stays.

    Raises:
        LakeError: the folder cannot be read or changed.
    """
    try:
        for entry in lake.iterdir():
            if entry.name in FOLDERS_OF_OURS or (entry / "_delta_log").is_dir():
                shutil.rmtree(entry)
            elif entry.name == LAYOUT_FILE:
                entry.unlink()
        return sorted(entry.name for entry in lake.iterdir())
    except OSError as error:
        raise not_deleted(error) from None


def not_deleted(error: OSError) -> LakeError:
    """What to say when the system refuses."""
    msg = f"{error.filename} cannot be deleted: {error.strerror}."
    return LakeError(msg, "Delete the rest yourself.")

"""Deletion of a lake, without files of others in its folder."""

import shutil
from pathlib import Path

from semloop.artifacts import FOLDER as ARTIFACTS
from semloop.errors import LakeError
from semloop.lake.generations import FOLDER
from semloop.progress.activity import FOLDER as ACTIVITY
from semloop.settings import LOCAL_FOLDER
from semloop.storage.redaction_key import FINGERPRINT_FILE
from semloop.tables import LAYOUT_FILE

# Folders of a lake that are not Delta tables.
OWN_FOLDERS = (LOCAL_FOLDER, "_models", FOLDER, ARTIFACTS, ACTIVITY, "_watch")
OWN_FILES = (LAYOUT_FILE, FINGERPRINT_FILE)


def delete_tables(lake: Path) -> list[str]:
    """Delete the lake's tables and folders, but no other files in its folder.

    Returns:
        the names of the remaining files and folders.

    Raises:
        LakeError: the folder cannot be read or changed.
    """
    try:
        for entry in lake.iterdir():
            if entry.name in OWN_FOLDERS or (entry / "_delta_log").is_dir():
                shutil.rmtree(entry)
            elif entry.name in OWN_FILES:
                entry.unlink()
        return sorted(entry.name for entry in lake.iterdir())
    except OSError as error:
        raise not_deleted(error) from None


def not_deleted(error: OSError) -> LakeError:
    """Return the error for a file that the system does not delete."""
    msg = f"{error.filename} cannot be deleted: {error.strerror}."
    return LakeError(msg, "Delete the remaining files yourself.")

"""Rotation of the redaction key: new rows use another key.

A crash between the steps leaves the lake bound to the old key, which is still the one
that writers use. The next call continues with the same new key.
"""

from semloop.errors import ConfigError, LakeError
from semloop.settings import Secret, Settings
from semloop.storage.key_file import put_new_key_first
from semloop.storage.location import Storage
from semloop.storage.redaction_key import (
    DATA_TABLE,
    FINGERPRINT_FILE,
    Binding,
    bind,
    check_length,
    decoded,
    fingerprint,
    held_keys,
    no_key_on_s3,
    refusal,
)
from semloop.storage.replaced_files import Seen, read_seen, replace


def rotate(settings: Settings, storage: Storage, *, key_lost: bool = False) -> Binding:
    """Bind the lake to a new key; the earlier ones stay known for look-up.

    The new key is `redaction_key` if it is set. Otherwise a local lake creates one. A
    second call with the same settings changes nothing if they name the new key.

    Args:
        settings: the new key, and the present one in `redaction_keys_old` or in the
            lake's own file.
        storage: the lake.
        key_lost: rotate although the present key is not there. Rows under it can no
            longer be looked up.

    Returns:
        the new fingerprints.

    Raises:
        KeyRefused: the present key is not there. ConfigError: no usable new key is set.
        LakeError: the lake has no key yet, or another process rotated it meanwhile.
        StorageUnavailable: the store does not answer.
    """
    seen = read_seen(storage, FINGERPRINT_FILE)
    if seen is None:
        return _bind_without_key(settings, storage, key_lost=key_lost)
    before = decoded(storage, seen.data)
    held = held_keys(settings, storage)
    by_name = {fingerprint(key): key for key in held}
    if before.present not in by_name and not key_lost:
        raise refusal(storage, before, held)
    earlier = (before.present, *before.previous)
    known = [by_name[name] for name in earlier if name in by_name]
    new = fingerprint(_new_key(settings, storage, known))
    if new == before.present:
        return before
    if new in before.previous:
        msg = "SEMLOOP_REDACTION_KEY is an earlier key of this lake."
        raise ConfigError(msg, "Generate a new one with `openssl rand -hex 32`.")
    return _replace(storage, seen, Binding(new, earlier))


def _new_key(settings: Settings, storage: Storage, known: list[Secret]) -> Secret:
    chosen = settings.redaction.key
    if chosen is None and storage.on_s3:
        raise no_key_on_s3()
    key = put_new_key_first(storage, known) if chosen is None else chosen
    check_length(key)
    return key


def _bind_without_key(
    settings: Settings, storage: Storage, *, key_lost: bool
) -> Binding:
    """Bind a lake that has rows of a lost key, and no fingerprint, to a new key."""
    if not key_lost or not storage.has(DATA_TABLE):
        msg = f"The lake {storage.root} is not bound to a redaction key yet."
        raise LakeError(msg, "Start `archive` once with the present key.")
    return bind(storage, _new_key(settings, storage, []))


def _replace(storage: Storage, seen: Seen, after: Binding) -> Binding:
    if replace(storage, FINGERPRINT_FILE, seen, after.encoded()):
        return after
    found = read_seen(storage, FINGERPRINT_FILE)
    if found and decoded(storage, found.data) == after:
        return after  # by this call, whose reply was lost, or by another with its key
    msg = f"Another process changed the redaction key of {storage.root} meanwhile."
    raise LakeError(msg, "Run the command again if its key must change once more.")

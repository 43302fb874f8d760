"""The key of the pseudonyms, and its fingerprint, to which a lake is bound.

The same text has the same pseudonym only under the same key. Therefore the first writer
stores a fingerprint of its key in a small file in the lake, and a writer with another
key is refused. The file contains fingerprints only, from which no key can be computed.
"""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

from semloop.errors import ConfigError, KeyRefused, LakeError
from semloop.settings import Secret, Settings
from semloop.storage.key_file import (
    hide_from_git,
    key_file,
    own_keys,
    put_new_key_first,
)
from semloop.storage.location import Storage

FINGERPRINT_FILE = "_redaction_key.json"
KEY_CHARS_MIN = 16
FINGERPRINT_OF = b"SemLoop: fingerprint of a redaction key, version 1"
# Exists once `archive` has started on the lake.
DATA_TABLE = "events"


@dataclass(frozen=True)
class Binding:
    """Fingerprints of the key that new rows use, and of earlier ones, newest first."""

    present: str
    previous: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        """Return the content of the fingerprint file."""
        return json.dumps(asdict(self)).encode() + b"\n"


def fingerprint(key: Secret) -> str:
    """Return HMAC-SHA-256 of a fixed text under the key, in hexadecimal digits."""
    return hmac.new(key.reveal().encode(), FINGERPRINT_OF, hashlib.sha256).hexdigest()


def writer_key(settings: Settings, storage: Storage) -> Secret:
    """Return the key of the pseudonyms, and bind the lake to it unless it is bound.

    Every program that redacts must call this before it does. Of its keys it gets the
    one that the lake is bound to, so a key can be handed out before it is rotated. A
    local lake creates its own key once, in a file that only its owner may read.

    Raises:
        KeyRefused: the lake is bound to another key, or has rows and no key is there.
        ConfigError: the lake is on S3 and no key is set, or the key is too short.
        LakeError: the lake's own key or its fingerprint cannot be read or created.
        StorageUnavailable: the store does not answer.
    """
    check_length(settings.redaction.key)
    binding = read_binding(storage)
    if binding is None:
        first = _first_key(settings, storage)
        check_length(first)
        binding = bind(storage, first)
    keys = writer_keys(settings, storage)
    for key in keys:
        if fingerprint(key) == binding.present:
            _hide_own_key(storage)
            return key
    raise refusal(storage, binding, keys)


def lookup_keys(settings: Settings, storage: Storage) -> list[Secret]:
    """Return the keys under which a text may have been redacted, the newest first.

    Readers need none: the list is empty if this one holds no key of the lake.

    Raises:
        LakeError: the fingerprint or a key file cannot be read.
        StorageUnavailable: the store does not answer.
    """
    held = {fingerprint(key): key for key in held_keys(settings, storage)}
    binding = read_binding(storage)
    if binding is None:
        return list(held.values())
    known = (binding.present, *binding.previous)
    return [held[name] for name in known if name in held]


def key_problem(settings: Settings, storage: Storage) -> KeyRefused | None:
    """Return why a writer with these settings would be refused; it changes nothing.

    Raises:
        LakeError: the fingerprint or a key file cannot be read.
        StorageUnavailable: the store does not answer.
    """
    binding = read_binding(storage)
    if binding is None:
        return None
    keys = writer_keys(settings, storage)
    if binding.present in map(fingerprint, keys):
        return None
    return refusal(storage, binding, keys)


def read_binding(storage: Storage) -> Binding | None:
    """Read the fingerprints of the lake's keys; None if it is not bound.

    Raises:
        LakeError: the file is invalid or cannot be read.
        StorageUnavailable: the store does not answer.
    """
    data = storage.read(FINGERPRINT_FILE)
    return None if data is None else decoded(storage, data)


def decoded(storage: Storage, data: bytes) -> Binding:
    """Decode the content of the fingerprint file.

    Raises:
        LakeError: it is invalid.
    """
    try:
        found = json.loads(data)
        present, previous = found["present"], found["previous"]
    except (ValueError, TypeError, KeyError):
        present, previous = None, []
    if isinstance(present, str) and isinstance(previous, list):
        return Binding(present, tuple(map(str, previous)))
    msg = f"{storage.root}/{FINGERPRINT_FILE} contains no fingerprint of a key."
    todo = "Restore the file, or remove it: `archive` then writes it for its own key."
    raise LakeError(msg, todo)


def bind(storage: Storage, key: Secret) -> Binding:
    """Bind the lake to a key, unless it is bound; return what it is bound to.

    Raises:
        LakeError: the file cannot be written. StorageUnavailable: no answer.
    """
    storage.create(FINGERPRINT_FILE, Binding(fingerprint(key)).encoded())
    found = read_binding(storage)
    if found is None:
        msg = f"{FINGERPRINT_FILE} was written to {storage.root}, but cannot be read."
        raise LakeError(msg, "Use a store with read-after-write consistency.")
    return found


def writer_keys(settings: Settings, storage: Storage) -> list[Secret]:
    """Return the keys that a writer may use: a key in the settings has precedence."""
    chosen = settings.redaction.key
    first = own_keys(storage) if chosen is None else [chosen]
    return [*first, *settings.redaction.keys_old]


def held_keys(settings: Settings, storage: Storage) -> list[Secret]:
    """Return all keys in the settings and in the lake's own file, each once."""
    return list(
        dict.fromkeys([*writer_keys(settings, storage), *own_keys(storage)])
    )  # fmt: skip


def check_length(key: Secret | None) -> None:
    """Refuse a key that can be guessed.

    Raises:
        ConfigError: it is too short.
    """
    if key is not None and len(key.reveal()) < KEY_CHARS_MIN:
        msg = f"SEMLOOP_REDACTION_KEY is shorter than {KEY_CHARS_MIN} characters."
        raise ConfigError(msg, "Generate one with `openssl rand -hex 32`.")


def no_key_on_s3() -> ConfigError:
    """Return the error for a lake on S3 that has no key yet."""
    msg = "A lake on S3 needs SEMLOOP_REDACTION_KEY, the same for all writers."
    todo = "Generate one with `openssl rand -hex 32` and store it safely."
    return ConfigError(msg, todo)


def refusal(
    storage: Storage, binding: Binding | None, keys: list[Secret]
) -> KeyRefused:
    """Return the error for a writer whose keys are not the lake's."""
    lost = "if it is lost, run `semloop maintain rotate-key --key-lost`."
    if not keys:
        msg = f"The redaction key of the lake {storage.root} is missing here."
        todo = f"Set SEMLOOP_REDACTION_KEY to it; {lost}"
        if not storage.on_s3:
            todo = f"Restore {key_file(storage)}, or set SEMLOOP_REDACTION_KEY; {lost}"
        return KeyRefused(msg, todo)
    if binding and fingerprint(keys[0]) in binding.previous:
        msg = f"The redaction key is an earlier one of the lake {storage.root}."
        todo = "Set SEMLOOP_REDACTION_KEY to the present key, and "
        return KeyRefused(msg, f"{todo}SEMLOOP_REDACTION_KEYS_OLD to the earlier one.")
    msg = f"The redaction key is not the one of the lake {storage.root}: pseudonyms "
    msg += "would not join."
    return KeyRefused(msg, f"Set SEMLOOP_REDACTION_KEY to the lake's key; {lost}")


def _first_key(settings: Settings, storage: Storage) -> Secret:
    """Return the key that an unbound lake will be bound to."""
    keys = writer_keys(settings, storage)
    if keys:
        return keys[0]
    if storage.on_s3:
        raise no_key_on_s3()
    if storage.has(DATA_TABLE):
        # Its rows have pseudonyms under a key that is not here.
        raise refusal(storage, None, [])
    return put_new_key_first(storage, [])


def _hide_own_key(storage: Storage) -> None:
    """Hide a key that an earlier version created from git."""
    if not storage.on_s3 and key_file(storage).exists():
        try:
            hide_from_git(key_file(storage).parent)
        except OSError as exc:
            msg = f"{key_file(storage).parent} cannot be written: {exc.strerror}."
            raise LakeError(msg, "Check disk space and permissions.") from None

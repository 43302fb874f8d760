"""Rotation of the redaction key: crashes, rivals, lost keys, look-up."""

import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from semloop.errors import ConfigError, KeyRefused, LakeError
from semloop.settings import Secret, Settings
from semloop.storage import key_rotation, replaced_files
from semloop.storage.key_file import own_keys, put_new_key_first
from semloop.storage.key_rotation import rotate
from semloop.storage.location import Storage
from semloop.storage.redaction_key import (
    FINGERPRINT_FILE,
    Binding,
    fingerprint,
    lookup_keys,
    read_binding,
    writer_key,
)
from semloop.storage.replaced_files import Seen, read_seen, replace
from tests.semloop.keyed_lakes import (
    HIDDEN,
    OTHER,
    bound,
    holding,
    key_file,
    with_rows,
)

RIVALS = 4


def in_threads(function: Callable[[], object]) -> list[object]:
    """Call a function in several threads at the same time; return results and errors."""
    found: list[object] = []
    barrier = threading.Barrier(RIVALS)

    def call() -> None:
        barrier.wait()
        try:
            found.append(function())
        except LakeError as error:
            found.append(error)

    threads = [threading.Thread(target=call) for _ in range(RIVALS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == RIVALS
    return found


@pytest.mark.process
def test_keys_are_handed_out_first_and_then_rotated(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    new = holding(keyed_lake, OTHER, HIDDEN)
    assert writer_key(new, storage) == Secret(HIDDEN)  # not rotated yet
    after = rotate(new, storage)
    names = [fingerprint(Secret(key)) for key in (OTHER, HIDDEN)]
    assert after == bound(storage) == Binding(names[0], (names[1],))
    assert rotate(new, storage) == after  # twice changes nothing
    assert writer_key(new, storage) == Secret(OTHER)
    assert lookup_keys(new, storage) == [Secret(OTHER), Secret(HIDDEN)]
    with pytest.raises(KeyRefused, match="is an earlier one"):
        writer_key(keyed_lake, storage)
    with pytest.raises(ConfigError, match="is an earlier key of this lake"):
        rotate(holding(keyed_lake, HIDDEN, OTHER), storage)


def test_a_local_lake_makes_its_own_new_key_and_keeps_the_old(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    first = writer_key(settings, storage)
    rotate(settings, storage)
    second = writer_key(settings, storage)
    rotate(settings, storage)
    third = writer_key(settings, storage)
    assert len({first, second, third}) == 3
    assert lookup_keys(settings, storage) == [third, second, first]
    assert own_keys(storage) == [third, second, first]
    file = key_file(Path(storage.root))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {path.name for path in file.parent.iterdir()} == {file.name, ".gitignore"}


def test_a_rotation_that_died_halfway_keeps_the_old_key_until_it_is_repeated(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    old = writer_key(settings, storage)
    new = put_new_key_first(storage, [old])  # and then it dies
    assert writer_key(settings, storage) == old
    assert rotate(settings, storage).present == fingerprint(new)
    assert own_keys(storage) == [new, old]


def test_of_concurrent_rotations_no_key_is_lost(settings: Settings) -> None:
    storage = Storage.of(settings)
    writer_key(settings, storage)
    in_threads(lambda: rotate(settings, storage))
    after = bound(storage)
    assert 1 <= len(after.previous) <= RIVALS
    held = [fingerprint(key) for key in lookup_keys(settings, storage)]
    assert held == [after.present, *after.previous]


@pytest.mark.process
def test_one_of_several_concurrent_replacements_succeeds(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    storage.create("file", b"0")
    seen = read_seen(storage, "file")
    assert seen is not None
    number = iter(range(1, RIVALS + 1))
    results = in_threads(lambda: replace(storage, "file", seen, b"%d" % next(number)))
    assert sorted(map(bool, results)) == [False] * (RIVALS - 1) + [True]
    assert storage.read("file") in {b"1", b"2", b"3", b"4"}
    assert not replace(storage, "file", seen, b"late")
    assert read_seen(storage, "absent") is None
    assert not replace(storage, "absent", Seen(b"", '"0"'), b"")


def test_a_rotation_after_another_one_is_refused(
    keyed_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    before = read_seen(storage, FINGERPRINT_FILE)
    rotate(holding(keyed_lake, OTHER, HIDDEN), storage)
    after = storage.read(FINGERPRINT_FILE)
    stale = iter([before])
    monkeypatch.setattr(
        key_rotation, "read_seen", lambda *at: next(stale, None) or read_seen(*at)
    )
    with pytest.raises(LakeError, match="Another process changed the redaction key"):
        rotate(holding(keyed_lake, f"{OTHER} 2", HIDDEN), storage)
    assert storage.read(FINGERPRINT_FILE) == after


def test_a_rotation_whose_reply_was_lost_succeeds(
    keyed_lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)

    def replace_unheard(*given: object) -> bool:
        assert replace(*given)  # type: ignore[arg-type]
        return False

    monkeypatch.setattr(key_rotation, "replace", replace_unheard)
    after = rotate(holding(keyed_lake, OTHER, HIDDEN), storage)
    assert after.present == fingerprint(Secret(OTHER))


def test_a_key_cannot_be_rotated_without_the_present_one(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    before = storage.read(FINGERPRINT_FILE)
    without = holding(keyed_lake, OTHER)
    with pytest.raises(KeyRefused):
        rotate(without, storage)
    assert storage.read(FINGERPRINT_FILE) == before
    rotate(without, storage, key_lost=True)
    assert writer_key(without, storage) == Secret(OTHER)
    assert lookup_keys(without, storage) == [Secret(OTHER)]
    # The lost key is found again.
    assert lookup_keys(holding(keyed_lake, OTHER, HIDDEN), storage)[1:] == [
        Secret(HIDDEN)
    ]


def test_a_local_lake_whose_key_file_is_lost_gets_a_new_one_on_demand(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    lost = writer_key(settings, storage)
    key_file(Path(storage.root)).unlink()
    with pytest.raises(KeyRefused, match="is missing here") as error:
        rotate(settings, storage)
    assert "rotate-key --key-lost" in error.value.todo
    rotate(settings, storage, key_lost=True)
    assert bound(storage).previous == (fingerprint(lost),)
    assert lookup_keys(settings, storage) == [writer_key(settings, storage)]


def test_a_lake_that_was_never_bound_is_rotated_only_if_its_key_is_lost(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    with pytest.raises(LakeError, match="is not bound to a redaction key yet"):
        rotate(settings, storage, key_lost=True)
    with_rows(storage)
    with pytest.raises(LakeError, match="is not bound to a redaction key yet"):
        rotate(settings, storage)
    assert read_binding(storage) is None
    rotate(settings, storage, key_lost=True)
    assert bound(storage).present == fingerprint(writer_key(settings, storage))


def test_a_lake_on_s3_is_rotated_only_to_a_key_of_the_settings(
    s3_settings: Settings,
) -> None:
    storage = Storage.of(s3_settings)
    own = holding(s3_settings, HIDDEN)
    writer_key(own, storage)
    with pytest.raises(ConfigError, match="needs SEMLOOP_REDACTION_KEY"):
        rotate(holding(s3_settings, None, HIDDEN), storage)
    with pytest.raises(ConfigError, match="is shorter than"):
        rotate(holding(s3_settings, "short", HIDDEN), storage)


def test_a_store_that_ignores_if_match_is_refused_unchanged(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(s3_settings)
    writer_key(s3_settings, storage)
    before = storage.read(FINGERPRINT_FILE)
    put = storage.objects.put
    # A store that overwrites in spite of every condition.
    monkeypatch.setattr(storage.objects, "put", lambda name, data, **_: put(name, data))
    seen = read_seen(storage, FINGERPRINT_FILE)
    assert seen is not None
    with pytest.raises(LakeError, match="ignores `If-Match`"):
        replaced_files.replace(storage, FINGERPRINT_FILE, seen, b"other")
    assert storage.read(FINGERPRINT_FILE) == before

"""The redaction key: where it comes from, and the binding of a lake to it."""

import functools
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.errors import ConfigError, KeyRefused, LakeError
from semloop.redaction.redactor import Redactor
from semloop.settings import LOCAL_FOLDER, Secret, Settings, load
from semloop.storage.key_file import KEY_FILE
from semloop.storage.location import Storage
from semloop.storage.redaction_key import (
    FINGERPRINT_FILE,
    FINGERPRINT_OF,
    Binding,
    bind,
    fingerprint,
    key_problem,
    lookup_keys,
    read_binding,
    writer_key,
)
from tests.semloop.keyed_lakes import (
    HIDDEN,
    OTHER,
    bound,
    holding,
    key_file,
    with_rows,
)
from tests.support.processes import ROOT


def test_a_local_lake_creates_its_key_once_readable_by_its_owner_only(
    tmp_path: Path,
) -> None:
    settings = load({}, lake=str(tmp_path / "lake"))
    storage = Storage.of(settings)
    key = writer_key(settings, storage)
    assert writer_key(settings, Storage.of(settings)) == key
    file = key_file(tmp_path / "lake")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == key.reveal()
    assert len(key.reveal()) == 64
    assert {path.name for path in file.parent.iterdir()} == {".gitignore", KEY_FILE}
    other = load({}, lake=str(tmp_path / "other"))
    assert writer_key(other, Storage.of(other)) != key


@pytest.mark.process
def test_processes_that_start_at_the_same_time_get_the_same_key(tmp_path: Path) -> None:
    code = (
        "import sys; from semloop.settings import load\n"
        "from semloop.storage.location import Storage\n"
        "from semloop.storage.redaction_key import writer_key\n"
        "settings = load({}, lake=sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(writer_key(settings, Storage.of(settings)).reveal())\n"
    )
    lake = tmp_path / "lake"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(lake)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    keys = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert keys == {key_file(lake).read_text()}
    assert [racer.returncode for racer in racers] == [0] * 6
    assert set(os.listdir(lake / LOCAL_FOLDER)) == {".gitignore", KEY_FILE}
    assert bound(Storage(str(lake))) == Binding(fingerprint(Secret(keys.pop())))


def test_a_key_in_the_settings_has_precedence_and_creates_no_key_file(
    tmp_path: Path,
) -> None:
    settings = load({"SEMLOOP_REDACTION_KEY": HIDDEN}, lake=str(tmp_path / "lake"))
    assert writer_key(settings, Storage.of(settings)) == Secret(HIDDEN)
    assert not key_file(tmp_path / "lake").exists()


@pytest.mark.parametrize("where", ["settings", "file"])
def test_a_key_that_is_too_short_is_refused_without_showing_it(
    tmp_path: Path, where: str
) -> None:
    short = HIDDEN[:15]
    environ = {"SEMLOOP_REDACTION_KEY": short} if where == "settings" else {}
    settings = load(environ, lake=str(tmp_path))
    if where == "file":
        key_file(tmp_path).parent.mkdir()
        key_file(tmp_path).write_text(short)
    with pytest.raises(ConfigError) as error:
        writer_key(settings, Storage.of(settings))
    assert error.value.what == "SEMLOOP_REDACTION_KEY is shorter than 16 characters."
    assert short not in str(error.value)


def test_the_first_writer_binds_the_lake_to_its_key(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    assert read_binding(storage) is None
    assert key_problem(keyed_lake, storage) is None
    assert read_binding(storage) is None  # reading binds nothing
    assert writer_key(keyed_lake, storage) == Secret(HIDDEN)
    assert writer_key(keyed_lake, storage) == Secret(HIDDEN)
    assert bound(storage) == Binding(fingerprint(Secret(HIDDEN)))
    assert key_problem(keyed_lake, storage) is None


def test_a_writer_with_another_key_is_refused_with_exit_3(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    before = storage.read(FINGERPRINT_FILE)
    other = holding(keyed_lake, OTHER)
    with pytest.raises(KeyRefused, match="is not the one of the lake") as error:
        writer_key(other, storage)
    assert error.value.exit_code == 3
    assert len(str(error.value).splitlines()) == 2
    for secret in (HIDDEN, OTHER):
        assert secret not in str(error.value)
    assert str(key_problem(other, storage)) == str(error.value)
    assert storage.read(FINGERPRINT_FILE) == before


def test_a_writer_without_the_key_of_a_bound_lake_makes_no_new_one(
    keyed_lake: Settings,
) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    without = holding(keyed_lake, None)
    with pytest.raises(KeyRefused, match="is missing here") as error:
        writer_key(without, storage)
    assert error.value.exit_code == 3
    if not storage.on_s3:
        assert not key_file(Path(storage.root)).exists()
    assert lookup_keys(without, storage) == []


def test_a_lake_on_s3_is_refused_without_a_key(s3_settings: Settings) -> None:
    storage = Storage.of(s3_settings)
    with pytest.raises(ConfigError) as error:
        writer_key(holding(s3_settings, None), storage)
    assert error.value.what.startswith("A lake on S3 needs SEMLOOP_REDACTION_KEY")
    assert read_binding(storage) is None


def test_a_lake_with_rows_and_a_key_but_no_fingerprint_is_bound(
    keyed_lake: Settings,
) -> None:
    storage = Storage.of(keyed_lake)
    with_rows(storage)
    assert writer_key(keyed_lake, storage) == Secret(HIDDEN)
    assert bound(storage).present == fingerprint(Secret(HIDDEN))


def test_a_lake_with_rows_of_a_lost_key_gets_no_new_one(settings: Settings) -> None:
    storage = Storage.of(settings)
    with_rows(storage)
    with pytest.raises(KeyRefused, match="is missing here"):
        writer_key(settings, storage)
    assert not key_file(Path(storage.root)).exists()


def test_a_crash_between_key_file_and_fingerprint_is_recovered(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    key = writer_key(settings, storage)
    Path(storage.root, FINGERPRINT_FILE).unlink()
    assert writer_key(settings, storage) == key
    assert bound(storage).present == fingerprint(key)


def test_the_writer_that_binds_second_with_another_key_is_refused(
    keyed_lake: Settings,
) -> None:
    storage = Storage.of(keyed_lake)
    first, second = Secret(HIDDEN), Secret(OTHER)
    assert bind(storage, first) == bind(storage, second) == Binding(fingerprint(first))


def test_look_up_finds_the_keys_of_the_lake_and_no_others(keyed_lake: Settings) -> None:
    storage = Storage.of(keyed_lake)
    assert lookup_keys(holding(keyed_lake, HIDDEN, OTHER), storage) == [
        Secret(HIDDEN), Secret(OTHER),
    ]  # fmt: skip
    old, older, foreign = (f"{name} key of some length" for name in "abc")
    names = tuple(fingerprint(Secret(key)) for key in (HIDDEN, old, older))
    storage.create(FINGERPRINT_FILE, Binding(names[0], names[1:]).encoded())
    reader = holding(keyed_lake, foreign, older, HIDDEN, old)
    found = [key.reveal() for key in lookup_keys(reader, storage)]
    assert found == [HIDDEN, old, older]
    assert lookup_keys(holding(keyed_lake, foreign), storage) == []


def test_a_writer_with_only_an_earlier_key_is_refused_as_such(
    keyed_lake: Settings,
) -> None:
    storage = Storage.of(keyed_lake)
    names = [fingerprint(Secret(key)) for key in (OTHER, HIDDEN)]
    storage.create(FINGERPRINT_FILE, Binding(names[0], (names[1],)).encoded())
    with pytest.raises(KeyRefused, match="is an earlier one of the lake"):
        writer_key(keyed_lake, storage)


@given(st.text(min_size=16, max_size=80), st.text(min_size=16, max_size=80))
def test_a_fingerprint_reveals_no_part_of_the_key(key: str, other: str) -> None:
    found = fingerprint(Secret(key))
    assert re.fullmatch("[0-9a-f]{64}", found)
    assert (found == fingerprint(Secret(other))) == (key == other)
    for text in (key, key.encode().hex()):
        assert text not in found
    # It is not a digest of the key alone.
    assert found != hashlib.sha256(key.encode()).hexdigest()


def test_a_fingerprint_is_not_the_pseudonym_of_a_recognized_text() -> None:
    text = FINGERPRINT_OF.decode()
    assert Redactor(Secret("a key of some length")).text(text) == text


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"present": 1}'])
def test_an_invalid_fingerprint_file_is_refused(
    settings: Settings, content: str
) -> None:
    storage = Storage.of(settings)
    storage.create(FINGERPRINT_FILE, content.encode())
    with pytest.raises(LakeError, match="contains no fingerprint of a key"):
        writer_key(settings, storage)


def test_git_never_adds_the_key(settings: Settings) -> None:
    lake = Path(settings.lake)
    lake.mkdir(parents=True, exist_ok=True)
    key = writer_key(settings, Storage.of(settings)).reveal()
    git = functools.partial(
        subprocess.run, cwd=lake, check=True, capture_output=True, text=True
    )
    git(["git", "init", "-q"])
    git(["git", "add", "-A"])
    added = git(["git", "ls-files"]).stdout.split()
    assert added == [FINGERPRINT_FILE]
    assert "??" not in git(["git", "status", "--porcelain"]).stdout
    assert key not in Path(lake, FINGERPRINT_FILE).read_text()


def test_a_key_of_an_earlier_version_is_hidden_from_git_and_a_gitignore_is_kept(
    settings: Settings,
) -> None:
    file = key_file(Path(settings.lake))
    file.parent.mkdir(parents=True)
    file.write_text(HIDDEN)
    writer_key(settings, Storage.of(settings))
    ignore = file.with_name(".gitignore")
    assert ignore.read_text() == "*\n"
    ignore.write_text("*.key\n")
    writer_key(settings, Storage.of(settings))
    assert ignore.read_text() == "*.key\n"


def test_the_fingerprint_file_is_json_with_fingerprints_only(
    keyed_lake: Settings,
) -> None:
    storage = Storage.of(keyed_lake)
    writer_key(keyed_lake, storage)
    content = storage.read(FINGERPRINT_FILE)
    assert content is not None
    assert json.loads(content) == {
        "present": fingerprint(Secret(HIDDEN)), "previous": [],
    }  # fmt: skip

"""The check of the redaction key: it compares fingerprints and changes nothing."""

from pathlib import Path

from semloop.command.doctor import Finding, State
from semloop.settings import Settings
from semloop.storage.key_rotation import rotate
from semloop.storage.location import Storage
from semloop.storage.redaction_key import FINGERPRINT_FILE, read_binding, writer_key
from tests.doctor.run_checks import findings_of, only_problem, problems
from tests.semloop.keyed_lakes import HIDDEN, OTHER, holding, key_file


def checked(settings: Settings) -> list[Finding]:
    return findings_of(settings, "lake", "redaction key")


def test_a_lake_that_is_not_bound_yet_is_ok_and_stays_unbound(
    settings: Settings,
) -> None:
    Path(settings.lake).mkdir()
    assert problems(checked(settings)) == []
    assert list(Path(settings.lake).iterdir()) == []


def test_a_lake_on_s3_without_a_key_is_a_warning(s3_settings: Settings) -> None:
    finding = only_problem(checked(holding(s3_settings, None)))
    assert finding.state is State.WARN
    assert "needs SEMLOOP_REDACTION_KEY" in finding.found
    assert read_binding(Storage.of(s3_settings)) is None


def test_another_key_fails_the_check_with_what_to_do(settings: Settings) -> None:
    own = holding(settings, HIDDEN)
    writer_key(own, Storage.of(settings))
    before = Path(settings.lake, FINGERPRINT_FILE).read_bytes()
    assert problems(checked(own)) == []
    finding = only_problem(checked(holding(settings, OTHER)))
    assert finding.state is State.FAIL
    assert "is not the one of the lake" in finding.found
    assert "Set SEMLOOP_REDACTION_KEY to the lake's key" in finding.todo
    assert Path(settings.lake, FINGERPRINT_FILE).read_bytes() == before


def test_a_key_file_of_another_lake_fails_the_check(settings: Settings) -> None:
    writer_key(settings, Storage.of(settings))
    key_file(Path(settings.lake)).write_text(OTHER)
    assert only_problem(checked(settings)).state is State.FAIL


def test_a_reader_without_a_key_is_only_warned(settings: Settings) -> None:
    writer_key(holding(settings, HIDDEN), Storage.of(settings))
    finding = only_problem(checked(settings))
    assert (finding.state, "readers do not need" in finding.found) == (State.WARN, True)


def test_the_number_of_earlier_keys_here_is_shown(settings: Settings) -> None:
    storage = Storage.of(settings)
    writer_key(holding(settings, HIDDEN), storage)
    rotate(holding(settings, OTHER, HIDDEN), storage)
    for old, count in (((), 0), ((HIDDEN,), 1)):
        (finding,) = [
            found
            for found in checked(holding(settings, OTHER, *old))
            if found.check == "redaction key"
        ]
        assert finding.found == f"the lake's, earlier keys here: {count} of 1"

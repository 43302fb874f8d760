"""The check of the broker, and its version."""

import struct

import pytest

from semloop.command.doctor import State, versions
from semloop.command.doctor.versions import BrokerVersion, parsed
from semloop.kafka.clients import address
from semloop.settings import Settings
from tests.doctor.run_checks import (
    findings_of,
    only_problem,
    problems,
)
from tests.kafka.secure_broker import Secure, settings_for, user
from tests.support.services import SERVICES, free_port


def test_broker_check_shows_cluster_and_version(settings: Settings) -> None:
    found = findings_of(settings, "broker")
    assert problems(found) == []
    shown = " ".join(f.found for f in found)
    assert f"{address(settings)} answers in " in shown
    assert "1 broker: " in shown
    assert "controller: broker " in shown
    if SERVICES:
        assert "Kafka 4." in found[-1].found
        assert "metadata.version up to" in found[-1].found
    else:
        assert (
            found[-1].found
            == "Kafka version not reported by the broker (it supports 36 APIs)"
        )


def test_broker_check_fails_for_a_closed_port_and_later_checks_are_skipped(
    settings: Settings,
) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}")
    finding = only_problem(findings_of(nowhere, "broker"))
    assert finding.state is State.FAIL
    assert "(nothing is listening)" in finding.found
    assert "`semloop up`" in finding.todo
    for name in ("topic", "resume point", "lag"):
        skipped = only_problem(findings_of(nowhere, "broker", name))
        assert (skipped.state, skipped.found) == (State.SKIP, "No broker is available.")


@pytest.mark.real_broker
@pytest.mark.parametrize(
    ("listener", "made"),
    [
        ("login", {"kafka_ca": "ca.pem"} | user("bob")),
        ("mutual", {"kafka_ca": "ca.pem", "kafka_certificate": "client.crt", "kafka_key": "client.key"}),
    ],
)  # fmt: skip
def test_broker_check_shows_the_version_over_tls(
    secure: Secure, listener: str, made: dict[str, str]
) -> None:
    settings = settings_for(secure, listener, made)
    found = findings_of(settings, "broker")
    assert problems(found) == []
    assert found[-1].found.startswith("Kafka 4.")


@pytest.mark.real_broker
def test_broker_check_reports_a_rejected_login(
    secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.REFUSAL_GRACE_S", 0.1)
    wrong = user("bob") | {"kafka_password": "a wrong one to be kept secret"}
    settings = settings_for(secure, "login", {"kafka_ca": "ca.pem"} | wrong)
    finding = only_problem(findings_of(settings, "broker"))
    assert "rejects the user 'bob': wrong user or password" in finding.found
    assert "kept secret" not in str(finding)


def a_response(level: int, name: bytes = b"metadata.version", error: int = 0) -> bytes:
    """Return an ApiVersions v3 response with one API and one supported feature."""
    feature = b"\x02" + bytes([len(name) + 1]) + name + struct.pack(">hhB", 7, level, 0)
    tags = b"\x01\x00" + bytes([len(feature)]) + feature
    request = struct.pack(">hhhB", 18, 0, 4, 0)
    return (
        struct.pack(">ih", 1, error) + b"\x02" + request + struct.pack(">i", 0) + tags
    )


@pytest.mark.parametrize(
    ("level", "release"),
    [(7, "3.3"), (14, "3.6"), (21, "3.9"), (25, "4.0"), (30, "4.3"), (99, "4.3 or newer"), (3, None)],
)  # fmt: skip
def test_the_metadata_version_identifies_the_release(
    level: int, release: str | None
) -> None:
    version = parsed(a_response(level))
    assert version == BrokerVersion(1, {"metadata.version": level})
    assert version.release == release


def test_an_invalid_api_versions_response_is_rejected() -> None:
    whole = a_response(30)
    assert parsed(a_response(30, error=35)) is None
    assert parsed(a_response(30, b"another.version")) == BrokerVersion(1, {"another.version": 30})  # fmt: skip
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="truncated"):
            parsed(whole[:length])
    assert (
        versions.broker_version("127.0.0.1:1", {"security.protocol": "plaintext"})
        is None
    )

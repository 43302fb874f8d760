"""Flow, `Lake` and commands with a lake on S3, end to end."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from semloop import Lake
from semloop.errors import LakeError
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.s3.end_to_end_check import check_end_to_end
from tests.support import processes
from tests.support.kill_and_audit import kill_and_audit
from tests.support.lakes import settings_on
from tests.support.services import SERVICES, Broker
from tests.support.stores import RealStore


def test_end_to_end_on_s3_below_a_prefix_with_special_characters(
    s3_settings: Settings,
) -> None:
    settings = s3_settings.replace(lake=f"{s3_settings.lake}/ä b/'+=//")
    check_end_to_end(settings, events=25)
    query = "SELECT count(*) AS n FROM events"
    answer = processes.check(settings, "sql", query, "--format", "json")
    assert json.loads(answer) == [{"n": 25}]
    assert ", caught up" in processes.check(settings, "status")


@pytest.mark.real_store
def test_end_to_end_on_a_gateway_over_a_folder(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SERVICES
    gateway = RealStore(tmp_path, SERVICES, "versitygw")
    try:
        settings = settings_on(gateway.endpoint, broker, monkeypatch)
        check_end_to_end(settings)
        monkeypatch.setenv("AWS_REGION", "eu-north-1")
        with pytest.raises(LakeError, match="AuthorizationHeaderMalformed") as error:
            Lake(settings=settings)
        assert error.value.todo == "Set AWS_REGION to the region of the bucket."
    finally:
        gateway.kill()


def test_kills_on_s3_lose_and_duplicate_no_record(s3_settings: Settings) -> None:
    TopicAdmin(s3_settings).ensure()
    audit = kill_and_audit(s3_settings, events=8_000, kills=3, seed=3, longest_s=2.2)
    assert audit.clean, audit
    assert audit.exits == {-signal.SIGKILL: 3}


@pytest.fixture
def tls_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RealStore, Path]]:
    """A server with a certificate of a private CA, and the PEM file of that CA."""
    assert SERVICES
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key, ca = (tmp_path / f"{name}.pem" for name in ("cert", "key", "ca"))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    # monkeypatch removes the variable, which semloop sets in this process, after the test.
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    monkeypatch.delenv("SSL_CERT_FILE")
    store = RealStore(tmp_path, SERVICES, tls=(certificate, key))
    yield store, ca
    store.kill()


@pytest.mark.real_store
def test_every_reader_and_writer_accepts_a_private_ca(
    tls_store: tuple[RealStore, Path],
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, ca = tls_store
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca))
    settings = settings_on(store.endpoint, broker, monkeypatch)
    check_end_to_end(settings)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.delenv("SSL_CERT_FILE")
    expected = [
        f"Cannot read _layout.json in {settings.lake}: "
        f"the certificate of {store.endpoint} is signed by an unknown CA.",
        "Set AWS_CA_BUNDLE to a PEM file with that CA.",
    ]
    for command in (["sql", "FROM events"], ["run", "archive", "--until-caught-up"]):
        result = processes.run(settings, *command)
        assert result.returncode == 1
        assert result.stderr.splitlines()[-2:] == expected

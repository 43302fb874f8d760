"""A real broker with a listener for each common security configuration."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from semloop.settings import Settings, load
from tests.support.services import IDLE, SERVICES, RealBroker, free_port, wait_for

# A `SecureBroker`, or its attributes as written by another test worker.
Secure = Any
# Settings by name.
SettingValues = dict[str, str]
HOST = "127.0.0.1"
PASSWORD = "tr0ub4dor&3 horse"
KEY_PASSWORD = "correct battery staple"
PROTOCOLS = {
    "mutual": "SSL",
    "tls": "SSL",
    "elsewhere": "SSL",
    "expired": "SSL",
    "login": "SASL_SSL",
    "scram256": "SASL_SSL",
    "open_login": "SASL_PLAINTEXT",
}
JAAS = "org.apache.kafka.common.security"
SCRAM = f"sasl.jaas.config={JAAS}.scram.ScramLoginModule required;"
# Ann logs in with PLAIN and has no permissions; Bob with SCRAM and has all.
PLAIN = (
    f'sasl.jaas.config={JAAS}.plain.PlainLoginModule required user_ann="{PASSWORD}";'
)
PROPERTIES = f"""
ssl.keystore.type=PEM
ssl.truststore.type=PEM
listener.name.mutual.ssl.client.auth=required
listener.name.elsewhere.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.type=PEM
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.login.plain.{PLAIN}
listener.name.login.scram-sha-512.{SCRAM}
listener.name.login.scram-sha-512.connections.max.reauth.ms=1500
listener.name.scram256.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.scram256.scram-sha-256.{SCRAM}
listener.name.open_login.sasl.enabled.mechanisms=PLAIN
listener.name.open_login.plain.{PLAIN}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS;User:bob;User:eve;User:agents
ssl.principal.mapping.rules=RULE:^CN=([^,]*).*$/$1/
"""


class SecureBroker:
    """The broker, its certificates and those of its clients."""

    kind = "kafka"

    def __init__(self, folder: Path) -> None:
        assert SERVICES
        self.folder = str(folder)
        _issue(folder)
        first = free_port(len(PROTOCOLS))
        ports = {name: first + i for i, name in enumerate(PROTOCOLS)}
        broker = RealBroker(
            folder, SERVICES, IDLE + _listeners(ports) + _stores(folder)
        )
        self.pid = broker.pid
        self.plaintext = broker.address
        for name, port in ports.items():
            setattr(self, name, f"{HOST}:{port}")
        for user in ("bob", "eve"):
            set_password(self.plaintext, user, PASSWORD)


def user(name: str, password: str = PASSWORD, mechanism: str = "") -> SettingValues:
    """Return the settings of a user."""
    values = {"kafka_user": name, "kafka_password": password}
    return values | ({"kafka_sasl_mechanism": mechanism} if mechanism else {})


def settings_for(secure: Secure, listener: str, values: SettingValues) -> Settings:
    """Return settings for a listener, with files from the broker's folder."""
    paths = ("kafka_ca", "kafka_certificate", "kafka_key")
    found: dict[str, Any] = {
        k: f"{secure.folder}/{v}" if k in paths else v for k, v in values.items()
    }
    found = {"topic": "none-yet", "kafka": getattr(secure, listener), **found}
    return load({}, **found)


def set_password(address: str, user: str, password: str) -> None:
    """Create a SCRAM user, or change its password."""
    admin = AdminClient({"bootstrap.servers": address})
    changes = [
        UserScramCredentialUpsertion(
            user, ScramCredentialInfo(kind, 4096), password.encode()
        )
        for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    # A call accepts one change per user.
    for change in changes:
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result(60)
    wait_for("the user", lambda: _is_known(admin, user))


def _is_known(admin: AdminClient, user: str) -> bool:
    """Return True if the broker has received the user from its controller."""
    try:
        found: Any = admin.describe_user_scram_credentials([user])
        found[user].result(60)
    except KafkaException:
        return False
    return True


def grant(address: str, user: str, kind: str, name: str, operation: str) -> None:
    """Grant a user a permission on a topic or group."""
    binding = AclBinding(
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )
    admin = AdminClient({"bootstrap.servers": address})
    for done in admin.create_acls([binding]).values():
        done.result(60)


def _listeners(ports: dict[str, int]) -> str:
    ours = ",".join(f"{n.upper()}://{HOST}:{port}" for n, port in ports.items())
    kinds = ",".join(f"{n.upper()}:{kind}" for n, kind in PROTOCOLS.items())
    plaintext = f"PLAINTEXT://{HOST}:{{port}}"
    return f"""
listeners={plaintext},CONTROLLER://{HOST}:{{controller}},{ours}
advertised.listeners={plaintext},{ours}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{kinds}
"""


def _stores(folder: Path) -> str:
    return f"""{PROPERTIES}
ssl.keystore.location={folder}/broker.pem
ssl.truststore.location={folder}/ca.pem
listener.name.elsewhere.ssl.keystore.location={folder}/elsewhere.pem
listener.name.expired.ssl.keystore.location={folder}/expired.pem
"""


def _issue(folder: Path) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    foreign.cert_pem.write_to_path(folder / "foreign-ca.pem")
    expired = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    brokers = {
        "broker": ours.issue_cert(HOST),
        "elsewhere": ours.issue_cert("elsewhere.example"),
        "expired": ours.issue_cert(HOST, not_after=expired),
    }
    for name, issued in brokers.items():
        (folder / f"{name}.pem").write_bytes(_key(issued) + _chain(issued))
    for name, ca in (("client", ours), ("foreign", foreign)):
        issued = ca.issue_cert("client.example", common_name="agents")
        (folder / f"{name}.crt").write_bytes(_chain(issued))
        (folder / f"{name}.key").write_bytes(_key(issued))
        locked = BestAvailableEncryption(KEY_PASSWORD.encode())
        (folder / f"{name}.locked.key").write_bytes(_key(issued, locked))


def _chain(issued: trustme.LeafCert) -> bytes:
    pems: Sequence[trustme.Blob] = issued.cert_chain_pems
    return b"".join(pem.bytes() for pem in pems)


def _key(
    issued: trustme.LeafCert, encryption: KeySerializationEncryption | None = None
) -> bytes:
    """Return the private key in PKCS#8, the format that the broker reads."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    )

"""Settings of what is archived: broker, topic, redaction, commits; agents and logs.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated, Literal

import msgspec

from semloop.settings.fields import Count, Positive, Seconds, Section, Share
from semloop.settings.secret import Secret

SecurityProtocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSecurity(
    Section,
    frozen=True,
    rename={
        "protocol": "kafka_security",
        "ca": "kafka_ca",
        "certificate": "kafka_certificate",
        "key": "kafka_key",
        "key_password": "kafka_key_password",
        "user": "kafka_user",
        "password": "kafka_password",
        "sasl_mechanism": "kafka_sasl_mechanism",
    },
):
    """How brokers are spoken to, and who we are to them."""

    protocol: SecurityProtocol | None = None
    """How brokers are spoken to; unset: `sasl_ssl` with a user, `ssl` with a CA or a
    certificate, else `plaintext`. Over TLS the broker's name is always verified."""

    ca: str | None = None
    """PEM file of the CAs that may sign brokers' certificates; unset: the system's."""

    certificate: str | None = None
    """PEM file of our certificate, for brokers that ask clients for one."""

    key: str | None = None
    """PEM file of the private key that belongs to `kafka_certificate`."""

    key_password: Secret | None = None
    """Decrypts `kafka_key`, if that is encrypted."""

    user: str | None = None
    """User name for brokers that ask for one (SASL)."""

    password: Secret | None = None
    """Password of `kafka_user`."""

    sasl_mechanism: SaslMechanism | None = None
    """How the password is proven; unset: `SCRAM-SHA-512`, which never sends it."""


class ArchiveSettings(Section, frozen=True):
    """The topic, and how `archive` reads it and drops repeated events."""

    partitions: Positive = 4
    """Partitions of the topic when it has to be made."""

    poll_records: Positive = 2_000
    """Records a poll: so many stay in the processor's cache while they are decoded."""

    fetch_memory_mb: Positive = 64
    """Memory for records that were fetched but not polled, a worker."""

    event_bytes_max: Positive = 2**20
    """A larger record is a dead letter that holds its hash and size only."""

    dedupe_ids: Count = 250_000
    """Newest event ids of a partition among which a repeated one is dropped."""

    dedupe_hours: Seconds = 24.0
    """Age, by Kafka's timestamp, at which an event id is forgotten."""

    start_timeout_s: Seconds = 30.0
    """A flow that hears nothing from the broker so long after its start gives up."""


class RedactionSettings(
    Section,
    frozen=True,
    rename={
        "key": "redaction_key",
        "keys": "redact_keys",
        "patterns": "redact_patterns",
    },
):
    """What is redacted before anything is stored."""

    key: Secret | None = None
    """Keys the pseudonyms; a local lake makes its own once, a lake on S3 needs it."""

    keys: tuple[str, ...] = ()
    """Further key names whose values are redacted, such as `passport_number`."""

    patterns: Annotated[
        dict[str, str], msgspec.Meta(examples=['{"name": "pattern", ...}'])
    ] = msgspec.field(default_factory=dict)
    """Further patterns, `name = "regular expression"`; RE2 syntax, so always linear."""


class CommitSettings(
    Section,
    frozen=True,
    rename={
        "rows": "commit_rows",
        "interval_s": "commit_interval_s",
        "bytes": "commit_bytes",
    },
):
    """When flows commit, and how long they try."""

    rows: Positive = 100_000
    """A commit is made at the latest with so many rows waiting."""

    interval_s: Seconds = 1.0
    """A commit is made at the latest so long after its first row arrived."""

    bytes: Positive = 128 * 2**20
    """A commit is made at the latest with so much memory held by rows."""

    idle_commit_s: Seconds = 300.0
    """An idle flow commits so often, to say that it is still caught up."""

    reopen_commits: Positive = 100
    """A table is opened anew after so many commits: old handles become slow."""

    reopen_s: Seconds = 1_800.0
    """A table is opened anew after so long: its log may have been cleaned meanwhile."""

    fence_check_s: Seconds = 5.0
    """An idle flow looks so often for a newer copy of itself and a changed topic."""

    storage_retry_s: Seconds = 60.0
    """A commit that storage refuses is tried again for so long; then the flow stops."""


class AgentSettings(
    Section,
    frozen=True,
    rename={"queue_mb": "agent_queue_mb", "flush_s": "agent_flush_s"},
):
    """How an agent sends events."""

    spool: str = "~/.local/state/semloop/spool"
    """Folder where an agent keeps events while the broker does not answer."""

    spool_mb: Positive = 256
    """Events beyond so much in the spool are dropped, counted and logged once."""

    queue_mb: Positive = 32
    """Memory of an agent's process for events that are not sent yet."""

    flush_s: Seconds = 5.0
    """At its end a process waits so long for the broker; the rest goes to the spool."""

    sample: Annotated[
        dict[str, Share],
        msgspec.Meta(examples=['{"agent": 0.1, "*/state_change": 0.5}']),
    ] = msgspec.field(default_factory=dict)
    """Share of sessions sent, by `agent`, `agent/type`, `*/type` or `*`; of the others
    only errors, completions and feedback."""


class MetricsSettings(
    Section, frozen=True, rename={"port": "metrics_port", "host": "metrics_host"}
):
    """Where flows serve their metrics."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port for Prometheus, of N processes or flows the first of N; 0 = no server."""

    host: str = "127.0.0.1"
    """Address that the metrics server listens on; `0.0.0.0` inside a pod."""


class LogSettings(
    Section, frozen=True, rename={"level": "log_level", "format": "log_format"}
):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""

    format: Literal["auto", "console", "json"] = "auto"
    """Form of the logs; `auto`: console on a terminal, JSON otherwise."""

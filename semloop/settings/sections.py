"""Settings of the broker, topic, redaction and commits; of agents, metrics and logs.

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
    """Protocol and credentials for connections to brokers."""

    protocol: SecurityProtocol | None = None
    """Protocol to connect to brokers; unset: `sasl_ssl` with a user, `ssl` with a CA or
    a certificate, else `plaintext`. TLS always verifies the broker's host name."""

    ca: str | None = None
    """PEM file of the CAs trusted to sign broker certificates; unset: the system's."""

    certificate: str | None = None
    """PEM file of the client certificate, for brokers that require one."""

    key: str | None = None
    """PEM file of the private key of `kafka_certificate`."""

    key_password: Secret | None = None
    """Password of `kafka_key`, if the key is encrypted."""

    user: str | None = None
    """User name for brokers that require SASL."""

    password: Secret | None = None
    """Password of `kafka_user`."""

    sasl_mechanism: SaslMechanism | None = None
    """SASL mechanism; unset: `SCRAM-SHA-512`, which never sends the password."""


class ArchiveSettings(Section, frozen=True):
    """The topic, and how `archive` reads it and drops duplicate events."""

    partitions: Positive = 4
    """Number of partitions of the topic if SemLoop creates it."""

    poll_records: Positive = 2_000
    """Records per poll; few enough to stay in the CPU cache while they are decoded."""

    fetch_memory_mb: Positive = 64
    """Memory per worker for records that were fetched but not polled, in MiB."""

    event_bytes_max: Positive = 2**20
    """Maximum size of `payload` and `extra` in a row: the largest values of a larger
    record are stored as artifacts."""

    record_bytes_max: Positive = 4 * 2**20
    """Maximum size of a record; a larger one becomes a dead letter without content,
    only its hash and size."""

    dedupe: Literal["partition", "lake"] = "partition"
    """Where an event id is looked up: among the newest ids of its partition, or in the
    whole table `events` at every commit, for producers that do not set a key."""

    dedupe_ids: Count = 250_000
    """Event ids per partition in the dedupe window; the newest ones are kept."""

    dedupe_hours: Seconds = 24.0
    """Maximum age of an event id in the dedupe window, by its time of arrival."""

    dead_letter_attempts_max: Positive = 3
    """Failed replays of a dead letter after which it is parked."""

    dead_letters_max_ratio: Share = 1.0
    """Share of the recent records that may become dead letters; beyond it `archive`
    stops with exit code 3 and stores nothing of them; 1 = never."""

    dead_letters_window_s: Seconds = 300.0
    """Time that `dead_letters_max_ratio` is about: a record counts as exp(-age / time),
    where age is the time that `archive` has run since."""

    dead_letters_records_min: Positive = 100
    """Recent records below which no share of dead letters stops `archive`."""

    start_timeout_s: Seconds = 30.0
    """Seconds a starting flow waits for the broker's first answer before it fails."""


class RedactionSettings(
    Section,
    frozen=True,
    rename={
        "key": "redaction_key",
        "keys_old": "redaction_keys_old",
        "keys": "redact_keys",
        "patterns": "redact_patterns",
        "level": "redact",
        "allow": "redact_allow",
        "countries": "redact_countries",
        "private_ips": "redact_private_ips",
    },
):
    """What to redact before storing anything."""

    level: Literal["keys", "standard", "strict"] = "standard"
    """How much is redacted: `keys` only credentials, `standard` also what identifies
    people, `strict` also their names and addresses under names that say so, and random
    strings without a name."""

    allow: tuple[str, ...] = ()
    """Texts that stay, as shell patterns, for example `*@example.com`."""

    countries: tuple[str, ...] = ()
    """Countries, for example `DE`; phone numbers in their national forms are redacted
    without a word such as `phone` before them."""

    private_ips: bool = True
    """Whether addresses of private networks and of documentation are redacted too."""

    key: Secret | None = None
    """Key for pseudonyms; a local lake generates its own, a lake on S3 requires one."""

    keys_old: tuple[Secret, ...] = ()
    """Earlier keys for pseudonyms, to look up rows from before a rotation."""

    keys: tuple[str, ...] = ()
    """Additional key names whose values are redacted, for example `passport_number`."""

    patterns: Annotated[
        dict[str, str], msgspec.Meta(examples=['{"name": "pattern", ...}'])
    ] = msgspec.field(default_factory=dict)
    """Additional patterns, `name = "regular expression"`, in RE2 syntax, which matches
    in linear time."""


class CommitSettings(
    Section,
    frozen=True,
    rename={
        "rows": "commit_rows",
        "interval_s": "commit_interval_s",
        "bytes": "commit_bytes",
    },
):
    """When flows commit, and how long they retry."""

    rows: Positive = 100_000
    """Number of pending rows that triggers a commit."""

    interval_s: Seconds = 1.0
    """Seconds after the first pending row that trigger a commit."""

    bytes: Positive = 128 * 2**20
    """Bytes of memory used by pending rows that trigger a commit."""

    idle_commit_s: Seconds = 300.0
    """Seconds between the commits of an idle flow, which show that it is caught up."""

    reopen_commits: Positive = 100
    """Number of commits after which a table is reopened: old handles become slow."""

    reopen_s: Seconds = 1_800.0
    """Seconds after which a table is reopened: its log may have been cleaned up."""

    fence_check_s: Seconds = 5.0
    """Seconds between an idle flow's checks for a newer copy and a changed topic."""

    storage_retry_s: Seconds = 60.0
    """Seconds to retry a commit that storage refuses; then the flow stops."""


class BrokerSettings(Section, frozen=True, rename={"mb_max": "broker_mb"}):
    """The embedded broker of `semloop up`."""

    mb_max: Positive = 1024
    """Disk space of the embedded broker for records that are not in the lake yet, in
    MiB; what does not fit is refused, and waits in the spools of the agents."""


class AgentSettings(
    Section,
    frozen=True,
    rename={
        "queue_mb": "agent_queue_mb",
        "flush_s": "agent_flush_s",
        "long_call_s": "agent_long_call_s",
    },
):
    """How an agent sends events."""

    spool: str = "~/.local/state/semloop/spool"
    """Folder where an agent stores each event until the broker has it; `off`: memory
    only, and a process that ends loses what it has not sent."""

    spool_mb: Positive = 256
    """Maximum size of the spool's folder in MiB, for all processes together; what does
    not fit is kept in memory, and then dropped, counted and logged once."""

    queue_mb: Positive = 16
    """Memory of an agent's process for events that the spool cannot store, in MiB."""

    flush_s: Seconds = 5.0
    """Seconds that an exiting process, and the end of a block `with Agent(...)`, wait
    for the broker; what is not sent by then is in the spool."""

    long_call_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """Seconds after which a tool call that still runs is reported by an event
    `tool_start`; 0 = never."""

    sample: Annotated[
        dict[str, Share],
        msgspec.Meta(examples=['{"agent": 0.1, "*/state_change": 0.5}']),
    ] = msgspec.field(default_factory=dict)
    """Share of sessions to send, by `agent`, `agent/type`, `*/type` or `*`; the others
    send only errors, failed tool calls, completions and feedback."""


class MetricsSettings(
    Section, frozen=True, rename={"port": "metrics_port", "host": "metrics_host"}
):
    """Where flows serve their metrics."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port for Prometheus; N processes or flows use N ports from this one; 0 = no
    server."""

    host: str = "127.0.0.1"
    """Address that the metrics server listens on; `0.0.0.0` inside a pod."""


class LogSettings(
    Section, frozen=True, rename={"level": "log_level", "format": "log_format"}
):
    """What to log, and in which format."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level to log."""

    format: Literal["auto", "console", "json"] = "auto"
    """Format of the logs; `auto`: console on a terminal, JSON otherwise."""


class ImportSettings(
    Section, frozen=True, rename={"guess_errors": "import_guess_errors"}
):
    """How transcripts are read, and rows that `semloop.dual_write` writes."""

    guess_errors: bool = True
    """Whether `semloop import` takes a tool result that begins with `Error:` for a
    failure if nothing else in it says whether the call failed."""

    dual_write_reads: Literal["file", "lake"] = "file"
    """Where `rows()` of `semloop.dual_write` reads from: the file, until the lake has
    the same rows."""

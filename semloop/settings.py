"""Every setting, with its default and a sentence; the only reader of the environment.

A setting `x` is read from the variable `SEMLOOP_X`, else from `x = ...` in
`semloop.toml` of the current folder, else it has its default.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from semloop.errors import ConfigError

CONFIG_FILE = "semloop.toml"
PREFIX = "SEMLOOP_"

# Settings that are JSON objects in the environment.
EXAMPLES = {
    "redact_patterns": '{"name": "pattern", ...}',
    "sample": '{"agent": 0.1, "*/state_change": 0.5}',
    "memory_sample": '{"agent": 0.1, "*/tool_call": 0.5}',
    "reward_base": '{"success": 1, "partial": 0.5, "unknown": 0.25, "failure": 0}',
    "reward_task_types": '{"task type": 0.2, ...}',
    "reward_tags": '{"tag": 0.1, ...}',
}

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
SecurityProtocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Secret:
    """A value that never shows itself: not in logs, `repr`, errors or `status`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class RewardBase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each outcome is worth before anything else is known of an episode."""

    success: Share = 1.0
    partial: Share = 0.5
    unknown: Share = 0.25
    failure: Share = 0.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of SemLoop."""

    lake: str = ".semloop"
    """Where the tables are: a folder, or `s3://bucket/prefix`."""

    kafka: str | None = None
    """Brokers, `host:port[,host:port]`; unset: that of the running `semloop up`."""

    kafka_security: SecurityProtocol | None = None
    """How brokers are spoken to; unset: `sasl_ssl` with a user, `ssl` with a CA or a
    certificate, else `plaintext`. Over TLS the broker's name is always verified."""

    kafka_ca: str | None = None
    """PEM file of the CAs that may sign brokers' certificates; unset: the system's."""

    kafka_certificate: str | None = None
    """PEM file of our certificate, for brokers that ask clients for one."""

    kafka_key: str | None = None
    """PEM file of the private key that belongs to `kafka_certificate`."""

    kafka_key_password: Secret | None = None
    """Decrypts `kafka_key`, if that is encrypted."""

    kafka_user: str | None = None
    """User name for brokers that ask for one (SASL)."""

    kafka_password: Secret | None = None
    """Password of `kafka_user`."""

    kafka_sasl_mechanism: SaslMechanism | None = None
    """How the password is proven; unset: `SCRAM-SHA-512`, which never sends it."""

    topic: str = "agent-events"
    """The topic that agents produce to and `archive` reads."""

    partitions: Positive = 4
    """Partitions of the topic when it has to be made."""

    redaction_key: Secret | None = None
    """Keys the pseudonyms; a local lake makes its own once, a lake on S3 needs it."""

    redact_keys: tuple[str, ...] = ()
    """Further key names whose values are redacted, such as `passport_number`."""

    redact_patterns: dict[str, str] = {}
    """Further patterns, `name = "regular expression"`; RE2 syntax, so always linear."""

    commit_rows: Positive = 100_000
    """A commit is made at the latest with so many rows waiting."""

    commit_interval_s: Seconds = 1.0
    """A commit is made at the latest so long after its first row arrived."""

    commit_bytes: Positive = 128 * 2**20
    """A commit is made at the latest with so much memory held by rows."""

    idle_commit_s: Seconds = 300.0
    """An idle flow commits so often, to say that it is still caught up."""

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

    session_gap_s: Seconds = 1_800.0
    """A longer pause between the events of a session ends its episode, and so does so
    long without any."""

    episode_age_s: Seconds = 86_400.0
    """An episode spans at most so long, by the time of its events."""

    episode_events: Positive = 10_000
    """An episode has at most so many events; the next one opens another."""

    episode_bytes: Positive = 16 * 2**20
    """Payloads and texts of an episode are at most so many bytes together, unless its
    first event alone is larger."""

    open_episodes: Positive = 10_000
    """Of more open episodes in a partition the one longest untouched is closed."""

    reward_base: RewardBase = RewardBase()
    """What an outcome is worth, 0 to 1; `unknown`: the episode had no completion."""

    reward_duration_s: Positive = 600
    """Duration that counts as usual: with `reward_steps` it halves the reward."""

    reward_steps: Positive = 20
    """Steps that count as usual: with `reward_duration_s` they halve the reward."""

    reward_quality_min: Share = 0.5
    """What an episode keeps of its reward when all of its steps failed."""

    reward_task_types: dict[str, Share] = {}
    """Bonus for the complexity of a task, by `task_type`."""

    reward_tags: dict[str, Share] = {}
    """Bonus for the complexity of a task, by tag; all together count at most as 1."""

    memory_kinds: tuple[Literal["message", "tool_call", "error", "episode"], ...] = (
        "message",
        "tool_call",
        "error",
        "episode",
    )
    """What is remembered: which types of events, and whether closed episodes."""

    memory_importance_min: Share = 0.0
    """Events of less importance are not remembered; those that say none are."""

    memory_sample: dict[str, Share] = {}
    """Share of sessions whose events are remembered, by `agent`, `agent/type`, `*/type`
    or `*`; closed episodes are, whatever it says."""

    memory_poll_events: Positive = 1_000
    """Events at a time: so many are embedded before they can be committed."""

    index_every_s: Seconds = 300.0
    """Between two runs of `maintain index` by `semloop up`."""

    reopen_commits: Positive = 100
    """A table is opened anew after so many commits: old handles become slow."""

    reopen_s: Seconds = 1_800.0
    """A table is opened anew after so long: its log may have been cleaned meanwhile."""

    fence_check_s: Seconds = 5.0
    """An idle flow looks so often for a newer copy of itself and a changed topic."""

    start_timeout_s: Seconds = 30.0
    """A flow that hears nothing from the broker so long after its start gives up."""

    storage_retry_s: Seconds = 60.0
    """A commit that storage refuses is tried again for so long; then the flow stops."""

    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port for Prometheus, of N processes or flows the first of N; 0 = no server."""

    metrics_host: str = "127.0.0.1"
    """Address that the metrics server listens on; `0.0.0.0` inside a pod."""

    spool: str = "~/.local/state/semloop/spool"
    """Folder where an agent keeps events while the broker does not answer."""

    spool_mb: Positive = 256
    """Events beyond so much in the spool are dropped, counted and logged once."""

    agent_queue_mb: Positive = 32
    """Memory of an agent's process for events that are not sent yet."""

    agent_flush_s: Seconds = 5.0
    """At its end a process waits so long for the broker; the rest goes to the spool."""

    sample: dict[str, Share] = {}
    """Share of sessions sent, by `agent`, `agent/type`, `*/type` or `*`; of the others
    only errors, completions and feedback."""

    embedder: Literal["minilm", "hashing", "endpoint", "sentence-transformers"] = (
        "minilm"
    )
    """What makes vectors of texts; `hashing` is for tests and knows no meaning."""

    embedder_model: str | None = None
    """Of `endpoint` the model's name, of `sentence-transformers` its name or path."""

    embedder_url: str | None = None
    """Of `endpoint`, OpenAI's form or Ollama's: such as `http://localhost:11434/v1`."""

    embedder_key: Secret | None = None
    """The endpoint's API key, if it asks for one."""

    embedder_timeout_s: Seconds = 30.0
    """The endpoint's answer is waited for so long; then it is asked again."""

    embedder_retry_s: Seconds = 300.0
    """An endpoint that does not answer is asked again for so long; then the flow
    stops, and whoever restarts it goes on asking."""

    embed_batch_tokens: Positive = 8_192
    """Tokens that an embedder gets at a time, padding counted."""

    embed_cache_texts: Count = 20_000
    """Texts whose vectors are remembered, the latest used: 1.5 kB each with minilm."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""

    log_format: Literal["auto", "console", "json"] = "auto"
    """Form of the logs; `auto`: console on a terminal, JSON otherwise."""

    debug: bool = False
    """Show tracebacks; they may quote events, so never in production."""

    @property
    def on_s3(self) -> bool:
        """Whether the lake is in an object store."""
        return self.lake.startswith("s3://")


def load(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    **overrides: object,
) -> Settings:
    """Read the settings.

    Args:
        environ: variables, `os.environ` if not given.
        folder: where `semloop.toml` is looked for, the current one if not given.
        overrides: settings that win over both, such as `lake=...`.

    Raises:
        ConfigError: an unknown name in the file or a value of the wrong form.
    """
    environ = os.environ if environ is None else environ
    _refuse_typos(environ)
    values = _from_file((folder or Path.cwd()) / CONFIG_FILE)
    for name in Settings.__struct_fields__:
        text = environ.get(PREFIX + name.upper())
        if text:
            values[name] = _from_text(name, text)
    values.update({k: v for k, v in overrides.items() if v is not None})
    _spell_as_kafka_does(values)
    try:
        # strict=False reads numbers from the text of the environment.
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).partition(" - at `$.")
        name = re.split(r"[.\[]", path.rstrip("`"))[0]
        # The value is not shown: it may be a secret put under the wrong name.
        what = what.partition(" '")[0]
        msg = f"Setting {name or '?'!r}: {what.lower()}."
        todo = f"Correct {PREFIX}{name.upper()} or `{name}` in {CONFIG_FILE}."
        raise ConfigError(msg, todo) from None
    if settings.on_s3:
        return settings
    if "://" in settings.lake:
        scheme = settings.lake.partition("://")[0]
        msg = f"Setting 'lake': {scheme}:// is neither a folder nor s3://."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to a folder or s3://bucket/prefix.")
    return msgspec.structs.replace(settings, lake=str(Path(settings.lake).absolute()))


def origin(
    name: str, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Where `load` takes a setting from: its variable, the file, or "default".

    Raises:
        ConfigError: as `load`.
    """
    variable = PREFIX + name.upper()
    if (os.environ if environ is None else environ).get(variable):
        return variable
    if name in _from_file((folder or Path.cwd()) / CONFIG_FILE):
        return CONFIG_FILE
    return "default"


def aws_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The usual `AWS_*` variables, which every program with S3 reads alike."""
    environ = os.environ if environ is None else environ
    return {k: v for k, v in environ.items() if k.startswith("AWS_")}


def _refuse_typos(environ: Mapping[str, str]) -> None:
    """A variable that is nearly a setting would leave its setting unset unnoticed."""
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
    for name in environ:
        if not name.startswith(PREFIX) or name in known:
            continue
        if near := difflib.get_close_matches(name, known, 1, cutoff=0.9):
            msg = f"There is no setting {name}."
            raise ConfigError(msg, f"Did you mean {near[0]}?")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        msg = f"{path} cannot be read: {exc}."
        raise ConfigError(msg, "It must be a TOML file of `setting = value`.") from None
    for name in values:
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, 1)
            msg = f"{path}: there is no setting {name!r}."
            todo = f"Did you mean {near[0]!r}?" if near else "Remove it."
            raise ConfigError(msg, todo)
    return values


def _from_text(name: str, text: str) -> object:
    if name in {"redact_keys", "memory_kinds"}:
        return [part.strip() for part in text.split(",") if part.strip()]
    if name in EXAMPLES:
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            msg = f"{PREFIX}{name.upper()} is not a JSON object."
            raise ConfigError(msg, f"Write {EXAMPLES[name]}.") from None
    return text


def _spell_as_kafka_does(values: dict[str, Any]) -> None:
    """Kafka's own tools write these names in capitals, other programs do not."""
    for name, spell in (
        ("kafka_security", str.lower),
        ("kafka_sasl_mechanism", str.upper),
    ):
        if isinstance(values.get(name), str):
            values[name] = spell(values[name])


def _decode(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, (str, Secret)):
        return value if isinstance(value, Secret) else Secret(value)
    msg = "expected text"
    raise TypeError(msg)  # msgspec adds where it stood

"""All settings of SemLoop, in sections."""

import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

import msgspec

from semloop.settings.cost_section import CostSettings
from semloop.settings.fields import Section
from semloop.settings.maintenance_section import MaintenanceSettings
from semloop.settings.memory_sections import (
    EmbeddingSettings,
    EpisodeSettings,
    MemorySettings,
    RecallSettings,
    RewardSettings,
)
from semloop.settings.publish_section import PublishSettings
from semloop.settings.sections import (
    AgentSettings,
    ArchiveSettings,
    BrokerSettings,
    CommitSettings,
    ImportSettings,
    KafkaSecurity,
    LogSettings,
    MetricsSettings,
    RedactionSettings,
)

DEFAULT_LAKE = ".semloop"
# Folder in a local lake that is not a table: pid files, logs and the redaction key.
LOCAL_FOLDER = "_local"

DEFAULT_TOPIC = "agent-events"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings; each part of the program receives the sections that it uses."""

    lake: str = DEFAULT_LAKE
    """Location of the tables: a folder, or `s3://bucket/prefix`."""

    lake_mode: Literal["private", "umask"] = "private"
    """Modes of new files of a local lake; `private`: only their owner may read them,
    `umask`: those of the process's umask."""

    kafka: str | None = None
    """Brokers, `host:port[,host:port]`; unset: that of the running `semloop up`."""

    topic: str = DEFAULT_TOPIC
    """The topic that agents produce to and `archive` reads."""

    debug: bool = False
    """Show tracebacks; not for production, since they may quote events."""

    security: KafkaSecurity = KafkaSecurity()
    broker: BrokerSettings = BrokerSettings()
    archive: ArchiveSettings = ArchiveSettings()
    redaction: RedactionSettings = RedactionSettings()
    commits: CommitSettings = CommitSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    episodes: EpisodeSettings = EpisodeSettings()
    rewards: RewardSettings = RewardSettings()
    memory: MemorySettings = MemorySettings()
    recall: RecallSettings = RecallSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    costs: CostSettings = CostSettings()
    agent: AgentSettings = AgentSettings()
    metrics: MetricsSettings = MetricsSettings()
    publish: PublishSettings = PublishSettings()
    logs: LogSettings = LogSettings()
    imports: ImportSettings = ImportSettings()

    @property
    def on_s3(self) -> bool:
        """True if the lake is in an object store."""
        return self.lake.startswith("s3://")

    def value(self, name: str) -> Any:
        """Return a setting by its name, from any section.

        Raises:
            KeyError: the setting does not exist.
        """
        setting = setting_fields()[name]
        section = getattr(self, setting.section) if setting.section else self
        return getattr(section, setting.field)

    def replace(self, **values: object) -> Self:
        """Return a copy with other values for some settings, by name.

        Raises:
            KeyError: a setting does not exist.
        """
        changes: dict[str, Any] = {}
        by_section: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            setting = setting_fields()[name]
            by_section.setdefault(setting.section, {})[setting.field] = value
        changes |= by_section.pop("", {})
        for section, changed in by_section.items():
            changes[section] = msgspec.structs.replace(
                getattr(self, section), **changed
            )
        return msgspec.structs.replace(self, **changes)


class SettingField(NamedTuple):
    """Position of a setting in `Settings`: section (or empty), field name and type."""

    section: str
    field: str
    type: Any


@functools.cache
def setting_fields() -> Mapping[str, SettingField]:
    """Return all settings by name."""
    found: dict[str, SettingField] = {}
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            for own in msgspec.structs.fields(field.type):
                found[own.encode_name] = SettingField(field.name, own.name, own.type)
        else:
            found[field.name] = SettingField("", field.name, field.type)
    return found

"""All settings of SemLoop, in sections."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import msgspec

from semloop.settings.fields import Section
from semloop.settings.memory_sections import (
    EmbeddingSettings,
    EpisodeSettings,
    MemorySettings,
    RewardSettings,
)
from semloop.settings.sections import (
    AgentSettings,
    ArchiveSettings,
    CommitSettings,
    KafkaSecurity,
    LogSettings,
    MetricsSettings,
    RedactionSettings,
)

# In a local lake, not a table: pid files, logs and the redaction key.
LOCAL_FOLDER = "_local"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings; a part of the program takes the sections that it uses."""

    lake: str = ".semloop"
    """Where the tables are: a folder, or `s3://bucket/prefix`."""

    kafka: str | None = None
    """Brokers, `host:port[,host:port]`; unset: that of the running `semloop up`."""

    topic: str = "agent-events"
    """The topic that agents produce to and `archive` reads."""

    debug: bool = False
    """Show tracebacks; they may quote events, so never in production."""

    security: KafkaSecurity = KafkaSecurity()
    archive: ArchiveSettings = ArchiveSettings()
    redaction: RedactionSettings = RedactionSettings()
    commits: CommitSettings = CommitSettings()
    episodes: EpisodeSettings = EpisodeSettings()
    rewards: RewardSettings = RewardSettings()
    memory: MemorySettings = MemorySettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    agent: AgentSettings = AgentSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogSettings = LogSettings()

    @property
    def on_s3(self) -> bool:
        """Whether the lake is in an object store."""
        return self.lake.startswith("s3://")

    def value(self, name: str) -> Any:
        """A setting by its name, whatever its section.

        Raises:
            KeyError: there is no such setting.
        """
        place = places()[name]
        part = getattr(self, place.section) if place.section else self
        return getattr(part, place.field)

    def replace(self, **values: object) -> Self:
        """The same settings but for some, by their names.

        Raises:
            KeyError: there is no such setting.
        """
        own: dict[str, Any] = {}
        of_sections: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            place = places()[name]
            of_sections.setdefault(place.section, {})[place.field] = value
        own |= of_sections.pop("", {})
        for section, changed in of_sections.items():
            own[section] = msgspec.structs.replace(getattr(self, section), **changed)
        return msgspec.structs.replace(self, **own)


class Place(NamedTuple):
    """Where a setting is: its section, empty for none, its field, and the type."""

    section: str
    field: str
    type: Any


@functools.cache
def places() -> Mapping[str, Place]:
    """Setting -> where it is."""
    found: dict[str, Place] = {}
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            for own in msgspec.structs.fields(field.type):
                found[own.encode_name] = Place(field.name, own.name, own.type)
        else:
            found[field.name] = Place("", field.name, field.type)
    return found

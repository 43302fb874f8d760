"""What the sources of flows emit."""

from schemas.batches import (
    ExpiredDate,
    ExpiredMemories,
    MaintenanceTask,
    Merge,
    Polled,
    PolledEvents,
    ReindexPart,
    VacuumTask,
)

SourceItem = (
    Polled
    | PolledEvents
    | ReindexPart
    | MaintenanceTask
    | Merge
    | ExpiredDate
    | ExpiredMemories
    | VacuumTask
)

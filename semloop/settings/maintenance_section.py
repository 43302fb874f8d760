"""Settings of the maintenance of tables: when it runs, and how long data is kept.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated

import msgspec

from semloop.settings.fields import Section

Interval = Annotated[float, msgspec.Meta(ge=0)]
# A query may read a version for hours, and a process may be frozen for half a day.
VACUUM_HOURS_MIN = 24


class MaintenanceSettings(Section, frozen=True):
    """When tables are maintained, and how long replaced files are kept."""

    compact_every_s: Interval = 60.0
    """Seconds between two runs of `maintain compact` by `semloop up`; 0: never. The
    files that it replaces stay on disk until a vacuum deletes them."""

    vacuum_every_s: Interval = 86_400.0
    """Seconds between two runs of `maintain vacuum` by `semloop up`, the first of them
    at most ten minutes after the start; 0: never."""

    vacuum_hours: Annotated[float, msgspec.Meta(ge=VACUUM_HOURS_MIN, le=8_760)] = 24.0
    """Hours after which a vacuum deletes files that were replaced, or that no version
    of a table has; a query must not take longer."""

"""The flows: each connects sources, operators and sinks, and adds no logic.

`semloop/flow_registry.py` lists them as data.

| flow | command | reads | writes | guarantee |
|---|---|---|---|---|
| `archive` | `semloop run archive` | Kafka | `dead_letters`, `events` | exactly once |
| `memory` | `semloop run memory` | `events` | `memories`, `episodes` | exactly once |
| `metrics` | `semloop run metrics` | `events` | `agent_metrics` | exactly once |
| `reindex` | `semloop maintain reindex` | `events`, `episodes` | `memories` | same |
| `rebuild` | `semloop maintain rebuild` | `events` | `memories`, `episodes` | same |
| `index` | `semloop maintain index` | `memories` | same, its indexes | same rows |
| `compact` | `semloop maintain compact` | Delta tables | same | same rows |
| `retain` | `semloop maintain retain` | Delta tables | same | the other rows stay |
| `vacuum` | `semloop maintain vacuum` | folders of Delta tables | same | same rows |

`upgrade.py` is not a dataflow: it has the steps of `semloop maintain upgrade`.
"""

import sys

# Our logs contain no tracebacks, for which alone structlog imports rich: that would be
# a tenth of the start of a flow. `None` tells importers that there is no such module.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog as structlog
    finally:
        del sys.modules["rich"]

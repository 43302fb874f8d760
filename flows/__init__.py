"""Wiring: sources, operators and sinks put together; no logic of their own.

`semloop/flow_registry.py` has them as data.

| flow | command | reads | writes | guarantee |
|---|---|---|---|---|
| `archive` | `semloop run archive` | Kafka | `dead_letters`, `events` | exactly once |
| `memory` | `semloop run memory` | `events` | `memories`, `episodes` | exactly once |
| `reindex` | `semloop maintain reindex` | `events`, `episodes` | `memories` | same |
| `index` | `semloop maintain index` | `memories` | the same, and indexes | same rows |
"""

"""Wiring: sources, operators and sinks put together; no logic of their own.

| flow | command | reads | writes | guarantee |
|---|---|---|---|---|
| `archive` | `semloop run archive` | Kafka | `dead_letters`, `events` | exactly once |
"""

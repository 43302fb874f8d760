"""The embedded broker: the part of Kafka's protocol that a local stack needs.

A process of its own (`python -m semloop.broker`) for one lake and one machine: no
replicas, no transactions, no logins. It uses the standard library only. `server`
answers connections, `requests/` has one file per subject of the protocol, `wire` its
encoding. `store` keeps topics, groups and one `PartitionLog` per partition, made of
`segment` files. What `archive` has committed is deleted; what exceeds the bound is
refused, so neither memory nor disk grow with what is produced.
"""

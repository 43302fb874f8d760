"""Steps of the flows: pure functions on Arrow batches, one a file.

They know no Kafka, no storage and no Bytewax.

| step | in -> out | state |
|---|---|---|
| `redact` | records -> records with pseudonyms | none |
| `decode` | records -> events and dead letters | none |
| `dedupe` | events -> events not seen before | ids of a window per partition |
| `sessions` | events of a partition -> revisions of episodes | open episodes, as rows |
"""

"""Steps of the flows: pure functions on Arrow batches, one per file.

They do not depend on Kafka, storage or Bytewax.

| step | input -> output | state |
|---|---|---|
| `redact` | records -> records with pseudonyms | none |
| `decode` | records -> events and dead letters | none |
| `dedupe` | events -> events with new ids | a window of ids per partition |
| `sessions` | events of a partition -> episodes, positions | open episodes, as rows |
| `assign` | events of a poll -> the same for all partitions | the above |
| `chunk` | events with positions, closed episodes -> texts | none |
| `attach_vectors` | texts -> texts with vectors | cached vectors |
| `rebuild_positions` | stored events -> their positions | episodes in progress |
"""

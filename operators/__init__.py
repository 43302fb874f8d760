"""Steps of the flows: pure functions on Arrow batches, one a file.

They know no Kafka, no storage and no Bytewax.

| step | in -> out | state |
|---|---|---|
| `redact` | records -> records with pseudonyms | none |
| `decode` | records -> events and dead letters | none |
| `dedupe` | events -> events not seen before | ids of a window per partition |
| `sessions` | events of a partition -> episodes, places | open episodes, as rows |
| `window` | events of a poll -> the same, of all partitions | the above |
| `chunk` | events with places, closed episodes -> texts to remember | none |
| `vectors` | texts -> texts with vectors | vectors of texts seen before |
| `replay` | events whose episodes are known -> their places | episodes under way |
"""

"""The last offset of each partition in a file, stored in the file's own footer.

Statistics in the Delta log cover all partitions of a file together. With the footer a
reader decides, without reading rows, whether it has read all rows of a file. (It is not
a tag in the log, because deltalake does not return tags.)
"""

import json
from collections.abc import Mapping

from semloop.delta.streams import Partition

KEY = b"semloop.last_offsets"


def footer_metadata(last: Mapping[Partition, int]) -> dict[str, str]:
    """Return the metadata of a file's footer."""
    rows = [[topic_id, number, offset] for (topic_id, number), offset in last.items()]
    return {KEY.decode(): json.dumps(rows)}


def last_offsets(metadata: Mapping[bytes, bytes] | None) -> dict[Partition, int] | None:
    """Read the metadata of a file's footer; None if it has no offsets."""
    found = (metadata or {}).get(KEY)
    if found is None:
        return None
    return {Partition(topic_id, n): offset for topic_id, n, offset in json.loads(found)}

"""The features of a memory that recall ranks by, packed in one binary column.

Recall compares thousands of matches, and each column that it reads of them takes a
millisecond. So a memory stores all that ranking needs once more in `features`: a header
of fixed size, then the hashes of the stems of its line and of the line before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake.recall.stems import hashes
from semloop.lake.recall.words import text_terms

# Little endian, without padding: reading gets slower with its size. `id` and `episode`
# are keys of ids (`key_of`), `log` is the hash of topic id and partition. Hashes are 0
# for NULL; `ts` is in microseconds.
HEADER = np.dtype(
    [
        ("id", "<u8"),
        ("episode", "<u8"),
        ("log", "<u8"),
        ("session", "<u8"),
        ("text", "<u8"),
        ("context_user", "<u8"),
        ("offset", "<i8"),
        ("ts", "<i8"),
        # -1 for the memory of an episode.
        ("seq", "<i4"),
        # NaN if unknown.
        ("importance", "<f4"),
        ("part", "<u2"),
        ("line_stems", "<u2"),
        # 1 if the event or episode names one user.
        ("has_user", "<u4"),
    ]
)
# numpy copies records without fields twenty times as fast.
RECORD = np.dtype((np.void, HEADER.itemsize))
STEM = np.dtype("<u4")
# Of a selection that is smaller by this factor, only its own stems are kept.
FEW = 4
# Columns that features derive from.
SOURCES = (
    "id", "episode_id", "topic_id", "namespace", "session_id", "text", "user_id",
    "context_user", "kafka_offset", "ts", "kafka_partition", "seq", "part",
    "importance", "search_text",
)  # fmt: skip
# (key of the episode's id, seq) of an event.
EventPosition = tuple[int, int]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def hash_of(*values: str | None) -> int:
    """Return 64 bits of BLAKE2b of values; 0 if the last one is missing."""
    if values[-1] is None:
        return 0
    # A length before each value keeps ("a", "bc") and ("ab", "c") apart.
    lengths = (-1 if value is None else len(value) for value in values)
    pairs = zip(lengths, values, strict=True)
    named = "".join(f"{length}:{value or ''}" for length, value in pairs)
    digest = blake2b(named.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def log_of(topic_id: str, partition: int) -> int:
    """Return the hash of a topic's partition."""
    return hash_of(topic_id, str(partition))


def key_of(id_: bytes) -> int:
    """Return the first 64 bits of an id, which are as unique as a hash of that size."""
    return int.from_bytes(id_[:8], "big")


def position_of(episode: int, seq: int) -> int:
    """Return the column `position` of an event: a hash of 63 bits.

    Args:
        episode: key of the episode's id.
        seq: number of the event in the episode.
    """
    return hash_of(f"{episode}/{seq}") >> 1


def positions(episode_ids: pa.ChunkedArray, seqs: pa.ChunkedArray) -> pa.Array:
    """Return the column `position` of memories; null for those of episodes."""
    pairs = zip(episode_ids.to_pylist(), seqs.to_pylist(), strict=True)
    found = [
        None if seq is None else position_of(key_of(bytes.fromhex(episode)), seq)
        for episode, seq in pairs
    ]
    return pa.array(found, pa.int64())


def words(memories: pa.Table) -> pa.Array:
    """Return the column `words` of memories: the distinct terms of line and context.

    Raises:
        MissingExtra: snowballstemmer is not installed.
    """
    pairs = _lines_and_contexts(memories)
    found = [" ".join(dict.fromkeys(text_terms("\n".join(pair)))) for pair in pairs]
    return pa.array(found, pa.string())


def pack(memories: pa.Table) -> pa.Array:
    """Return the column `features` of memories.

    Args:
        memories: rows with `SOURCES`.

    Raises:
        MissingExtra: snowballstemmer is not installed.
    """
    columns = {name: memories[name].to_pylist() for name in SOURCES}
    lines = _lines_and_contexts(memories)
    own = [hashes(text_terms(line)) for line, _ in lines]
    header = np.zeros(memories.num_rows, HEADER)
    spaces = columns["namespace"]
    header["id"] = [key_of(id_) for id_ in columns["id"]]
    header["episode"] = [key_of(bytes.fromhex(id_)) for id_ in columns["episode_id"]]
    logs = zip(columns["topic_id"], columns["kafka_partition"], strict=True)
    header["log"] = [log_of(topic, partition) for topic, partition in logs]
    header["session"] = _hashes(spaces, columns["session_id"])
    header["text"] = _hashes(spaces, columns["text"])
    header["has_user"] = [user is not None for user in columns["user_id"]]
    header["context_user"] = [hash_of(user) for user in columns["context_user"]]
    header["offset"] = columns["kafka_offset"]
    header["ts"] = memories["ts"].cast(pa.int64()).to_numpy()
    header["seq"] = [-1 if seq is None else seq for seq in columns["seq"]]
    header["part"] = columns["part"]
    header["importance"] = [np.nan if i is None else i for i in columns["importance"]]
    header["line_stems"] = [len(stems) for stems in own]
    packed = [
        head.tobytes()
        + np.array([*stems, *hashes(text_terms(context))], STEM).tobytes()
        for head, stems, (_, context) in zip(header, own, lines, strict=True)
    ]
    return pa.array(packed, pa.binary())


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features of some memories, and their row ids in LanceDB.

    Attributes:
        header: `HEADER` of each.
        stems: the stems of all, one memory after the other.
        starts: index in `stems` of the first one of each.
        ends: index behind the last one of each.
        row_ids: int64.
    """

    header: NDArray[Any]
    stems: NDArray[np.uint32]
    starts: Ints
    ends: Ints
    row_ids: Ints

    @classmethod
    def of(cls, packed: pa.ChunkedArray, row_ids: pa.ChunkedArray) -> Self:
        """Read the column `features` of rows."""
        column = packed.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        count = len(column)
        if not count:
            none = np.zeros(0, np.int64)
            return cls(np.zeros(0, HEADER), np.zeros(0, STEM), none, none, none)
        wide = isinstance(column, pa.LargeBinaryArray)
        _, offsets, data = column.buffers()
        bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)
        bounds = bounds[column.offset : column.offset + count + 1].astype(np.int64)
        content = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
        bounds = bounds - bounds[0]
        at = bounds[:-1, None] + np.arange(HEADER.itemsize)
        header = content[at].view(HEADER)[:, 0]
        # Every part has a size that is a multiple of a stem's.
        return cls(
            header,
            content.view(STEM),
            (bounds[:-1] + HEADER.itemsize) // STEM.itemsize,
            bounds[1:] // STEM.itemsize,
            row_ids.to_numpy().astype(np.int64),
        )

    def __len__(self) -> int:
        """Return the number of memories."""
        return len(self.header)

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the memories at these indices, or where a mask is True."""
        taken = type(self)(
            self.header.view(RECORD)[rows].view(HEADER),
            self.stems,
            self.starts[rows],
            self.ends[rows],
            self.row_ids[rows],
        )
        return taken.compact() if len(taken) * FEW <= len(self) else taken

    def compact(self) -> Self:
        """Drop the stems of other memories: those of long texts are megabytes."""
        lengths = self.ends - self.starts
        ends = np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths
        shifts = np.repeat(self.starts - starts, lengths)
        stems = self.stems[np.arange(len(shifts)) + shifts]
        return type(self)(self.header, stems, starts, ends, self.row_ids)

    def counts(self, wanted: Sequence[int]) -> tuple[Ints, Ints]:
        """Count the wanted stems of each memory.

        Returns:
            occurrences in the line and in the context, both of shape
            (memories, wanted stems).
        """
        shape = (len(wanted), len(self))
        own, context = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        # The stems between two memories are those of memories that `take` left out.
        order = np.argsort(self.starts, kind="stable")
        starts, ends = self.starts[order], self.ends[order]
        line_ends = starts + self.header["line_stems"][order]
        for number, stem in enumerate(wanted):
            found = np.flatnonzero(self.stems == stem)
            row = np.searchsorted(starts, found, "right") - 1
            inside = row >= 0
            inside[inside] &= found[inside] < ends[row[inside]]
            found, row = found[inside], row[inside]
            in_line = found < line_ends[row]
            size = len(self)
            own[number, order] = np.bincount(row[in_line], minlength=size)
            context[number, order] = np.bincount(row[~in_line], minlength=size)
        return own.T, context.T

    def positions(self) -> list[EventPosition]:
        """Return the position of each event; seq is -1 for the memory of an episode."""
        episodes, seqs = self.header["episode"].tolist(), self.header["seq"].tolist()
        return list(zip(episodes, seqs, strict=True))

    @property
    def line_lengths(self) -> Ints:
        """Number of stems of each line."""
        return self.header["line_stems"].astype(np.int64)

    @property
    def context_lengths(self) -> Ints:
        """Number of stems of each context."""
        return self.ends - self.starts - self.line_lengths


def concatenated(parts: Sequence[Features]) -> Features:
    """Return the memories of several reads, each id once, in their order."""
    every = stacked(parts)
    _, first = np.unique(every.header["id"], return_index=True)
    return every if len(first) == len(every) else every.take(np.sort(first))


def stacked(parts: Sequence[Features]) -> Features:
    """Return the memories of several reads, at least one, in their order."""
    found = [part for part in parts if len(part)] or parts[:1]
    if len(found) == 1:
        return found[0]
    shifts = np.cumsum([0, *(len(part.stems) for part in found)])
    moved = list(zip(found, shifts.tolist(), strict=False))
    return Features(
        np.concatenate([part.header.view(RECORD) for part in found]).view(HEADER),
        np.concatenate([part.stems for part in found]),
        np.concatenate([part.starts + shift for part, shift in moved]),
        np.concatenate([part.ends + shift for part, shift in moved]),
        np.concatenate([part.row_ids for part in found]),
    )


def _lines_and_contexts(memories: pa.Table) -> list[tuple[str, str]]:
    """Return the line of each memory, and the line before it whose words count, too.

    Those of a later part do not: the part before is a memory of its own, and the number
    of matches, and their size, is what a search by words costs.
    """
    columns = (memories[name].to_pylist() for name in ("search_text", "part"))
    found = []
    for text, part in zip(*columns, strict=True):
        context, _, line = text.rpartition("\n")
        found.append((line, "" if part else context))
    return found


def _hashes(spaces: Sequence[str | None], values: Sequence[str | None]) -> list[int]:
    """Return the hashes of values within their namespaces."""
    pairs = zip(spaces, values, strict=True)
    return [hash_of(space, value) for space, value in pairs]

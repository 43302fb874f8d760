"""Converts the events and closed episodes of a poll to texts for memories.

Input: `Assigned`. Output: `Chunked`: one row of `MEMORY_TEXTS` for each message, tool
call and error that the policy keeps, several if its text is too long for a model, then
one for each closed episode. The texts do not depend on how events are batched. They are
made of the payload if the column `text` may be shortened (`parts.py`).

The text before an event in its episode, or the part before a later part, is searched
together with it; only the last line, the speaker and the text, is embedded. The memory
of an episode does not list its events: they are those of its session from its
`first_offset` to the offset of the memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import both_ends
from operators.memories.parts import event_parts, full_texts
from operators.memories.splitter import perhaps_long
from operators.memories.summary import episode_text
from schemas.arrow import MEMORY_TEXTS
from schemas.batches import Assigned, Chunked
from semloop.lake.recall.features import pack, positions, words
from semloop.sampling import is_kept
from semloop.settings.memory_sections import MemorySettings
from semloop.tables import ORIGIN

# Result of a poll without rows.
NO_MEMORIES = MEMORY_TEXTS.empty_table()
# At most three tokens each, which leaves nearly half of the tokens for the text.
SPEAKER_CHARS_MAX = 40
# Values that identify a memory, together with the number of the part.
ID_COLUMNS = ("topic_id", "kafka_partition", "kafka_offset")
# Columns that are copied from the event and from the episode.
EVENT_COLUMNS = (
    "type", "ts", "agent", "session_id", "user_id", "namespace", "task_type", "tool",
    "status", "error_type", "importance", "episode_id", "seq", *ORIGIN,
)  # fmt: skip
EPISODE_COLUMNS = (
    "started_at", "agent", "session_id", "user_id", "namespace", "task_type",
    "outcome", "reward", "episode_id", *ORIGIN,
)  # fmt: skip


def chunk(assigned: Assigned, settings: MemorySettings) -> Chunked:
    """Return the texts of a poll that the policy keeps.

    `skipped` counts the other events and closed episodes by reason: `kind`,
    `importance` and `sample` by the settings, `empty` if there is no text.

    Raises:
        MissingExtra: a text may be too long, and tokenizers is not installed.
    """
    memorable, positions = assigned.memorable, assigned.episode_positions
    if not memorable.num_rows and not assigned.episodes.num_rows:
        return Chunked(NO_MEMORIES, assigned.episodes, assigned.progress)
    assert memorable["kafka_offset"].equals(positions["kafka_offset"])
    for name in ("episode_id", "seq", "context", "context_user"):
        memorable = memorable.append_column(name, positions[name])
    skipped: Counter[str] = Counter()
    for reason, is_kept_by in POLICY.items():
        kept = memorable.filter(is_kept_by(memorable, settings))
        skipped[reason] += memorable.num_rows - kept.num_rows
        memorable = kept
    closed = assigned.episodes.filter(pc.equal(assigned.episodes["state"], "closed"))
    if "episode" not in settings.kinds:
        skipped["kind"] += closed.num_rows
        closed = closed.slice(0, 0)
    memories = pa.concat_tables([_events(memorable, settings), _episodes(closed)])
    return Chunked(memories, assigned.episodes, assigned.progress, +skipped)


def _is_of_kind(events: pa.Table, settings: MemorySettings) -> pa.Array:
    return pc.is_in(events["type"], pa.array(settings.kinds, pa.string()))


def _is_important(events: pa.Table, settings: MemorySettings) -> pa.Array:
    enough = pc.greater_equal(events["importance"], settings.importance_min)
    return pc.fill_null(enough, True)


def _is_sampled(events: pa.Table, settings: MemorySettings) -> pa.Array:
    """Sample by session, and keep all failures, as an agent does before sending."""
    shares = settings.sample
    if not shares:
        return pa.repeat(True, events.num_rows)
    columns = [events[n].to_pylist() for n in ("type", "agent", "session_id", "status")]
    kept = [
        is_kept(kind, agent, session, shares, failed=status == "error")
        for kind, agent, session, status in zip(*columns, strict=True)
    ]
    return pa.array(kept, pa.bool_())


def _has_text(texts: pa.Array) -> pa.Array:
    """Return for each text whether it is neither null nor blank."""
    return pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(texts), ""), False)


# Filters of the events to keep, by the reason under which others are skipped.
POLICY: Mapping[str, Callable[[pa.Table, MemorySettings], pa.Array]] = {
    "kind": _is_of_kind,
    "importance": _is_important,
    "sample": _is_sampled,
    "empty": lambda events, _: _has_text(events["text"]),
}


def _events(events: pa.Table, settings: MemorySettings) -> pa.Table:
    rows, numbers, texts, contexts, speakers = _parts(events, settings)
    events = events.take(rows)
    is_first = pc.equal(numbers, 0)
    line = _speaker_line(speakers.take(rows), texts)
    both = pc.binary_join_element_wise(contexts, line, "\n")
    origin = [events[name].to_pylist() for name in ID_COLUMNS]
    columns = {name: events[name] for name in EVENT_COLUMNS} | {
        "id": pa.array(map(_id, *origin, numbers.to_pylist()), pa.binary(16)),
        "part": numbers,
        "text": texts,
        "search_text": pc.if_else(_has_text(contexts), both, line),
        # The context of a later part is the part before it.
        "context_user": pc.if_else(is_first, events["context_user"], events["user_id"]),
        "started_at": events["ts"],
        "event_ids": _lists_of_one(events["event_id"]),
    }
    return _memories("event", columns, events.num_rows)


def _parts(
    events: pa.Table, settings: MemorySettings
) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array, pa.Array]:
    """Return the row, number, text and context of each part; and speakers by row."""
    speakers = _speakers(events)
    texts = events["text"].combine_chunks()
    long = set(perhaps_long(_speaker_line(speakers, texts)))
    full = full_texts(events, settings.event_chars)
    rows: list[int] = []
    numbers: list[int] = []
    found: list[str] = []
    contexts: list[str | None] = []
    pairs = zip(texts.to_pylist(), events["context"].to_pylist(), strict=True)
    for row, (text, context) in enumerate(pairs):
        parts = [text]
        if row in long or row in full:
            speaker = speakers[row].as_py()
            parts = event_parts(full.get(row, [text]), speaker, settings.event_parts)
        rows += [row] * len(parts)
        numbers += range(len(parts))
        found += parts
        contexts += [context, *parts[:-1]]
    return (
        pa.array(rows, pa.int64()),
        pa.array(numbers, pa.int32()),
        pa.array(found, pa.string()),
        both_ends(pa.array(contexts, pa.string())),
        speakers,
    )


def _speakers(events: pa.Table) -> pa.Array:
    """Return the user of a user's message, else the agent, as a name of one line."""
    by_user = pc.and_(pc.equal(events["role"], "user"), _has_text(events["user_id"]))
    name = pc.if_else(pc.fill_null(by_user, False), events["user_id"], events["agent"])
    name = pc.replace_substring_regex(name, r"[\s\x00]+", " ")
    return pc.utf8_slice_codeunits(name, 0, SPEAKER_CHARS_MAX).combine_chunks()


def _speaker_line(speakers: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.coalesce(pc.binary_join_element_wise(speakers, texts, ": "), texts)


def _lists_of_one(values: pa.ChunkedArray) -> pa.Array:
    ends = pa.array(range(len(values) + 1), pa.int32())
    return pa.ListArray.from_arrays(ends, values.combine_chunks())


def _episodes(closed: pa.Table) -> pa.Table:
    texts = pa.array(map(episode_text, closed.to_pylist()), pa.string())
    ids = map(bytes.fromhex, closed["episode_id"].to_pylist())
    columns = {name: closed[name] for name in EPISODE_COLUMNS} | {
        "id": pa.array(ids, pa.binary(16)),
        "part": pa.repeat(pa.scalar(0, pa.int32()), closed.num_rows),
        "text": texts,
        "search_text": texts,
        "ts": closed["ended_at"],
        "event_ids": pa.array([[]] * closed.num_rows, pa.list_(pa.string())),
    }
    return _memories("episode", columns, closed.num_rows)


def _memories(kind: str, columns: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """Return a table of `MEMORY_TEXTS`; columns that are not given are null."""
    columns = {"kind": pa.repeat(kind, rows)} | dict(columns)
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(rows, field.type)
        for field in MEMORY_TEXTS
    ]
    memories = pa.table(arrays, schema=MEMORY_TEXTS)
    for name, values in (
        ("position", positions(memories["episode_id"], memories["seq"])),
        ("words", words(memories)),
        ("features", pack(memories)),
    ):
        column = MEMORY_TEXTS.get_field_index(name)
        memories = memories.set_column(column, name, values)
    return memories


def _id(topic_id: str, partition: int, offset: int, part: int) -> bytes:
    name = f"{topic_id}/{partition}/{offset}/{part}"
    return blake2b(name.encode(), digest_size=16).digest()

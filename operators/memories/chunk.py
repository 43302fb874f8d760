"""What is remembered of a poll: its events and closed episodes as texts.

Shape: `Windowed` in, `Chunked` out: one row of `MEMORY_TEXTS` for each message, tool
call and error that the policy keeps, several if its text is too long for a model, then
one for each episode that closed. Same events in, same texts out, however batched.

An event's text is searched together with the one told before it in its episode, or of a
later part with the part before; what is embedded is the last line alone, who said it
and what. Events of an episode are not named in its memory: they are those of its
session from its `first_offset` to the offset of the memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.events import both_ends
from operators.memories.splitter import TOKENS_MAX, parts_of, perhaps_long, token_count
from operators.memories.summary import episode_text
from schemas.arrow import MEMORY_TEXTS
from schemas.batches import Chunked, Windowed
from semloop.sampling import is_kept
from semloop.settings.memory_sections import MemorySettings
from semloop.tables import ORIGIN

# Of a tick.
NOTHING = MEMORY_TEXTS.empty_table()
# At most three tokens each, so that nearly half is left for what was said.
WHO_CHARS_MAX = 40
# With the number of the part they make its id.
NAMED_BY = ("topic_id", "kafka_partition", "kafka_offset")
# What a memory takes from its event and from its episode as it is.
OF_EVENT = (
    "type", "ts", "agent", "session_id", "user_id", "namespace", "task_type", "tool",
    "status", "error_type", "importance", "episode_id", "seq", *ORIGIN,
)  # fmt: skip
OF_EPISODE = (
    "started_at", "agent", "session_id", "user_id", "namespace", "task_type",
    "outcome", "reward", "episode_id", *ORIGIN,
)  # fmt: skip


def chunk(windowed: Windowed, settings: MemorySettings) -> Chunked:
    """The texts of a poll that are to be remembered.

    `skipped` counts events and closed episodes that are not, by reason: `kind`,
    `importance` and `sample` by the settings, `empty` for want of a text.

    Raises:
        MissingExtra: a text may be too long, and tokenizers is not installed.
    """
    told, places = windowed.told, windowed.places
    if not told.num_rows and not windowed.episodes.num_rows:
        return Chunked(NOTHING, windowed.episodes, windowed.progress)
    assert told["kafka_offset"].equals(places["kafka_offset"])
    for name in ("episode_id", "seq", "context"):
        told = told.append_column(name, places[name])
    skipped: Counter[str] = Counter()
    for reason, is_wanted in POLICY.items():
        wanted = told.filter(is_wanted(told, settings))
        skipped[reason] += told.num_rows - wanted.num_rows
        told = wanted
    closed = windowed.episodes.filter(pc.equal(windowed.episodes["state"], "closed"))
    if "episode" not in settings.kinds:
        skipped["kind"] += closed.num_rows
        closed = closed.slice(0, 0)
    memories = pa.concat_tables([_events(told), _episodes(closed)])
    return Chunked(memories, windowed.episodes, windowed.progress, +skipped)


def _of_kinds(told: pa.Table, settings: MemorySettings) -> pa.Array:
    return pc.is_in(told["type"], pa.array(settings.kinds, pa.string()))


def _important(told: pa.Table, settings: MemorySettings) -> pa.Array:
    enough = pc.greater_equal(told["importance"], settings.importance_min)
    return pc.fill_null(enough, True)


def _sampled(told: pa.Table, settings: MemorySettings) -> pa.Array:
    """As an agent samples what it sends: by session, and always what failed."""
    shares = settings.sample
    if not shares:
        return pa.repeat(True, told.num_rows)
    columns = [told[n].to_pylist() for n in ("type", "agent", "session_id", "status")]
    kept = [
        is_kept(kind, agent, session, shares, failed=status == "error")
        for kind, agent, session, status in zip(*columns, strict=True)
    ]
    return pa.array(kept, pa.bool_())


def _has_text(texts: pa.Array) -> pa.Array:
    """Whether each says anything: neither null nor white space only."""
    return pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(texts), ""), False)


# By the reason to leave out what is not wanted.
POLICY: Mapping[str, Callable[[pa.Table, MemorySettings], pa.Array]] = {
    "kind": _of_kinds,
    "importance": _important,
    "sample": _sampled,
    "empty": lambda told, _: _has_text(told["text"]),
}


def _events(told: pa.Table) -> pa.Table:
    rows, numbers, texts, contexts, who = _parts(told)
    told = told.take(rows)
    line = _line(who.take(rows), texts)
    both = pc.binary_join_element_wise(contexts, line, "\n")
    origin = [told[name].to_pylist() for name in NAMED_BY]
    columns = {name: told[name] for name in OF_EVENT} | {
        "id": pa.array(map(_id, *origin, numbers.to_pylist()), pa.binary(16)),
        "part": numbers,
        "text": texts,
        "search_text": pc.if_else(_has_text(contexts), both, line),
        "started_at": told["ts"],
        "event_ids": _lists_of_one(told["event_id"]),
    }
    return _memories("event", columns, told.num_rows)


def _parts(told: pa.Table) -> tuple[pa.Array, pa.Array, pa.Array, pa.Array, pa.Array]:
    """Each part's row, number, text and context; and by row, who said it."""
    who = _who(told)
    texts = told["text"].combine_chunks()
    long = set(perhaps_long(_line(who, texts)))
    rows: list[int] = []
    numbers: list[int] = []
    found: list[str] = []
    contexts: list[str | None] = []
    said = zip(texts.to_pylist(), told["context"].to_pylist(), strict=True)
    for row, (text, context) in enumerate(said):
        parts = _cut(text, who[row].as_py()) if row in long else [text]
        rows += [row] * len(parts)
        numbers += range(len(parts))
        found += parts
        contexts += [context, *parts[:-1]]
    return (
        pa.array(rows, pa.int64()),
        pa.array(numbers, pa.int32()),
        pa.array(found, pa.string()),
        both_ends(pa.array(contexts, pa.string())),
        who,
    )


def _cut(text: str, who: str | None) -> list[str]:
    return parts_of(text, TOKENS_MAX - (token_count(f"{who}:") if who else 0))


def _who(told: pa.Table) -> pa.Array:
    """The user who spoke, else the agent, as a name of one line."""
    by_user = pc.and_(pc.equal(told["role"], "user"), _has_text(told["user_id"]))
    name = pc.if_else(pc.fill_null(by_user, False), told["user_id"], told["agent"])
    name = pc.replace_substring_regex(name, r"[\s\x00]+", " ")
    return pc.utf8_slice_codeunits(name, 0, WHO_CHARS_MAX).combine_chunks()


def _line(who: pa.Array, texts: pa.Array) -> pa.Array:
    return pc.coalesce(pc.binary_join_element_wise(who, texts, ": "), texts)


def _lists_of_one(values: pa.ChunkedArray) -> pa.Array:
    ends = pa.array(range(len(values) + 1), pa.int32())
    return pa.ListArray.from_arrays(ends, values.combine_chunks())


def _episodes(closed: pa.Table) -> pa.Table:
    texts = pa.array(map(episode_text, closed.to_pylist()), pa.string())
    ids = map(bytes.fromhex, closed["episode_id"].to_pylist())
    columns = {name: closed[name] for name in OF_EPISODE} | {
        "id": pa.array(ids, pa.binary(16)),
        "part": pa.repeat(pa.scalar(0, pa.int32()), closed.num_rows),
        "text": texts,
        "search_text": texts,
        "ts": closed["ended_at"],
        "event_ids": pa.array([[]] * closed.num_rows, pa.list_(pa.string())),
    }
    return _memories("episode", columns, closed.num_rows)


def _memories(kind: str, columns: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """The columns of all memories; null where this kind has none."""
    columns = {"kind": pa.repeat(kind, rows)} | dict(columns)
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(rows, field.type)
        for field in MEMORY_TEXTS
    ]
    return pa.table(arrays, schema=MEMORY_TEXTS)


def _id(topic_id: str, partition: int, offset: int, part: int) -> bytes:
    name = f"{topic_id}/{partition}/{offset}/{part}"
    return blake2b(name.encode(), digest_size=16).digest()

"""Replays the dead letters that `semloop dlq replay` selects."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from operators.replay import (
    Letter,
    Transform,
    TransformFailed,
    rejections,
    repaired,
    to_record,
)
from schemas.lines import Record
from schemas.replay import Action, ActionKind
from semloop.command.cli.dlq_selection import Selection, add_ids
from semloop.command.cli.lake_queries import open_lake
from semloop.command.cli.sql import sql_errors
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.errors import ConfigError
from semloop.kafka.clients import producer_config
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.redaction.finding import PSEUDONYM
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.dead_letter_actions import append_actions
from sinks.topic import produce

# Dead letters that are produced, and noted as replayed, at a time.
BATCH = 200
QUERY = """
SELECT id, topic_id, kafka_partition, kafka_offset, key, headers, raw,
    attempts
FROM dead_letters WHERE {where}
ORDER BY topic_id, kafka_partition, kafka_offset
"""
REDACTED = "with pseudonyms in place of what was redacted"


@dataclass
class Totals:
    """What became of the selected dead letters."""

    selected: int = 0
    replayed: int = 0
    redacted: int = 0
    left_out: int = 0
    without_content: int = 0
    # Reason -> number.
    invalid: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    first_failed: str = ""


def replay_letters(
    settings: Settings,
    found: Selection,
    ids: Sequence[str],
    transform: Transform | None,
    *,
    rate: float | None = None,
    dry_run: bool = False,
) -> None:
    """Produce the selected dead letters again, and print what became of them.

    Args:
        settings: lake and topic.
        found: which to replay.
        ids: of which only these, or prefixes of theirs; all if empty.
        transform: repairs each record.
        rate: records per second, at most.
        dry_run: produce nothing.

    Raises:
        ConfigError: the transform has failed for some; all others were produced.
    """
    totals = Totals()
    with open_lake(settings) as lake, spinner("Querying ...") as show:
        add_ids(found, lake, ids)
        for letters in _batches(lake, found, totals):
            records = _records(letters, transform, settings, totals)
            if records and not dry_run:
                _send(settings, records, rate)
            totals.replayed += len(records)
            show(f"{totals.replayed:,} of {totals.selected:,} dead letters")
    _report(totals, dry_run=dry_run)


def _batches(lake: Lake, found: Selection, totals: Totals) -> Iterator[list[Letter]]:
    query = QUERY.format(where=found.where)
    with sql_errors(lake.connection, query):
        result = lake.sql(query, found.values)
        while rows := result.fetchmany(BATCH):
            totals.selected += len(rows)
            letters = [Letter(*row) for row in rows]
            totals.without_content += sum(not letter.raw for letter in letters)
            yield [letter for letter in letters if letter.raw]


def _records(
    letters: Iterable[Letter],
    transform: Transform | None,
    settings: Settings,
    totals: Totals,
) -> list[tuple[Letter, Record]]:
    """Return the dead letters that are events now, with the records to produce."""
    ready: list[tuple[Letter, Record]] = []
    for letter in letters:
        try:
            value = repaired(letter, transform)
        except TransformFailed as error:
            totals.failed[str(error)] += 1
            totals.first_failed = totals.first_failed or letter.id
            continue
        if value is None:
            totals.left_out += 1
            continue
        ready.append((letter, to_record(letter, value, line=len(ready))))
    bytes_max = settings.archive.record_bytes_max
    refused = rejections([record for _, record in ready], datetime.now(UTC), bytes_max)
    totals.invalid.update(
        reason.partition(":")[0] for reason in refused if reason is not None
    )
    valid = [
        each for each, reason in zip(ready, refused, strict=True) if reason is None
    ]
    totals.redacted += sum(_is_redacted(letter) for letter, _ in valid)
    return valid


def _is_redacted(letter: Letter) -> bool:
    return PSEUDONYM.search(letter.raw) is not None


def _send(
    settings: Settings, records: list[tuple[Letter, Record]], rate: float | None
) -> None:
    """Produce records, then note that their dead letters were replayed.

    If this ends in between, the next replay sends them with the same number of the
    attempt, and `archive` drops what it has already.
    """
    TopicAdmin(settings).ensure()
    paced = _paced([record for _, record in records], rate)
    sent = produce(paced, producer_config(settings), settings.topic)
    too_long = {line.line for line in sent.too_long}
    actions = [
        Action(
            letter.id,
            letter.origin,
            ActionKind.REPLAYED,
            letter.attempts + 1,
            note=REDACTED if _is_redacted(letter) else None,
        )
        for letter, record in records
        if record.line not in too_long
    ]
    retry_s = settings.commits.storage_retry_s
    append_actions(Storage.of(settings), actions, datetime.now(UTC), retry_s)


def _paced(records: Iterable[Record], rate: float | None) -> Iterator[Record]:
    """Yield records, at most `rate` of them per second."""
    started_s = time.monotonic()
    for number, record in enumerate(records):
        if rate is not None:
            wait_s = started_s + number / rate - time.monotonic()
            time.sleep(max(0.0, wait_s))
        yield record


def _report(totals: Totals, *, dry_run: bool) -> None:
    if not totals.selected:
        say("No dead letters match.")
        return
    verb = "To replay" if dry_run else "Replayed"
    say(f"{verb}: {totals.replayed:,} of {totals.selected:,} dead letters.")
    if totals.redacted:
        say(f"{totals.redacted:,} of them {REDACTED}: a replay cannot restore that.")
    if totals.left_out:
        say(f"Left out by transform: {totals.left_out:,}.")
    if totals.without_content:
        say(f"Without content, since they were too large: {totals.without_content:,}.")
    if totals.invalid:
        listed = ", ".join(f"{r} {n:,}" for r, n in totals.invalid.most_common())
        say(f"Not replayed, since they would fail again: {listed}.")
    if totals.failed:
        count = totals.failed.total()
        what, _ = totals.failed.most_common(1)[0]
        msg = f"{count:,} dead letters cannot be repaired: {what}."
        raise ConfigError(msg, f"Try `semloop dlq show {totals.first_failed}`.")
    if totals.replayed and not dry_run:
        say("`semloop dlq ls` shows them as resolved once archive has stored them.")

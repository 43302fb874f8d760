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
    repaired,
    to_record,
    verdicts,
)
from schemas.lines import Record
from schemas.replay import Action, ActionKind
from semloop.command.cli.dlq_letters import LETTERS_MAX, letters, places
from semloop.command.cli.dlq_selection import Selection, add_ids
from semloop.command.cli.lake_queries import open_lake
from semloop.command.terminal.printing import note, say
from semloop.command.terminal.progress import spinner
from semloop.errors import ConfigError
from semloop.kafka.clients import producer_config
from semloop.kafka.topic import TopicAdmin
from semloop.redaction.finding import PSEUDONYM
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.dead_letter_actions import append_actions
from sinks.topic import produce

# A batch is noted as replayed at its end; with a rate it lasts this long.
BATCH_S = 5.0
REDACTED = "with pseudonyms in place of what was redacted"


@dataclass
class Totals:
    """What became of the selected dead letters."""

    selected: int
    replayed: int = 0
    redacted: int = 0
    repeated: int = 0
    left_out: int = 0
    without_content: int = 0
    too_long: int = 0
    # Hashes of the keys of their events.
    keys: set[int] = field(default_factory=set)
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
    with open_lake(settings) as lake, spinner("Querying ...") as show:
        add_ids(found, lake, ids)
        selected = places(lake, found)
        totals = Totals(selected.num_rows)
        send = None if dry_run else Send(settings, rate)
        letters_max = min(LETTERS_MAX, int((rate or LETTERS_MAX) * BATCH_S) or 1)
        seen = 0
        try:
            for count, batch in letters(lake, selected, letters_max):
                totals.without_content += count - len(batch)
                records = _records(batch, transform, settings, totals)
                sent = send(records) if send and records else len(records)
                totals.replayed += sent
                totals.too_long += len(records) - sent
                seen += count
                show(f"{seen:,} of {totals.selected:,} dead letters")
        except KeyboardInterrupt:
            note(f"Replayed before: {totals.replayed:,} of {totals.selected:,}.")
            raise
    _report(totals, dry_run=dry_run)


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
    judged = verdicts([record for _, record in ready], datetime.now(UTC), bytes_max)
    valid = []
    for each, verdict in zip(ready, judged, strict=True):
        if verdict.reason is not None:
            totals.invalid[verdict.reason] += 1
            continue
        valid.append(each)
        key = hash(verdict.event_key)
        totals.repeated += key in totals.keys
        totals.keys.add(key)
    totals.redacted += sum(_is_redacted(letter) for letter, _ in valid)
    return valid


def _is_redacted(letter: Letter) -> bool:
    return PSEUDONYM.search(letter.raw) is not None


class Send:
    """Produces records, then notes that their dead letters were replayed.

    If it ends in between, the next replay sends them with the same number of the
    attempt, and `archive` drops what it has already.

    Args:
        settings: lake and topic.
        rate: records per second, at most.
    """

    def __init__(self, settings: Settings, rate: float | None) -> None:
        self._settings, self._storage = settings, Storage.of(settings)
        self._pause_s = 1 / rate if rate else 0.0
        self._next_s = time.monotonic()
        self._topic_exists = False

    def __call__(self, records: list[tuple[Letter, Record]]) -> int:
        """Return the number of records that were not too long for Kafka."""
        settings = self._settings
        if not self._topic_exists:
            TopicAdmin(settings).ensure()
            self._topic_exists = True
        paced = self._paced(record for _, record in records)
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
        append_actions(self._storage, actions, datetime.now(UTC), retry_s)
        return len(actions)

    def _paced(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records, at most one per pause, across batches."""
        for record in records:
            now_s = time.monotonic()
            time.sleep(max(0.0, self._next_s - now_s))
            self._next_s = max(self._next_s, now_s) + self._pause_s
            yield record


def _report(totals: Totals, *, dry_run: bool) -> None:
    if not totals.selected:
        say("No dead letters match.")
        return
    verb = "To replay" if dry_run else "Replayed"
    say(f"{verb}: {totals.replayed:,} of {totals.selected:,} dead letters.")
    if totals.redacted:
        say(f"{totals.redacted:,} of them {REDACTED}: a replay cannot restore that.")
    if totals.repeated:
        say(f"{totals.repeated:,} of them repeat another's id: each id is one event.")
    if totals.left_out:
        say(f"Left out by transform: {totals.left_out:,}.")
    if totals.without_content:
        say(f"Without content, since they were too large: {totals.without_content:,}.")
    if totals.too_long:
        say(f"Too large for a message of Kafka: {totals.too_long:,}.")
    if totals.invalid:
        counts = totals.invalid.most_common()
        listed = ", ".join(f"{reason} {count:,}" for reason, count in counts)
        say(f"Not replayed, since they would fail again: {listed}.")
    if totals.failed:
        count = totals.failed.total()
        what, _ = totals.failed.most_common(1)[0]
        msg = f"{count:,} dead letters cannot be repaired: {what}."
        raise ConfigError(msg, f"Try `semloop dlq show {totals.first_failed}`.")
    if totals.replayed and not dry_run:
        say("`semloop dlq ls` shows them as resolved once archive has stored them.")

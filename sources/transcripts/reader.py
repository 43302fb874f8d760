"""Reads a file of any format as records to produce.

The format is recognized by its first values, or given. Values that are no JSON are
produced unchanged and become dead letters; what else becomes no event is in the ledger.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from schemas.lines import Record, TooLong
from semloop.errors import ConfigError
from sources.transcripts import events, rows
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.input_files import READ_ERRORS, named, opened, unreadable
from sources.transcripts.json_values import Cut, layout_of, values_of
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.registry import BY_NAME, FORMATS

AUTO = "auto"
NAMES = (AUTO, events.NAME, *BY_NAME)
# Values from which the format is recognized: a file may begin with some of no sign.
SAMPLE_VALUES = 20

# The format whose signs are the weakest.
GENERIC = "chat"
# Room for the headers of a record.
HEADERS_BYTES = 2**10
# Values without any event that are held back before they become dead letters.
HELD_BYTES_MAX = 2**26

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Reading:
    """One file: its format, once it is known, and what was found.

    Args:
        path: of the file, or `-`.
        form: name of a format, or `auto`.
        options: what the user gave.
        ledger: receives what becomes of each unit.
    """

    path: str
    form: str
    options: Options
    ledger: Ledger
    title: str = ""
    why: str = ""
    values: int = 0
    position: Callable[[], int] = lambda: 0
    _broken: events.Broken = field(default_factory=events.Broken)

    def records(self) -> Iterator[Record | TooLong]:
        """Yield the records of the file.

        Raises:
            ConfigError: the file cannot be read completely, or has another format.
        """
        try:
            with opened(self.path) as file:
                self.position = file.position
                table = rows.table_of(self.path, self.form)
                if table is not None:
                    cuts = self._counted(rows.cuts_of(file.stream, table))
                    yield from self._read(cuts, "values", table)
                    self.ledger.check()
                    return
                layout = layout_of(file.head)
                if b"\0" in file.head[:8192] and b"{" not in file.head[:8192]:
                    msg = f"{named(self.path)} contains binary data."
                    raise ConfigError(msg, "Give a file of JSON, packed or not.")
                cuts = self._counted(values_of(file.stream, layout))
                yield from self._read(cuts, layout.container)
                end = file.position()
                self.position = lambda: end  # The file is closed now.
        except READ_ERRORS as exc:
            if isinstance(exc, ConfigError):
                raise
            table = rows.table_of(self.path, self.form)
            raise unreadable(
                self.path, self.values, exc, rows.REMEDIES.get(table)
            ) from None
        self.ledger.check()

    def _counted(self, cuts: Iterable[Cut]) -> Iterator[Cut]:
        for cut in cuts:
            self.values = cut.line if isinstance(cut, TooLong) else cut[0]
            yield cut

    def _read(
        self, cuts: Iterator[Cut], container: Container, table: str | None = None
    ) -> Iterator[Record | TooLong]:
        first, rest = _sample(cuts)
        form = self._format_of_rows(first, table) or self._format(first, container)
        everything = chain(first, rest)
        if form is None:
            yield from self._events(everything)
            return
        made = form.read(self._decoded(everything), self.options, self.ledger)
        for number, session_id, event in made:
            yield from self._dead()
            key = session_id.encode()
            size = len(event.value) + len(key)
            if size + HEADERS_BYTES > events.LINE_BYTES_MAX:
                kind = _decode(event.value)["type"]
                self.ledger.made[kind] -= 1
                self.ledger.events -= 1
                self.ledger.leave_out(kind, "is over 4 MiB as an event")
                yield TooLong(number, size)
                continue
            yield Record(number, key, event.value, idempotency_key=event.id)
        yield from self._dead()

    def _format_of_rows(self, cuts: list[Cut], table: str | None) -> Format | None:
        """Return the format of rows, if it has some; raises for columns of chats."""
        name = table or rows.ROWS.name
        if self.form == AUTO and table != rows.CSV.name:
            found, _ = _recognized(cuts, "values", AUTO)
            if not self.options.columns.chosen and (table is None or found):
                return None
            if found not in (None, rows.ROWS.name):
                raise rows.no_rows(named(self.path), title(found), name)
        elif self.form not in (AUTO, name):
            return None
        self.title = title(name)
        self.why = "by its name" if table and self.form == AUTO else "as the user says"
        return BY_NAME[name]

    def _format(self, cuts: list[Cut], container: Container) -> Format | None:
        """Return the format of the file; None if its values are events.

        Raises:
            ConfigError: it is unknown, or another one than the user says.
        """
        found, why = _recognized(cuts, container, self.form)
        named_one = self.form if self.form != AUTO else found
        if not cuts:
            return None
        if found is None and (self.form == AUTO or self.form in BY_NAME):
            raise self._unknown()
        own = BY_NAME.get(self.form)
        is_like = own is not None and own.like == found
        if self.form not in (AUTO, found) and found is not None and not is_like:
            msg = f"{named(self.path)} contains {title(found)}, not {title(self.form)}."
            raise ConfigError(msg, f"Import it with `--format {found}`.")
        self.title, self.why = title(named_one or events.NAME), why or ""
        return BY_NAME.get(named_one or "")

    def _unknown(self) -> ConfigError:
        known = ", ".join(NAMES[1:])
        if self.form == AUTO:
            msg = f"{named(self.path)} has no known format."
        else:
            msg = f"{named(self.path)} does not contain {title(self.form)}."
        return ConfigError(msg, f"Known formats are: {known}.")

    def _events(self, cuts: Iterable[Cut]) -> Iterator[Record | TooLong]:
        """Yield the values as they are, from the first event on.

        Raises:
            ConfigError: there is no event, so nothing was produced.
        """
        held: list[Record | TooLong] = []
        size, found = 0, False
        for cut in cuts:
            record = self._unchanged(cut)
            if not found:
                held.append(record)
                size += _length(cut)
                found = isinstance(record, Record) and record.is_event
                found = found or size > HELD_BYTES_MAX
                if not found:
                    continue
                yield from held
                continue
            yield record
        if held and not found:
            msg = f"No value of {named(self.path)} is an event."
            known = ", ".join(NAMES[1:])
            raise ConfigError(msg, f"Nothing was sent. Known formats are: {known}.")

    def _unchanged(self, cut: Cut) -> Record | TooLong:
        if isinstance(cut, TooLong):
            self.ledger.met += 1
            self.ledger.leave_out("value", "is over 4 MiB")
            return cut
        return events.record_of(*cut, self._broken, self.ledger)

    def _decoded(self, cuts: Iterable[Cut]) -> Iterator[Value]:
        """Yield the JSON values; keep others for dead letters."""
        for cut in cuts:
            if isinstance(cut, TooLong):
                self.ledger.met += 1
                self.ledger.leave_out("value", "is over 256 MiB")
                continue
            number, raw = cut
            try:
                json = _decode(raw)
            except (ValueError, RecursionError):
                self.ledger.refused.append(cut)
                continue
            yield Value(number, raw, json)

    def _dead(self) -> Iterator[Record]:
        """Yield the values that no reader understands; `archive` refuses them."""
        refused, self.ledger.refused = self.ledger.refused, []
        for number, raw in refused:
            record = events.record_of(number, raw, self._broken, self.ledger)
            if isinstance(record, Record):
                yield record


def _sample(cuts: Iterator[Cut]) -> tuple[list[Cut], Iterator[Cut]]:
    """Return the first values, and all others: an error among the first comes later."""
    first: list[Cut] = []
    try:
        for cut in islice(cuts, SAMPLE_VALUES):
            first.append(cut)
    except READ_ERRORS as exc:
        return first, _raising(exc)
    return first, cuts


def _raising(exc: Exception) -> Iterator[Cut]:
    yield from ()
    raise exc


def _recognized(
    cuts: list[Cut], container: Container, given: str
) -> tuple[str | None, str | None]:
    """Return the format of the first values, and why; broken ones have none."""
    sample: list[object] = []
    for cut in cuts:
        try:
            if not isinstance(cut, TooLong):
                sample.append(_decode(cut[1]))
        except (ValueError, RecursionError):
            continue
    for start in range(len(sample)):
        if given == events.NAME:
            why = events.recognize(sample[start:], container)
        else:
            own = BY_NAME.get(given)
            why = own.recognize(sample[start:], container) if own else None
        if why is not None:
            return given, why
    return _elected([_format_at(sample[n:], container) for n in range(len(sample))])


def _format_at(
    values: list[object], container: Container
) -> tuple[str | None, str | None]:
    for form in FORMATS:
        if (why := form.recognize(values, container)) is not None:
            return form.name, why
    why = events.recognize(values, container)
    return (None if why is None else events.NAME), why


def _elected(
    found: list[tuple[str | None, str | None]],
) -> tuple[str | None, str | None]:
    """Return the format of the first value that has one, unless more have another.

    The first value may be a stray one; a file of items also has messages of chats.
    """
    known = [(name, why) for name, why in found if name is not None]
    if not known:
        return None, None
    chosen, _ = known[0]
    votes = Counter(name for name, _ in known)
    own = BY_NAME.get(chosen)
    if own is not None and own.reads_chats:
        votes.pop(GENERIC, None)
    # Any object with a role looks like a message, so this takes fewer votes.
    least = votes[chosen] + (chosen != GENERIC)
    for name, count in votes.most_common():
        if name != chosen and count >= least:
            chosen = name
            break
    return next((name, why) for name, why in known if name == chosen)


def _length(cut: Cut) -> int:
    return cut.size if isinstance(cut, TooLong) else len(cut[1])


def title(name: str) -> str:
    """Return what messages call a file of a format."""
    return events.TITLE if name == events.NAME else BY_NAME[name].title

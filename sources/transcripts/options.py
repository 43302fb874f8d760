"""What a user says about an import: values that fill in or narrow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from semloop.rows.columns import Columns
from sources.transcripts.versions import Versions


@dataclass(frozen=True, slots=True)
class Options:
    """Values for what a transcript does not say itself.

    Args:
        agent: of transcripts that name none.
        namespace: likewise.
        user: likewise.
        since: leave out events before this time.
        guess_errors: a result that begins with "Error:" is a failure.
        versions: of the transcripts of all files; None: do not look for any.
        file_time: of the first event of a session without any time.
        columns: of rows; the usual names by default.
        store: what tells rows of one file from those of others, and the session of
            rows that name none: the file's name without its end.
        stores: the file of each store of an import so far.
        where: what messages call the file.
        session: id of the session of a file whose lines do not name it.
    """

    agent: str | None = None
    namespace: str | None = None
    user: str | None = None
    since: datetime | None = None
    guess_errors: bool = True
    versions: Versions | None = None
    file_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    columns: Columns = field(default_factory=lambda: Columns({}))
    store: str = "rows"
    stores: dict[str, str] = field(default_factory=dict)
    where: str = "The file"
    session: str | None = None

"""Random events of three session ids in two namespaces, and the rows that `Sessions` makes of them."""

from collections.abc import Collection

import pyarrow as pa
from hypothesis import strategies as st

from operators.episodes.sessions import Sessions
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row, batches, event_row
from tests.operators.restored import restored
from tests.support.builders import PAYLOADS

OTHERS: dict[str, list[Row]] = {
    "tool_call": [
        {"tool": "book", "status": "error", "error_type": "Full"},
        {"tool": "search\u0000 é", "status": "success"},
    ],
    "completion": [{"outcome": "failure", "summary": "no seat"}],
    "message": [
        {"role": "assistant", "content": "", "input_tokens": 3, "output_tokens": 4}
    ],
}
CUTS = st.sets(st.integers(0, 30))


@st.composite
def an_event(draw: st.DrawFn) -> Row:
    kind = draw(st.sampled_from(["message", *PAYLOADS]))
    return event_row(
        kind,
        draw(st.sampled_from(["a", "b", "c"])),
        # Equal times, small steps and pauses, forwards and backwards.
        draw(st.sampled_from([0, 0, 1, 4, 9, 11, 20, 24, 27, 40, -5, -30])),
        payload=draw(st.sampled_from([PAYLOADS[kind], *OTHERS.get(kind, [])])),
        text=draw(
            st.sampled_from(["", "hello", "é" * 30, "é" * 400, "é" * 250 + "x" * 251])
        ),
        agent=draw(st.sampled_from(["booker", "payer"])),
        namespace=draw(st.sampled_from(["default", "default", "other"])),
        user_id=draw(st.sampled_from([None, None, "", "u-1", "u-2"])),
        task=draw(st.sampled_from([None, "fly", "pay"])),
        tags=draw(st.sampled_from([None, [], ["x"], ["x", "y"]])),
        credits_used=draw(st.sampled_from([0.0, 0.1, 1.5])),
        # Any order: restarts must not depend on it.
        kafka_s=draw(st.sampled_from([0, 0, 1, 5, 9, 12, 30, 60])),
        ingested_s=draw(st.integers(0, 60)),
    )


def run_with_positions(
    events: pa.Table,
    settings: EpisodeSettings,
    cuts: Collection[int] = (),
    restarts: Collection[int] = (),
    inactive: Collection[int] = (),
) -> tuple[list[Row], list[Row]]:
    sessions = Sessions(settings)
    rows: list[Row] = []
    found: list[Row] = []
    for number, batch in enumerate(batches(events, cuts)):
        if number in restarts:
            sessions = restored(rows, settings)
        fed = sessions.feed(batch)
        rows += fed.revisions.to_pylist()
        found += fed.episode_positions.to_pylist()
        if number in inactive:
            newest_s = batch["ingested_at"].to_pylist()[-1].timestamp()
            caught_up_ms = (newest_s + settings.delivery_max_s) * 1_000
            rows += sessions.close_inactive(caught_up_ms).to_pylist()
    return rows, found

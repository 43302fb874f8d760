"""What is in this lake, and who wrote it?"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Explore a lake")

with app.setup:
    import altair as alt
    import duckdb
    import marimo as mo
    import polars as pl

    from semloop import Lake
    from semloop.errors import SemLoopError


@app.cell(hide_code=True)
def _():
    mo.md("""
    # What is in this lake, and who wrote it?

    `Lake()` opens the lake of the settings: `SEMLOOP_LAKE`, or `./.semloop`. Each query
    reads the newest commit, so run a cell again to see new events. Results are Polars
    frames (`.pl()`).
    """)
    return


@app.cell
def _():
    try:
        lake = Lake()
        _rows = lake.sql("SELECT count(*) FROM events").fetchone()[0]
    except SemLoopError as error:
        mo.stop(True, mo.md(f"The lake cannot be opened. {error}"))
    mo.stop(
        _rows == 0,
        mo.md(
            "This lake has no events yet. Agents send them, `semloop import FILE` "
            "imports them, and the flow `archive` stores them."
        ),
    )
    return (lake,)


@app.cell
def _(lake):
    total = lake.sql("""
        SELECT count(*) AS events, count(DISTINCT agent) AS agents,
          count(DISTINCT (namespace, session_id)) AS sessions,
          min(ts) AS first, max(ts) AS last
        FROM events
    """).pl()
    letters = lake.sql("SELECT count(*) FROM dead_letters").fetchone()[0]
    mo.hstack(
        [
            mo.stat(f"{total['events'][0]:,}", label="events"),
            mo.stat(f"{total['sessions'][0]:,}", label="sessions"),
            mo.stat(total["agents"][0], label="agents"),
            mo.stat(f"{letters:,}", label="dead letters"),
            mo.stat(f"{total['last'][0]:%d %b %H:%M}", label="newest event, UTC"),
        ],
        justify="space-between",
    )
    return (total,)


@app.cell
def _(lake, total):
    # At most 60 bars, or one a day.
    seconds = (total["last"][0] - total["first"][0]).total_seconds()
    steps = {
        "second": (60, "%H:%M:%S"),
        "minute": (3_600, "%H:%M"),
        "hour": (216_000, "%d %b %H:00"),
        "day": (float("inf"), "%d %b"),
    }
    step, labels = next(
        (name, form) for name, (most, form) in steps.items() if seconds <= most
    )
    busy = lake.sql(
        "SELECT date_trunc(?, ts) AS time, type, count(*) AS events "
        "FROM events GROUP BY ALL ORDER BY ALL",
        [step],
    ).pl()
    mo.vstack(
        [
            mo.md("## When were agents at work?"),
            alt.Chart(busy, height=200, width="container")
            .mark_bar()
            .encode(
                alt.X(
                    "time:T",
                    scale=alt.Scale(type="utc"),
                    axis=alt.Axis(format=labels),
                    title=f"{step}, UTC",
                ),
                alt.Y("events:Q"),
                alt.Color("type:N"),
                tooltip=["time", "type", "events"],
            ),
        ]
    )
    return


@app.cell
def _(lake):
    sent = lake.sql("SELECT agent, type, count(*) AS events FROM events GROUP BY ALL")
    cells = alt.Chart(sent.pl(), width="container").encode(
        alt.X("type:N", title=None, axis=alt.Axis(labelAngle=0, orient="top")),
        alt.Y("agent:N", title=None),
    )
    mo.vstack(
        [
            mo.md("## What does each agent send?"),
            cells.mark_rect(opacity=0.6).encode(alt.Color("events:Q", legend=None))
            + cells.mark_text(color="black").encode(alt.Text("events:Q", format=",")),
        ]
    )
    return


@app.cell
def _(lake):
    newest = lake.sql("""
        SELECT namespace, session_id, any_value(agent) AS agent, count(*) AS events
        FROM events GROUP BY ALL ORDER BY max(ts) DESC, session_id LIMIT 200
    """).fetchall()
    session = mo.ui.dropdown(
        {f"{s} ({a}, {n} events)": (ns, s) for ns, s, a, n in newest},
        value=f"{newest[0][1]} ({newest[0][2]}, {newest[0][3]} events)",
        label="Session, newest first",
        searchable=True,
    )
    mo.vstack([mo.md("## What happened in one session?"), session])
    return (session,)


@app.cell
def _(lake, session):
    timeline = lake.sql(
        """
        SELECT ts, type, tool, coalesce(status, outcome, role) AS result,
          round(duration_ms) AS ms, text
        FROM events WHERE namespace = ? AND session_id = ? ORDER BY ts, kafka_offset
        """,
        session.value,
    ).pl()
    dots = (
        alt.Chart(timeline, height=160, width="container")
        .mark_circle(size=120)
        .encode(
            alt.X(
                "ts:T",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%H:%M:%S"),
                title="time, UTC",
            ),
            alt.Y("type:N", title=None),
            alt.Color("result:N"),
            tooltip=["ts", "type", "tool", "result", "ms", "text"],
        )
    )
    mo.vstack([dots, mo.ui.table(timeline, selection=None, page_size=12)])
    return


@app.cell
def _(lake):
    delays = lake.sql("""
        SELECT agent, count(*) AS events,
          round(quantile_cont(epoch(ingested_at) - epoch(ts), 0.5), 2) AS median_s,
          round(quantile_cont(epoch(ingested_at) - epoch(ts), 0.95), 2) AS p95_s
        FROM events GROUP BY 1 ORDER BY 1
    """).pl()
    mo.vstack(
        [
            mo.md(
                "## How fresh is the data?\n\n"
                "Seconds from the agent's clock to the commit. An import of old "
                "transcripts has old times: its delays are the ages of what was "
                "imported."
            ),
            delays,
        ]
    )
    return


@app.cell
def _(lake):
    views = pl.DataFrame(
        list(lake.views().items()), schema=["view", "question"], orient="row"
    )
    query = mo.ui.code_editor(
        "SELECT tool, count(*) AS calls, count(*) FILTER (status = 'error') AS failed\n"
        "FROM events WHERE type = 'tool_call' GROUP BY 1 ORDER BY failed DESC",
        language="sql",
        min_height=80,
    )
    mo.vstack(
        [
            mo.md("## Ask a question of your own"),
            mo.accordion({"The views": mo.ui.table(views, selection=None)}),
            query,
        ]
    )
    return (query,)


@app.cell
def _(lake, query):
    try:
        answer = mo.ui.table(lake.sql(query.value).pl(), selection=None)
    except duckdb.Error as error:
        answer = mo.md(f"DuckDB refuses the query:\n```\n{error}\n```")
    answer
    return


if __name__ == "__main__":
    app.run()

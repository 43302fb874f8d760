"""What was refused, why, and is it repaired?"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Dead letters")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl

    from semloop import Lake
    from semloop.errors import SemLoopError


@app.cell(hide_code=True)
def _():
    mo.md("""
    # What was refused, why, and is it repaired?

    A record that is not a valid event is stored as a dead letter, with its reason.
    After a repair, `semloop dlq replay` sends it again.
    """)
    return


@app.cell
def _():
    try:
        lake = Lake()
        _rows = lake.sql("SELECT count(*) FROM dead_letters").fetchone()[0]
    except SemLoopError as error:
        mo.stop(True, mo.md(f"The lake cannot be opened. {error}"))
    mo.stop(_rows == 0, mo.md("No record was refused: this lake has no dead letters."))
    return (lake,)


@app.cell
def _(lake):
    letters = lake.sql("""
        SELECT id, coalesce(agent, '(unknown)') AS agent, reason, detail, state,
          kafka_partition, kafka_offset, kafka_ts
        FROM dead_letters WHERE state != 'attempt' ORDER BY kafka_ts DESC
    """).pl()
    stored = lake.sql("SELECT count(*) FROM events").fetchone()[0]
    unresolved = letters.filter(pl.col("state") != "resolved").height
    mo.hstack(
        [
            mo.stat(f"{letters.height:,}", label="dead letters"),
            mo.stat(f"{unresolved:,}", label="not resolved"),
            mo.stat(
                f"{letters.height / (letters.height + stored):.2%}", label="of all"
            ),
            mo.stat(f"{letters['kafka_ts'].max():%d %b %H:%M}", label="newest, UTC"),
        ],
        justify="space-between",
    )
    return (letters,)


@app.cell
def _(letters):
    mo.vstack(
        [
            mo.md("## Why were records refused, and what became of them?"),
            alt.Chart(
                letters.group_by("reason", "state").agg(pl.len().alias("records")),
                width="container",
            )
            .mark_bar()
            .encode(
                alt.X("records:Q"),
                alt.Y("reason:N", sort="-x", title=None, axis=alt.Axis(labelLimit=300)),
                alt.Color("state:N"),
                tooltip=["reason", "state", "records"],
            ),
        ]
    )
    return


@app.cell
def _(letters):
    mo.vstack(
        [
            mo.md(
                "## Which field was wrong?\n\n"
                "`detail` names the field, what it got and what is allowed, "
                "never its text. Correct the producer first, or its next "
                "records are refused, too."
            ),
            mo.ui.table(
                letters.group_by("agent", "reason", "detail")
                .agg(
                    pl.len().alias("records"),
                    (pl.col("state") != "resolved").sum().alias("not resolved"),
                    pl.col("kafka_ts").max().alias("newest"),
                )
                .sort("records", "newest", descending=True),
                selection=None,
                page_size=12,
            ),
        ]
    )
    return


@app.cell
def _(lake):
    hours = lake.sql("""
        SELECT coalesce(agent, '(unknown)') AS agent,
          date_trunc('hour', kafka_ts) AS hour,
          count(*) FILTER (is_refused) AS refused, count(*) AS records,
          refused / records AS share
        FROM (
          SELECT agent, kafka_ts, true AS is_refused FROM dead_letters
          WHERE state != 'attempt'
          UNION ALL SELECT agent, kafka_ts, false FROM events
        ) GROUP BY ALL ORDER BY hour, agent
    """).pl()
    # An agent in whose records nothing was refused is not of interest here.
    concerned = hours.filter(pl.col("refused").sum().over("agent") > 0)
    mo.vstack(
        [
            mo.md("## Whose records are refused, and is it over?"),
            alt.Chart(concerned, width="container", height=130)
            .mark_line(point=True)
            .encode(
                alt.X(
                    "hour:T",
                    scale=alt.Scale(type="utc"),
                    axis=alt.Axis(format="%d %b %H:00"),
                    title="hour, UTC",
                ),
                alt.Y("share:Q", axis=alt.Axis(format="%"), title="refused"),
                alt.Color("agent:N"),
                tooltip=["hour", "agent", "refused", "records"],
            ),
        ]
    )
    return


@app.cell
def _(letters):
    record = mo.ui.dropdown(
        {
            f"{row['reason']}, {row['kafka_partition']}/{row['kafka_offset']}": row
            for row in letters.head(200).to_dicts()
        },
        value=f"{letters['reason'][0]}, "
        f"{letters['kafka_partition'][0]}/{letters['kafka_offset'][0]}",
        label="Record, newest first",
        searchable=True,
    )
    mo.vstack([mo.md("## What was in a record?"), record])
    return (record,)


@app.cell
def _(lake, record):
    # Redacted before it was stored; of a record above the size limit nothing is.
    raw = lake.sql(
        "SELECT raw FROM dead_letters WHERE id = ?", [record.value["id"]]
    ).fetchone()[0]
    content = (raw or b"").decode("utf-8", "backslashreplace")
    mo.vstack(
        [
            mo.md(f"`{record.value['detail']}`"),
            mo.plain_text(content[:4_000] or "(not stored: above the size limit)"),
        ]
    )
    return


@app.cell
def _(record):
    condition = f"reason = '{record.value['reason']}'"
    mo.md(f"""
    ## How are they repaired?

    Write a function that returns the repaired record, for example in `repair.py`:

    ```python
    def transform(record):
        record.setdefault("meta", {{}}).setdefault("session_id", "unknown")
        return record
    ```

    Try it on all records with the reason above, and run it without `--dry-run` then:

    ```sh
    semloop dlq replay --where "{condition}" --transform repair.py --dry-run
    ```
    """)
    return


if __name__ == "__main__":
    app.run()

"""Which agents are worth their cost, and what holds them back?"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Cost and reliability of a fleet")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl

    from semloop import Lake
    from semloop.errors import SemLoopError


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Which agents are worth their cost, and what holds them back?

    These views are sums that the flow `metrics` adds up every second or two, so they
    are fast on large lakes. `leaderboard` and `tool_failures` are of the last 30 days.
    """)
    return


@app.cell
def _():
    try:
        lake = Lake()
        _rows = lake.sql("SELECT count(*) FROM agent_metrics").fetchone()[0]
    except SemLoopError as error:
        mo.stop(True, mo.md(f"The lake cannot be opened. {error}"))
    mo.stop(
        _rows == 0,
        mo.md(
            "This lake has no metrics yet. The flow `metrics` adds up its events; "
            "`semloop up` runs it."
        ),
    )
    return (lake,)


@app.cell
def _(lake):
    board = lake.sql("""
        SELECT namespace, agent, completions, success_rate, success_at_least,
          success_at_most, credits_used, credits_per_success, money_per_success,
          tool_calls, tool_failures, duration_p95_ms
        FROM leaderboard ORDER BY success_at_least DESC NULLS LAST, agent
    """).pl()
    mo.stop(board.is_empty(), mo.md("No agent was at work in the last 30 days."))
    return (board,)


@app.cell
def _(board):
    judged = board.filter(pl.col("completions") > 0)
    mo.stop(judged.is_empty(), mo.md("No agent has reported a completion yet."))
    rates = alt.Chart(judged, width="container").encode(
        alt.Y("agent:N", sort=None, title=None)
    )
    percent = alt.Axis(format="%")
    mo.vstack(
        [
            mo.md(
                "## Which agents succeed?\n\n"
                "The lines are Wilson intervals for 95 %. Where two overlap, "
                "more episodes are needed to tell which agent is better."
            ),
            rates.mark_rule(strokeWidth=2).encode(
                alt.X(
                    "success_at_least:Q",
                    axis=percent,
                    scale=alt.Scale(zero=False),
                    title="success",
                ),
                alt.X2("success_at_most:Q"),
            )
            + rates.mark_circle(size=110, opacity=1).encode(
                alt.X("success_rate:Q"),
                tooltip=["namespace", "agent", "completions", "success_rate"],
            ),
        ]
    )
    return


@app.cell
def _(board):
    mo.vstack(
        [
            mo.md("## What does a success cost?"),
            mo.ui.table(
                board.select(
                    "agent",
                    pl.col("credits_per_success").round(5),
                    pl.col("money_per_success").round(4),
                    "completions",
                    pl.col("success_rate").round(3),
                    pl.col("credits_used").round(4),
                    "namespace",
                ).sort("credits_per_success", descending=True, nulls_last=True),
                selection=None,
            ),
        ]
    )
    return


@app.cell
def _(lake):
    costs = lake.sql("""
        SELECT day, coalesce(team, namespace) AS team, agent, model,
          any_value(price) AS price, sum(credits_used) AS credits, sum(money) AS money,
          sum(input_tokens)::BIGINT AS input_tokens,
          sum(output_tokens)::BIGINT AS output_tokens
        FROM cost_by_namespace GROUP BY ALL ORDER BY ALL
    """).pl()
    unpriced = costs.filter(pl.col("price") == "missing")["model"].unique().sort()
    by_agent = (
        alt.Chart(costs, width=alt.Step(60), height=200)
        .mark_bar()
        .encode(
            alt.X(
                "yearmonthdate(day):O", title="day, UTC", axis=alt.Axis(labelAngle=0)
            ),
            alt.Y("sum(credits):Q", title="credits"),
            alt.Color("agent:N"),
            tooltip=["day", "agent", "sum(credits)"],
        )
    )
    known = costs.filter(pl.col("price") == "known")
    by_model = known.group_by("team", "model").agg(
        pl.col("input_tokens", "output_tokens", "money").sum()
    )
    missing = "The setting `model_prices` has no price for: " + ", ".join(unpriced)
    mo.vstack(
        [
            mo.md("## Where does the money go?"),
            by_agent,
            mo.ui.table(by_model.sort("money", descending=True), selection=None)
            if by_model.height
            else mo.md("No tokens with a known price."),
            mo.md(f"{missing}." if unpriced.len() else ""),
        ]
    )
    return


@app.cell
def _(lake):
    agents = lake.sql(
        "SELECT DISTINCT agent FROM metrics_by_agent ORDER BY 1"
    ).fetchall()
    chosen = mo.ui.multiselect(
        [name for (name,) in agents],
        value=[name for (name,) in agents[:5]],
        label="Agents",
    )
    mo.vstack([mo.md("## When did calls fail, or take long?"), chosen])
    return (chosen,)


@app.cell
def _(chosen, lake):
    minutes = lake.sql(
        """
        SELECT minute, agent, sum(tool_calls)::BIGINT AS calls,
          sum(tool_failures)::BIGINT AS failed, max(duration_p95_ms) AS p95_ms
        FROM metrics_by_agent
        WHERE list_contains($agents, agent) AND minute > (
          SELECT max(minute) - INTERVAL 1 DAY FROM metrics_by_agent)
        GROUP BY ALL HAVING calls > 0 ORDER BY ALL
        """,
        {"agents": chosen.value},
    ).pl()
    mo.stop(minutes.is_empty(), mo.md("These agents called no tools."))
    shares = minutes.with_columns((pl.col("failed") / pl.col("calls")).alias("failing"))
    lines = (
        alt.Chart(shares, width="container", height=130)
        .mark_line(point=True)
        .encode(
            alt.X(
                "minute:T",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%H:%M"),
                title="minute, UTC",
            ),
            alt.Color("agent:N"),
            tooltip=["minute", "agent", "calls", "failed", "p95_ms"],
        )
    )
    # The last day with events; a date that is over is rolled up to one point.
    mo.vstack(
        [
            lines.encode(alt.Y("failing:Q", axis=alt.Axis(format="%"))),
            lines.encode(alt.Y("p95_ms:Q", title="p95, ms")),
        ]
    )
    return


@app.cell
def _(lake):
    failures = lake.sql("""
        SELECT tool || ': ' || error_type AS failure,
          coalesce(next_tool, '(nothing)') AS then_tried,
          sum(tool_failures)::BIGINT AS failed, sum(helped)::BIGINT AS helped
        FROM tool_failures WHERE tool IS NOT NULL
        GROUP BY ALL ORDER BY failed DESC LIMIT 25
    """).pl()
    mo.stop(failures.is_empty(), mo.md("No call of a tool has failed."))
    ends = failures.with_columns(
        (pl.col("failed") - pl.col("helped")).alias("did not help")
    ).unpivot(
        ["helped", "did not help"],
        index=["failure", "then_tried"],
        variable_name="next call",
        value_name="failures",
    )
    bars = (
        alt.Chart(ends, width="container")
        .mark_bar()
        .encode(
            alt.X("sum(failures):Q", title="failed calls"),
            alt.Y("failure:N", sort="-x", title=None, axis=alt.Axis(labelLimit=300)),
            alt.Color("next call:N", scale=alt.Scale(range=["#c8553d", "#4c9f70"])),
            tooltip=["failure", "then_tried", "next call", "failures"],
        )
    )
    mo.vstack(
        [
            mo.md("## Which tools fail, and what helps?"),
            bars,
            mo.ui.table(failures, selection=None, page_size=8),
        ]
    )
    return


@app.cell
def _(lake):
    versions = lake.sql("""
        SELECT agent, agent_version, first_minute, completions,
          round(success_rate, 3) AS success, round(success_at_least, 3) AS at_least,
          round(success_at_most, 3) AS at_most,
          round(credits_per_success, 5) AS credits_per_success,
          round(duration_p50_ms) AS p50_ms
        FROM metrics_by_version WHERE agent_version IS NOT NULL
        ORDER BY agent, first_minute
    """).pl()
    mo.stop(
        versions.is_empty(),
        mo.md('No agent gives its version: `Agent("travel", version="1.4.0")` does.'),
    )
    mo.vstack(
        [mo.md("## Is the new version better?"), mo.ui.table(versions, selection=None)]
    )
    return


if __name__ == "__main__":
    app.run()

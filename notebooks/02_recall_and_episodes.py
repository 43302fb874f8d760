"""Has an agent met this before, and how did it end?"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Recall and episodes")

with app.setup:
    import json

    import altair as alt
    import marimo as mo
    import polars as pl

    from semloop import Lake
    from semloop.errors import SemLoopError

    # How much each part of a score counts, as `Lake.recall` documents.
    WEIGHTS = {
        "similarity": 3, "keyword": 1, "keyword_context": 1, "neighbours": 1,
        "session": 1,
    }  # fmt: skip
    OUTCOMES = alt.Color(
        "outcome:N",
        scale=alt.Scale(
            domain=["success", "partial", "failure", "none"],
            range=["#4c9f70", "#e0b040", "#c8553d", "#b0b0b0"],
        ),
    )


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Has an agent met this before, and how did it end?

    An episode is the work on one task. `recall` finds events and episodes by meaning
    and by words, and each hit has the outcome and the reward of its episode.
    """)
    return


@app.cell
def _():
    try:
        lake = Lake()
        _rows = lake.sql("SELECT count(*) FROM episodes").fetchone()[0]
    except SemLoopError as error:
        mo.stop(True, mo.md(f"The lake cannot be opened. {error}"))
    mo.stop(
        _rows == 0,
        mo.md(
            "This lake has no episodes yet. The flow `memory` makes them from events; "
            "`semloop up` runs it."
        ),
    )
    return (lake,)


@app.cell
def _(lake):
    episodes = lake.sql("""
        SELECT agent, task_type, coalesce(outcome, 'none') AS outcome,
          reward, base, efficiency, quality, request, ended_at
        FROM episodes ORDER BY ended_at DESC
    """).pl()
    return (episodes,)


@app.cell
def _(episodes):
    kinds = (
        episodes.with_columns(pl.col("task_type").fill_null("(none)"))
        .group_by("task_type", "outcome")
        .agg(pl.len().alias("episodes"), pl.col("reward").mean().round(3))
        .sort("task_type", "outcome")
    )
    mo.vstack(
        [
            mo.md("## Which kinds of task go well?"),
            alt.Chart(kinds, width="container")
            .mark_bar()
            .encode(
                alt.X("episodes:Q"),
                alt.Y("task_type:N", title=None),
                OUTCOMES,
                tooltip=["task_type", "outcome", "episodes", "reward"],
            ),
        ]
    )
    return


@app.cell
def _(episodes):
    factors = (
        episodes.filter(pl.col("reward").is_not_null())
        .group_by("agent")
        .agg(pl.col("base", "efficiency", "quality", "reward").mean())
        .unpivot(index="agent", variable_name="factor", value_name="mean")
        .drop_nulls()
    )
    shades = alt.Chart(factors, width="container").encode(
        alt.X(
            "factor:N",
            title=None,
            sort=["base", "efficiency", "quality", "reward"],
            axis=alt.Axis(labelAngle=0, orient="top"),
        ),
        alt.Y("agent:N", title=None),
    )
    mo.stop(factors.is_empty(), mo.md("No episode has a reward yet."))
    mo.vstack(
        [
            mo.md(
                "## What lowers the reward?\n\n"
                "The reward that an agent gives itself is taken as it is. "
                "Without one, it is the product of these factors. Means of "
                "closed episodes:"
            ),
            shades.mark_rect(opacity=0.6).encode(
                alt.Color(
                    "mean:Q", legend=None, scale=alt.Scale(scheme="redyellowgreen")
                )
            )
            + shades.mark_text().encode(alt.Text("mean:Q", format=".2f")),
        ]
    )
    return


@app.cell
def _(episodes, lake):
    mo.stop(
        not lake.has_memories()
        or lake.sql("SELECT count(*) FROM memories").fetchone() == (0,),
        mo.md("This lake has no memories yet. The flow `memory` writes them."),
    )
    asked = episodes.filter(pl.col("request").is_not_null())
    failed = asked.filter(pl.col("outcome") == "failure")
    example = next(iter((*failed["request"], *asked["request"])), "a failed tool call")
    problem = mo.ui.text(example, label="Problem", full_width=True)
    kind = mo.ui.dropdown(["any", "event", "episode"], value="any", label="Kind")
    count = mo.ui.slider(5, 50, value=10, label="Hits", show_value=True)
    mo.vstack(
        [
            mo.md(
                "## What resembles a problem?\n\n"
                "The text is the request of the newest episode that did not "
                "succeed; write your own."
            ),
            problem,
            mo.hstack([kind, count], justify="start", gap=2),
        ]
    )
    return count, kind, problem


@app.cell
def _(count, kind, lake, problem):
    mo.stop(not problem.value.strip(), mo.md("Write what to look for."))
    found = pl.from_arrow(
        lake.recall(
            problem.value,
            k=count.value,
            kind=None if kind.value == "any" else kind.value,
        )
    )
    mo.stop(found.is_empty(), mo.md("No memory matches: use other words."))
    shown = found.select(
        "rank", pl.col("score").round(2), "agent", "kind", "outcome", "reward", "text"
    )
    mo.ui.table(shown, selection=None, page_size=10)
    return (found,)


@app.cell
def _(found):
    parts = (
        found.select(
            pl.format("{}. {}", "rank", pl.col("text").str.slice(0, 50)).alias("hit"),
            "rank",
            *(
                pl.col(part) * weight * pl.col("decay")
                for part, weight in WEIGHTS.items()
            ),
        )
        .unpivot(index=["rank", "hit"], variable_name="part", value_name="score")
        .sort("rank")
    )
    alt.Chart(parts, width="container", title="Why these?").mark_bar().encode(
        alt.X("score:Q"),
        alt.Y("hit:N", title=None, sort=None, axis=alt.Axis(labelLimit=320)),
        alt.Color("part:N", sort=list(WEIGHTS)),
        tooltip=["hit", "part", "score"],
    )
    return


@app.cell
def _(lake, problem):
    compared = lake.sql(
        """
        WITH near AS (SELECT DISTINCT episode_id FROM recall($query, k := 200)),
        both_groups AS (
          SELECT 'similar' AS episodes, outcome, reward FROM episodes SEMI JOIN near
            USING (episode_id)
          UNION ALL SELECT 'all', outcome, reward FROM episodes
        )
        SELECT episodes, coalesce(outcome, 'none') AS outcome, count(*) AS n,
          avg(reward) AS reward
        FROM both_groups GROUP BY ALL ORDER BY ALL
        """,
        {"query": problem.value},
    ).pl()
    shares = compared.with_columns(
        (pl.col("n") / pl.col("n").sum().over("episodes")).alias("share")
    )
    mo.vstack(
        [
            mo.md(
                "## Do such episodes end worse than others?\n\n"
                "Episodes among the 200 best hits, next to all episodes. In "
                "SQL, `recall` is a table and joins with facts."
            ),
            alt.Chart(shares, width="container", height=90)
            .mark_bar()
            .encode(
                alt.X("share:Q", axis=alt.Axis(format="%")),
                alt.Y("episodes:N", title=None),
                OUTCOMES,
                tooltip=["episodes", "outcome", "n", "share", "reward"],
            ),
        ]
    )
    return


@app.cell
def _(found, lake):
    ids = found["episode_id"].drop_nulls().unique(maintain_order=True).to_list()
    candidates = lake.sql(
        """
        SELECT session_id, coalesce(outcome, state), step_log FROM episodes
        WHERE list_contains($ids, episode_id) ORDER BY list_position($ids, episode_id)
        """,
        {"ids": ids},
    ).fetchall()
    mo.stop(not candidates, mo.md("The episodes of these hits have expired."))
    episode = mo.ui.dropdown(
        {f"{session} ({outcome})": log for session, outcome, log in candidates},
        value=f"{candidates[0][0]} ({candidates[0][1]})",
        label="Episode, best hit first",
    )
    mo.vstack([mo.md("## How did a similar episode go, step by step?"), episode])
    return (episode,)


@app.cell
def _(episode):
    # Steps of different types have different fields.
    steps = pl.DataFrame(json.loads(episode.value), infer_schema_length=None)
    mo.ui.table(steps, selection=None, page_size=12)
    return


if __name__ == "__main__":
    app.run()

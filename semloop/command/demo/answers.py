"""Example questions to the demo's lake, each with its SQL."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semloop.command.terminal.output import Format, print_rows
from semloop.command.terminal.printing import say
from semloop.lake.lake import Lake


@dataclass(frozen=True)
class Question:
    """A question as text and as SQL."""

    text: str
    sql: str


QUESTIONS = (
    Question(
        "Which tools fail, and how often did the next tool succeed?",
        """\
SELECT tool, count(*) AS calls, count_if(status = 'error') AS failed,
  mode(error_type) AS mostly,
  mode(next_tool) FILTER (status = 'error') AS then_tried,
  count_if(status = 'error' AND next_status = 'success') AS helped
FROM (
  SELECT *, lead(tool) OVER run AS next_tool,
    lead(status) OVER run AS next_status
  FROM events WHERE type = 'tool_call'
  WINDOW run AS (PARTITION BY namespace, session_id ORDER BY kafka_offset))
GROUP BY tool ORDER BY failed DESC, tool LIMIT 6""",
    ),
    Question(
        "How successful is each agent, and at what cost?",
        """\
SELECT agent, count(DISTINCT (namespace, session_id)) AS sessions,
  round(100 * avg((outcome = 'success')::INT))::INT AS success_pct,
  round(avg(reward), 2) AS reward, round(avg(score), 2) AS helpful,
  sum(input_tokens + output_tokens)::BIGINT AS tokens,
  round(sum(credits_used), 2) AS credits
FROM events GROUP BY agent HAVING count(outcome) > 0 ORDER BY reward DESC""",
    ),
    Question(
        "Which tools are slow?",
        """\
SELECT tool, count(*) AS calls, median(duration_ms)::INT AS p50_ms,
  quantile_cont(duration_ms, 0.95)::INT AS p95_ms
FROM events WHERE type = 'tool_call' GROUP BY tool ORDER BY p95_ms DESC LIMIT 5""",
    ),
    Question(
        "How are cards, accounts and addresses stored? Equal values stay equal:",
        """\
SELECT agent, min(text) AS what_a_user_wrote FROM events
WHERE role = 'user' AND text LIKE '%<%' GROUP BY agent ORDER BY agent""",
    ),
    Question(
        "What happened in session {session}?",
        """\
SELECT strftime(ts, '%H:%M:%S.%g') AS utc, type, duration_ms::INT AS ms, text
FROM events WHERE session_id = '{session}' ORDER BY kafka_offset""",
    ),
    Question(
        "Which similar situations occurred before, and how did they end?",
        """\
SELECT round(score, 2) AS score, kind, reward, outcome, "count", text
FROM recall('a payment that did not go through', k := 5)""",
    ),
    Question(
        "Which records were rejected, and why?",
        """\
SELECT reason, count(*) AS records, min(detail) AS detail
FROM dead_letters GROUP BY reason ORDER BY records DESC, reason""",
    ),
)

# Prefer a successful session in which one tool failed and another one succeeded.
STORY = """\
SELECT session_id FROM events
GROUP BY namespace, session_id HAVING count(outcome) > 0
ORDER BY max(outcome) = 'success' AND count_if(status = 'error') = 1 DESC, session_id
LIMIT 1"""

NEXT = (
    "show {session}",
    "recall 'a seat that was sold out' -k 3",
    "dlq ls",
    "tail -n 5 --no-follow",
    'sql "DESCRIBE events"',
    "sql",
)


def answer(lake: Lake, session_id: str, questions: Sequence[Question]) -> None:
    """Print each question, its SQL and the result as a table."""
    for question in questions:
        sql = question.sql.format(session=session_id)
        say(f"\n{question.text.format(session=session_id)}", style="bold")
        say(sql, style="dim")
        relation = lake.sql(sql)
        print_rows(relation.columns, relation.fetchall(), Format.TABLE)


def story(lake: Lake) -> str:
    """Return the id of a session in which a fallback helped, if there is one."""
    (session_id,) = lake.sql(STORY).fetchall()[0]
    return str(session_id)


def print_next(folder: str, session_id: str) -> None:
    """Print commands that can be copied and run unchanged."""
    say("\nTry next", style="bold")
    semloop = _semloop()
    for command in NEXT:
        arguments = command.format(session=session_id)
        say(f"  SEMLOOP_LAKE={folder} {semloop} {arguments}")
    say(f"Your own agents: `{semloop} up`, then semloop.Agent; see docs/agents.md")


def _semloop() -> str:
    """Return the command name if it is on the PATH, else the path just used."""
    called = Path(sys.argv[0])
    by_name = called.name != "semloop" or shutil.which("semloop")
    return "semloop" if by_name else shlex.quote(str(called))

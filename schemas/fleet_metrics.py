"""The metrics of agents, tools and costs.

`archive` says what became of records; `metrics` counts what it adds up to
`agent_metrics`, so these count once what happened in the last day, when it is added up.
"""

from semloop.metric_declaration import Metric

# From a look-up to a call that waits for a person. A duration is within 1 %, and in one
# of these buckets.
TOOL_SECONDS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
)  # fmt: skip

FLEET = (
    Metric(
        "semloop_agent_records_total", "counter", "records",
        ("flow", "agent", "result"),
        "What became of the records of each agent: accepted, refused (a dead letter), "
        "or duplicate.",
        "Refused ones: `semloop dlq ls --agent`. Duplicates: its producer retries.",
        bounded="agent",
    ),
    Metric(
        "semloop_agent_events_total", "counter", "events", ("flow", "agent"),
        "Events of each agent.",
        "Flat while the agent works: `semloop spool` shows what it has not sent.",
        bounded="agent",
    ),
    Metric(
        "semloop_agent_errors_total", "counter", "events", ("flow", "agent"),
        "Events `error` of each agent.",
        "Rising: `semloop top`, then `semloop show` of one of its sessions.",
        bounded="agent",
    ),
    Metric(
        "semloop_agent_completions_total", "counter", "events",
        ("flow", "agent", "outcome"),
        "Completions of each agent: success, partial or failure.",
        "Failures rising: compare versions in the view `metrics_by_version`.",
        bounded="agent",
    ),
    Metric(
        "semloop_tool_calls_total", "counter", "calls", ("flow", "tool"),
        "Calls of each tool.",
        "Compare with its failures and seconds.",
        bounded="tool",
    ),
    Metric(
        "semloop_tool_failures_total", "counter", "calls", ("flow", "tool"),
        "Calls of each tool that failed.",
        "Rising: the view `tool_failures` says what fails, and what helped.",
        bounded="tool",
    ),
    Metric(
        "semloop_tool_seconds", "histogram", "seconds", ("flow", "tool"),
        "Duration of the calls of each tool, where the agent reports one.",
        "Rising: the tool is slow, or asked for more; `metrics_by_tool` has minutes.",
        TOOL_SECONDS, "tool",
    ),
    Metric(
        "semloop_credits_total", "counter", "credits", ("flow", "namespace"),
        "Credits that the agents of each namespace report.",
        "A spike: `semloop top` and the view `cost_by_namespace` say who.",
        bounded="namespace",
    ),
    Metric(
        "semloop_tokens_total", "counter", "tokens", ("flow", "model", "kind"),
        "Tokens of each model: input and output; cached ones are a part of the input, "
        "reasoning ones of the output.",
        "A spike: the view `cost_by_namespace` says who, and what it costs.",
        bounded="model",
    ),
)  # fmt: skip

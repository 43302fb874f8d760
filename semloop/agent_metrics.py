"""The columns of the table `agent_metrics`, and the buckets of durations.

A row has the sums of the events with equal `KEYS`. Sums of integers and of decimals are
exact, so it does not matter in which order, or in how many steps, rows are added up.

The duration of a tool call is one of the keys, as the number of a bucket of DDSketch
(Masson, Rim, Lee 2019, https://arxiv.org/abs/1908.10693): bucket `b` has the durations
in (`GAMMA` ** (b - 1), `GAMMA` ** b] milliseconds. What is shown for them, 2 * `GAMMA`
** b / (`GAMMA` + 1), differs from each by at most `RELATIVE_ERROR`.
"""

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
# Durations, in milliseconds, beyond which all have the same bucket: 1 us and 31 years.
DURATION_MS_MIN, DURATION_MS_MAX = 1e-3, 1e12
# Credits of an event beyond this count as this: a sum has 29 digits before the point.
CREDITS_MAX = 1e18
_DECIMAL_INTEGER, _DECIMAL = "DECIMAL(38,0)", "DECIMAL(38,9)"

# Once its date is rolled up, `minute` is the first one of its day, UTC.
KEYS = {
    "minute": "TIMESTAMPTZ",
    "namespace": "VARCHAR",
    "agent": "VARCHAR",
    "agent_version": "VARCHAR",
    "user_id": "VARCHAR",
    "tool": "VARCHAR",
    "model": "VARCHAR",
    "duration_bucket": "INTEGER",
}
# What each count counts: events with this value in this column.
COUNTED = {
    "messages": ("type", "message"),
    "tool_calls": ("type", "tool_call"),
    "tool_failures": ("status", "error"),
    "errors": ("type", "error"),
    "state_changes": ("type", "state_change"),
    "completions": ("type", "completion"),
    "successes": ("outcome", "success"),
    "partials": ("outcome", "partial"),
    "failures": ("outcome", "failure"),
    "feedback": ("type", "feedback"),
    "tool_starts": ("type", "tool_start"),
}
# Agents may report any number of tokens: the sum of two may exceed 64 bits.
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
SUMS = {
    "events": "BIGINT",
    **dict.fromkeys(COUNTED, "BIGINT"),
    "credits_used": _DECIMAL,
    **dict.fromkeys(TOKENS, _DECIMAL_INTEGER),
}

"""What each column of the views of metrics means, with its unit."""

_RATES = {
    "success_rate": "Share of the completions with the outcome success.",
    "success_at_least": "Lower end of the interval of the success rate, for 95 %.",
    "success_at_most": "Upper end of the interval.",
}
_DURATIONS = {
    "duration_p50_ms": "Median duration of tool calls, in milliseconds, within 1 %.",
    "duration_p95_ms": "Duration that 95 % of the tool calls do not exceed.",
    "duration_p99_ms": "Duration that 99 % of the tool calls do not exceed.",
}
_TOOLS = {
    "tool_calls": "Number of tool calls.",
    "tool_failures": "Number of tool calls with the status error.",
}
_COUNTS = {
    "events": "Number of events.",
    **_TOOLS,
    "errors": "Number of error events.",
}
_OUTCOMES = {
    "completions": "Number of completions.",
    "successes": "Number of completions with the outcome success.",
}
_OTHER_OUTCOMES = {
    "partials": "Number of completions with the outcome partial.",
    "failures": "Number of completions with the outcome failure.",
}
_MESSAGES = {"messages": "Number of messages."}
_CREDITS = {"credits_used": "Sum of the events' credits."}
_PER_SUCCESS = {"credits_per_success": "Credits divided by successes."}
_TOKENS = {
    "input_tokens": "Sum of the tokens that models read.",
    "output_tokens": "Sum of the tokens that models wrote.",
    "cached_tokens": "Sum of the input tokens that a cache had.",
    "reasoning_tokens": "Sum of the output tokens that models only thought.",
}
_NAMESPACE = {"namespace": "Tenant or application."}
_AGENT = {"agent": "Name of the agent."}
_MINUTE = {
    "minute": "Beginning of the minute, by the events' own time; of the day, UTC, once "
    "its date is rolled up.",
}

AGENT_METRICS = {
    **_MINUTE,
    **_NAMESPACE,
    **_AGENT,
    "agent_version": "Version of the agent.",
    "user_id": "User that the agent worked for.",
    "tool": "Name of the tool; tool calls only.",
    "model": "Language model that wrote the messages.",
    "duration_ms": "Duration of the tool calls, in milliseconds, within 1 %.",
    **_COUNTS,
    **_MESSAGES,
    "state_changes": "Number of state changes.",
    **_OUTCOMES,
    **_OTHER_OUTCOMES,
    "feedback": "Number of ratings.",
    "tool_starts": "Number of reports of tool calls that run for long.",
    "credits_used": "Sum of the events' credits, counted to a billionth.",
    **_TOKENS,
}
METRICS_BY_AGENT = {
    **_MINUTE,
    **_NAMESPACE,
    **_AGENT,
    **_COUNTS,
    **_MESSAGES,
    **_OUTCOMES,
    **_OTHER_OUTCOMES,
    **_CREDITS,
    **_TOKENS,
    **_DURATIONS,
}
METRICS_BY_TOOL = {
    **_MINUTE,
    **_NAMESPACE,
    "tool": "Name of the tool.",
    **_TOOLS,
    **_CREDITS,
    **_DURATIONS,
}
METRICS_BY_VERSION = {
    **_NAMESPACE,
    **_AGENT,
    "agent_version": "Version of the agent; NULL if it tells none.",
    "first_minute": "Minute of the first event.",
    "last_minute": "Minute of the last event.",
    **_COUNTS,
    **_OUTCOMES,
    **_RATES,
    **_CREDITS,
    **_PER_SUCCESS,
    **_DURATIONS,
}
COST_BY_NAMESPACE = {
    "day": "Day by the events' own time, UTC.",
    "team": "Team of the namespace, a setting.",
    "project": "Project of the namespace, a setting.",
    **_NAMESPACE,
    **_AGENT,
    "user_id": "User that the agent worked for.",
    "model": "Language model; NULL for events without one.",
    "events": "Number of events.",
    **_CREDITS,
    **_TOKENS,
    "price": "known, or missing in the settings; NULL without tokens.",
    "money": "What the tokens cost, in the currency of the prices; NULL without "
    "tokens, and if the price is missing.",
}
LEADERBOARD = {
    **_NAMESPACE,
    **_AGENT,
    **_COUNTS,
    **_OUTCOMES,
    **_RATES,
    **_CREDITS,
    **_PER_SUCCESS,
    "money": "What the tokens cost; NULL without tokens, and if the price of a model "
    "is missing.",
    "money_per_success": "Money divided by successes.",
    **_DURATIONS,
}
REFUSED_EVENTS = {
    "minute": "Minute of Kafka's timestamps of the records.",
    "agent": "Agent of the records; NULL where it could not be read.",
    "reason": "Code of the reason; docs/reference/dead-letters.md lists them.",
    "refused": "Number of records that became dead letters.",
    "unresolved": "Number of those that are not resolved.",
}
TOOL_FAILURES = {
    **_NAMESPACE,
    "tool": "Name of the tool that failed.",
    "error_type": "Class of the error.",
    "next_tool": "Tool of the next call in the session; NULL if there was none.",
    "tool_failures": "Number of failed calls that this tool was called after.",
    "helped": "How often the next call succeeded.",
    "last_at": "Time of the last of these failures.",
}
SESSIONS_NOW = {
    **_NAMESPACE,
    "session_id": "Id of the session.",
    **_AGENT,
    "user_id": "User of the events; NULL if none or several are named.",
    "task": "Task in words.",
    "started_at": "Time of the earliest event.",
    "last_at": "Time of the latest event.",
    "idle": "Time since then.",
    "last_step": "Text of the latest message, tool call or error, shortened.",
    "steps": "Number of tool calls, state changes and errors.",
    **_COUNTS,
    **_CREDITS,
    "episode_id": "Id of the episode.",
}

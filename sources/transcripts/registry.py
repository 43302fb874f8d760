"""All formats of transcripts, those with the most telling signs first."""

from sources.transcripts import (
    ai_sdk,
    anthropic,
    atif,
    claude_code,
    codex,
    langchain,
    langfuse,
    langsmith,
    openai_chat,
    openai_responses,
    openhands,
    otlp,
    rows,
    sharegpt,
    swe_agent,
)
from sources.transcripts.format import Format

FORMATS: tuple[Format, ...] = (
    otlp.FORMAT,
    atif.FORMAT,
    claude_code.FORMAT,
    codex.FORMAT,
    langsmith.FORMAT,
    langfuse.FORMAT,
    swe_agent.FORMAT,
    openhands.FORMAT,
    openai_responses.FORMAT,
    langchain.FORMAT,
    anthropic.FORMAT,
    ai_sdk.FORMAT,
    sharegpt.FORMAT,
    openai_chat.FORMAT,
    rows.ROWS,
    rows.CSV,
    rows.YAML,
)
BY_NAME = {form.name: form for form in FORMATS}

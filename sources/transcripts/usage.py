"""The model that answered and the tokens that it took, in the words of all tools.

`input` counts all tokens that a model read, those of a cache too, and `output` all that
it wrote, those of its reasoning too; `cached` and `reasoning` are parts of these. Some
tools count the parts apart. Their sum tells which way it is; without it, the names do.
"""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

_USAGES = ("usage", "usage_metadata", "token_usage", "usageDetails", "metrics")
_INPUT = (
    "input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "input",
    "promptTokenCount", "prompt_token_count",
)  # fmt: skip
_OUTPUT = (
    "output_tokens", "completion_tokens", "outputTokens", "completionTokens", "output",
    "candidatesTokenCount", "completion_token_count",
)  # fmt: skip
_TOTAL = ("total_tokens", "totalTokens", "total", "totalTokenCount")
# Names next to the input that count a part of it apart, as Anthropic and Langfuse do.
_READ_APART = (
    "cache_read_input_tokens", "input_cached_tokens", "input_cache_read",
    "input_cache_read_tokens", "cacheReadInputTokens",
)  # fmt: skip
_WRITTEN_APART = (
    "cache_creation_input_tokens", "input_cache_creation", "input_cache_write",
    "input_cache_creation_tokens", "cacheWriteInputTokens",
)  # fmt: skip
_READ = (
    *_READ_APART, "cached_tokens", "cached_input_tokens", "cachedInputTokens",
    "cache_read_tokens", "cacheReadTokens", "cache_read", "cachedContentTokenCount",
    "cached_content_token_count", "prompt_cache_hit_tokens",
)  # fmt: skip
_WRITTEN = (
    *_WRITTEN_APART, "cache_write_tokens", "cacheWriteTokens", "cache_creation",
    "cacheCreationInputTokens",
)  # fmt: skip
_REASONING_APART = (
    "thoughtsTokenCount", "thoughts_token_count", "output_reasoning_tokens",
    "output_reasoning",
)  # fmt: skip
_REASONING = (
    *_REASONING_APART, "reasoning_tokens", "reasoning_output_tokens",
    "reasoningTokens", "reasoning",
)  # fmt: skip
# The names of the whole of which those parts are counted apart.
_WHOLE_OF_INPUT = frozenset(["input_tokens", "input", "inputTokens"])
# Objects of a usage with the parts of its numbers.
_DETAILS = frozenset([
    "prompt_tokens_details", "input_tokens_details", "input_token_details",
    "prompt_token_details", "inputTokenDetails", "completion_tokens_details",
    "output_tokens_details", "output_token_details", "completion_token_details",
    "outputTokenDetails", "extra",
])  # fmt: skip
_MODELS = ("model", "model_name", "modelId", "model_id")
# Objects next to a message that have its model and usage.
_INSIDE = ("response_metadata", "metadata", "providerMetadata")
_INT64_MAX = 2**63 - 1


def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


_IN, _OUT, _SUM = _places(_INPUT), _places(_OUTPUT), _places(_TOTAL)
_CACHED, _CREATED, _THOUGHT = _places(_READ), _places(_WRITTEN), _places(_REASONING)
_SEPARATE = frozenset(_REASONING_APART)
_APART = frozenset([*_READ_APART, *_WRITTEN_APART])


class Tokens(NamedTuple):
    """The tokens of one answer; `reported`: input and output as the file has them."""

    input: int | None
    output: int | None
    cached: int | None = None
    reasoning: int | None = None
    reported: tuple[int | None, int | None] = (None, None)


def usage_of(fields: Mapping[str, object]) -> Tokens | None:
    """Return the tokens that an object tells of; None if it tells none."""
    for name in _USAGES:
        if isinstance(found := fields.get(name), dict):
            tokens = tokens_of(found)
            if tokens is not None:
                return tokens
    for name in _INSIDE:
        if isinstance(found := fields.get(name), dict):
            inner = usage_of(found)
            if inner is not None:
                return inner
    return None


def tokens_of(usage: Mapping[str, object]) -> Tokens | None:
    """Return the tokens of a usage; None if it has neither input nor output."""
    given, made = _count(usage, _IN), _count(usage, _OUT)
    if given is None and made is None:
        return None
    read, written = _part(usage, _CACHED), _part(usage, _CREATED)
    reasoned = _part(usage, _THOUGHT)
    cache = (read or 0) + (written or 0)
    likely = (
        _input_apart(usage) or cache > (given or 0),
        not _SEPARATE.isdisjoint(usage) or (reasoned or 0) > (made or 0),
    )
    total = _count(usage, _SUM)
    apart = likely
    if total is not None:
        # The likely way comes first: without parts, all ways have the same sum.
        for way in (likely, *product((False, True), repeat=2)):
            whole = (given or 0) + (made or 0)
            if whole + cache * way[0] + (reasoned or 0) * way[1] == total:
                apart = (way[0], way[1])
                break
    return Tokens(
        _sum(given, cache if apart[0] else 0),
        _sum(made, (reasoned or 0) if apart[1] else 0),
        read,
        reasoned,
        (given, made),
    )


def _input_apart(usage: Mapping[str, object]) -> bool:
    if _APART.isdisjoint(usage):
        return False
    whole = next((name for name in _INPUT if usage.get(name) is not None), "")
    return whole in _WHOLE_OF_INPUT


def _sum(count: int | None, more: int) -> int | None:
    if not more:
        return count
    found = (count or 0) + more
    return found if found <= _INT64_MAX else count


def _part(usage: Mapping[str, object], names: Mapping[str, int]) -> int | None:
    """Return a part that is counted in a usage, or in an object of its details."""
    found = _count(usage, names)
    if found is None:
        for name, details in usage.items():
            if name in _DETAILS and isinstance(details, dict):
                found = _count(details, names)
            if found is not None:
                break
    return found


def model_of(fields: Mapping[str, object]) -> str | None:
    """Return the model of a message, a chat or a step."""
    for name in _MODELS:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    for name in _INSIDE:
        if isinstance(found := fields.get(name), dict):
            inner = model_of(found)
            if inner is not None:
                return inner
    return None


def _count(usage: Mapping[str, object], names: Mapping[str, int]) -> int | None:
    """Return the number of the first of these names that has one."""
    count, first = None, len(names)
    # A usage has a few fields, and there are many names.
    for name, value in usage.items():
        place = names.get(name, first)
        if place >= first:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # noqa: PLW2901
        if isinstance(value, int) and not isinstance(value, bool):
            count, first = (value if 0 <= value <= _INT64_MAX else None), place
    return count

"""The model that answered and the tokens that it took, in the words of all tools."""

from collections.abc import Mapping

_USAGES = ("usage", "usage_metadata", "token_usage", "usageDetails", "metrics")
_INPUT = (
    "input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "input",
    "promptTokenCount", "prompt_token_count",
)  # fmt: skip
_OUTPUT = (
    "output_tokens", "completion_tokens", "outputTokens", "completionTokens", "output",
    "candidatesTokenCount", "completion_token_count",
)  # fmt: skip
_MODELS = ("model", "model_name", "modelId", "model_id")
# Objects next to a message that have its model and usage.
_INSIDE = ("response_metadata", "metadata", "providerMetadata")
_INT64_MAX = 2**63 - 1

Tokens = tuple[int | None, int | None]


def usage_of(fields: Mapping[str, object]) -> Tokens | None:
    """Return the tokens in and out that an object tells of; None if it tells none."""
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
    """Return the tokens in and out of a usage; None if it has neither."""
    given, made = _count(usage, _INPUT), _count(usage, _OUTPUT)
    return None if given is None and made is None else (given, made)


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


def _count(usage: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value if 0 <= value <= _INT64_MAX else None
    return None

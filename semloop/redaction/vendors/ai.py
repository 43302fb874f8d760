"""Keys of AI services."""

from semloop.redaction.vendors.key_format import KeyFormat, Rule

AI = (
    KeyFormat("Anthropic", "API key", "sk-ant-", r"sk-ant-[a-z]+[0-9]{2}-[\w\-]{12,}", Rule.ANY, "sk-ant-api03-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3J4k5L6AA", "https://docs.anthropic.com/en/api/getting-started"),
    KeyFormat("OpenAI", "API key", "sk-", r"sk-(?:proj|svcacct|admin|None|service)-[\w\-]{20,}", Rule.DIGIT, "sk-proj-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://platform.openai.com/docs/api-reference/authentication"),
    KeyFormat("OpenAI", "legacy API key and those like it", "sk-", r"sk-[\w\-]{16,}", Rule.RANDOM, "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", "https://platform.openai.com/docs/api-reference/authentication"),
    KeyFormat("OpenRouter", "API key", "sk-or-", r"sk-or-v1-[0-9a-f]{40,64}", Rule.ANY, "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", "https://openrouter.ai/docs/api-reference/authentication"),
    KeyFormat("Hugging Face", "token", "hf_", r"hf_[0-9A-Za-z]{30,40}", Rule.ANY, "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", "https://huggingface.co/docs/hub/security-tokens"),
    KeyFormat("Hugging Face", "organization token", "api_org_", r"api_org_[0-9A-Za-z]{30,40}", Rule.ANY, "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", "https://huggingface.co/docs/hub/security-tokens"),
    KeyFormat("Replicate", "token", "r8_", r"r8_[0-9A-Za-z]{30,40}", Rule.DIGIT, "r8_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1", "https://replicate.com/docs/reference/http#authentication"),
    KeyFormat("Groq", "API key", "gsk_", r"gsk_[0-9A-Za-z]{40,60}", Rule.DIGIT, "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", "https://console.groq.com/docs/quickstart"),
    KeyFormat("Perplexity", "API key", "pplx-", r"pplx-[0-9A-Za-z]{40,60}", Rule.DIGIT, "pplx-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5", "https://docs.perplexity.ai/"),
    KeyFormat("xAI", "API key", "xai-", r"xai-[0-9A-Za-z]{60,90}", Rule.DIGIT, "xai-" + "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2" * 2, "https://docs.x.ai/docs/overview"),
    KeyFormat("Fireworks", "API key", "fw_", r"fw_[0-9A-Za-z]{20,40}", Rule.RANDOM, "fw_3ZQ9wXe2RtY5uLpZ8vNmC1aJ", "https://docs.fireworks.ai/"),
    KeyFormat("LangSmith", "API key", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", Rule.ANY, "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", "https://docs.smith.langchain.com/administration/how_to_guides/organization_management/create_account_api_key"),
    KeyFormat("Langfuse", "secret key", "sk-lf-", r"sk-lf-[0-9a-f\-]{30,40}", Rule.ANY, "sk-lf-3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://langfuse.com/faq/all/where-are-langfuse-api-keys"),
    KeyFormat("Pinecone", "API key", "pcsk_", r"pcsk_[0-9A-Za-z]{4,8}_[0-9A-Za-z]{40,70}", Rule.ANY, "pcsk_4k3Q9_wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3J", "https://docs.pinecone.io/guides/projects/manage-api-keys"),
    KeyFormat("Voyage AI", "API key", "pa-", r"pa-[0-9A-Za-z_\-]{40,50}", Rule.RANDOM, "pa-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://docs.voyageai.com/docs/api-key-and-installation"),
    KeyFormat("Tavily", "API key", "tvly-", r"tvly-(?:dev-|prod-)?[0-9A-Za-z]{30,40}", Rule.DIGIT, "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", "https://docs.tavily.com/"),
    KeyFormat("E2B", "API key", "e2b_", r"e2b_[0-9a-f]{40}", Rule.ANY, "e2b_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://e2b.dev/docs/getting-started/api-key"),
    KeyFormat("ElevenLabs", "API key", "sk_", r"sk_[0-9a-f]{48}", Rule.ANY, "sk_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864", "https://elevenlabs.io/docs/api-reference/authentication"),
    KeyFormat("NVIDIA", "API key", "nvapi-", r"nvapi-[\w\-]{60,70}", Rule.ANY, "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", "https://docs.api.nvidia.com/"),
    KeyFormat("Cerebras", "API key", "csk-", r"csk-[0-9a-z]{40,60}", Rule.DIGIT, "csk-k3q9wxe2rty5ulpz8vnmc1aj4hgf6osdb7qw1er2t3yu4i5o", "https://inference-docs.cerebras.ai/quickstart"),
    KeyFormat("Jina AI", "API key", "jina_", r"jina_[0-9a-f]{32}[\w\-]{20,40}", Rule.ANY, "jina_3f9a0c51d2e7b846a1c05d9e3f7b2864k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf", "https://jina.ai/reader/"),
    KeyFormat("Firecrawl", "API key", "fc-", r"fc-[0-9a-f]{32}", Rule.ANY, "fc-3f9a0c51d2e7b846a1c05d9e3f7b2864", "https://docs.firecrawl.dev/"),
    KeyFormat("Weights & Biases", "API key", "wandb_v1_", r"wandb_v1_[\w\-]{40,}", Rule.ANY, "wandb_v1_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2", "https://docs.wandb.ai/"),
    KeyFormat("Mem0", "API key", "m0-", r"m0-[0-9A-Za-z]{36,44}", Rule.DIGIT, "m0-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2", "https://docs.mem0.ai/"),
    KeyFormat("Together AI", "API key", "tgp_v1_", r"tgp_v1_[\w\-]{40,}", Rule.ANY, "tgp_v1_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://docs.together.ai/reference/authentication"),
    KeyFormat("Cursor", "API key", "key_", r"key_[0-9a-f]{64}", Rule.ANY, "key_3f9a0c51d2e7b846a1c05d9e3f7b28643f9a0c51d2e7b846a1c05d9e3f7b2864", "https://docs.cursor.com/"),
)  # fmt: skip

"""Keys of monitoring, documents, design and other services."""

from semloop.redaction.vendors.key_format import KeyFormat, Rule

SERVICES = (
    KeyFormat("Sentry", "token", "sntry", r"sntry[su]_[\w+/=.\-]{40,}", Rule.ANY, "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", "https://docs.sentry.io/account/auth-tokens/"),
    KeyFormat("New Relic", "key", "NR", r"NR(?:AK|AA|II|RA|JS|AL)-[0-9A-Za-z_\-]{17,42}", Rule.ANY, "NRAK-Q9WXE2RTY5ULPZ8VNMC1AJ4HGF6", "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/"),
    KeyFormat("Grafana", "token", "gl", r"gl(?:c_[0-9A-Za-z+/=]{32,}|sa_[0-9A-Za-z]{32}_[0-9a-fA-F]{8})", Rule.DIGIT, "glsa_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSd_3f9a0c51", "https://grafana.com/docs/grafana/latest/administration/service-accounts/"),
    KeyFormat("Honeycomb", "key", "hc", r"hc[ab]i[ck]_[0-9a-z]{50,64}", Rule.DIGIT, "hcaik_01k3q9wxe2rty5ulpz8vnmc1aj4hgf6osdb7qw1er2t3yu4i5o6p7a8s", "https://docs.honeycomb.io/configure/environments/manage-api-keys/"),
    KeyFormat("Dynatrace", "token", "dt0", r"dt0[a-z][0-9]{2}\.[0-9A-Z]{24}\.[0-9A-Z]{64}", Rule.ANY, "dt0c01.Q9WXE2RTY5ULPZ8VNMC1AJ4H." + "Q9WXE2RTY5ULPZ8VNMC1AJ4HGF6OSDB7" * 2, "https://docs.dynatrace.com/docs/manage/identity-access-management/access-tokens-and-oauth-clients/access-tokens"),
    KeyFormat("Linear", "API key", "lin_", r"lin_(?:api|oauth)_[0-9A-Za-z]{30,64}", Rule.DIGIT, "lin_api_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2", "https://linear.app/developers/graphql"),
    KeyFormat("Notion", "token", "ntn_", r"ntn_[0-9A-Za-z]{40,50}", Rule.DIGIT, "ntn_12345678901k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Q", "https://developers.notion.com/docs/authorization"),
    KeyFormat("Notion", "legacy token", "secret_", r"secret_[0-9A-Za-z]{43}", Rule.RANDOM, "secret_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://developers.notion.com/docs/authorization"),
    KeyFormat("Airtable", "token", "pat", r"pat[0-9A-Za-z]{14}\.[0-9a-f]{64}", Rule.ANY, "patk3Q9wXe2RtY5uL.3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864a1c05d9e3f7b2864", "https://airtable.com/developers/web/guides/personal-access-tokens"),
    KeyFormat("Asana", "token", "", r"[0-2]/[0-9]{16}(?:/[0-9]{16})?:[0-9a-f]{32}", Rule.ANY, "2/1234567890123456/1234567890123456:3f9a0c51d2e7b846a1c05d9e3f7b2864", "https://developers.asana.com/docs/personal-access-token"),
    KeyFormat("Figma", "token", "fig", r"fig(?:d|ma|o[ur])_[\w\-]{36,}", Rule.ANY, "figd_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2", "https://www.figma.com/developers/api#access-tokens"),
    KeyFormat("Contentful", "token", "CFPAT-", r"CFPAT-[\w\-]{40,46}", Rule.ANY, "CFPAT-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://www.contentful.com/developers/docs/references/authentication/"),
    KeyFormat("Typeform", "token", "tfp_", r"tfp_[\w.\-]{40,60}", Rule.DIGIT, "tfp_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://www.typeform.com/developers/get-started/personal-access-token/"),
    KeyFormat("Mapbox", "secret token", "sk.eyJ", r"sk\.eyJ[\w\-]{20,}\.[\w\-]{16,}", Rule.ANY, "sk.eyJ1Ijoic3RyYW5nZXIiLCJhIjoiazNROXdYZTJSdFk1dUxwWjh2Tm1DMWFKNGhHZjZvU2QifQ.k3Q9wXe2RtY5uLpZ8vNmC1", "https://docs.mapbox.com/accounts/guides/tokens/"),
    KeyFormat("MaxMind", "license key", "_mmk", r"[0-9A-Za-z]{6}_[0-9A-Za-z]{29}_mmk", Rule.ANY, "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", "https://support.maxmind.com/hc/en-us/articles/4407111582235"),
    KeyFormat("Dropbox", "token", "sl.", r"sl\.(?:u\.)?[\w\-]{100,}", Rule.RANDOM, "sl.u." + "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2" * 3, "https://developers.dropbox.com/oauth-guide"),
    KeyFormat("LaunchDarkly", "key", "", r"(?:sdk|api|mob)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", Rule.ANY, "sdk-3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://launchdarkly.com/docs/home/account/environment/keys"),
    KeyFormat("Frame.io", "token", "fio-u-", r"fio-u-[\w=\-]{64}", Rule.ANY, "fio-u-" + "k3Q9wXe2RtY5uLpZ" * 4, "https://developer.frame.io/docs/getting-started/authentication"),
    KeyFormat("Beamer", "API key", "b_", r"b_[0-9A-Za-z=_\-]{44}", Rule.RANDOM, "b_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU", "https://www.getbeamer.com/api"),
    KeyFormat("Confluent", "Cloud secret", "cflt", r"cflt[0-9A-Za-z+/]{60}", Rule.RANDOM, "cflt" + "k3Q9wXe2RtY5uLpZ8vNm" * 3, "https://docs.confluent.io/cloud/current/security/authenticate/workload-identities/service-accounts/api-keys/overview.html"),
    KeyFormat("PostHog", "personal API key", "phx_", r"ph[xs]_[0-9A-Za-z]{40,50}", Rule.DIGIT, "phx_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://posthog.com/docs/api"),
    KeyFormat("Axiom", "token", "xa", r"xa(?:at|pt)-[0-9a-f]{8}-[0-9a-f\-]{27}", Rule.ANY, "xaat-3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://axiom.co/docs/reference/tokens"),
    KeyFormat("Better Stack", "heartbeat", "heartbeat/", r"betterstack\.com/api/v1/heartbeat/[0-9A-Za-z]{20,}", Rule.DIGIT, "betterstack.com/api/v1/heartbeat/k3Q9wXe2RtY5uLpZ8vNmC1aJ", "https://betterstack.com/docs/uptime/cron-and-heartbeat-monitor/"),
    KeyFormat("Okta", "API token", "SSWS ", r"SSWS 00[\w\-]{38,42}", Rule.ANY, "SSWS 00k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2", "https://developer.okta.com/docs/guides/create-an-api-token/"),
    KeyFormat("Zapier", "webhook", "hooks.zapier.com/", r"hooks\.zapier\.com/hooks/catch/[0-9]{5,}/[0-9a-z]{6,}", Rule.ANY, "hooks.zapier.com/hooks/catch/1234567/k3q9wxe", "https://help.zapier.com/hc/en-us/articles/8496288690317"),
    KeyFormat("Algolia", "secured key", "", r"[0-9A-Za-z]{80,90}cmVzdHJpY3RJbmRpY2Vz[0-9A-Za-z=]{6,}", Rule.ANY, "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3J4k5L6z7X8c9V0b1N2m3Qw4cmVzdHJpY3RJbmRpY2VzPWFiYw==", "https://www.algolia.com/doc/guides/security/api-keys/"),
    KeyFormat("Grafana", "legacy API key", "eyJrIjoi", r"eyJrIjoi[0-9A-Za-z]{60,}={0,2}", Rule.ANY, "eyJrIjoiazNROXdYZTJSdFk1dUxwWjh2Tm1DMWFKNGhHZjZvU2RCN1F3MUVyIiwibiI6ImEiLCJpZCI6MX0=", "https://grafana.com/docs/grafana/latest/developers/http_api/auth/"),
    KeyFormat("Lichess", "token", "lip_", r"lip_[0-9A-Za-z]{16,24}", Rule.DIGIT, "lip_k3Q9wXe2RtY5uLpZ8vNm", "https://lichess.org/api"),
)  # fmt: skip

"""Keys of payments, shops and shipping."""

from semloop.redaction.vendors.key_format import KeyFormat, Rule

MONEY = (
    KeyFormat("Stripe", "key", "k_", r"[sr]k_(?:live|test|prod)_[0-9A-Za-z]{10,}", Rule.ANY, "sk_live_k3Q9wXe2RtY5uLpZ8vNmC1aJ", "https://docs.stripe.com/keys"),
    KeyFormat("Stripe", "webhook secret", "whsec_", r"whsec_[0-9A-Za-z+/=]{24,}", Rule.ANY, "whsec_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSd", "https://docs.stripe.com/webhooks"),
    KeyFormat("Square", "access token", "sq0atp-|EAAA", r"(?:sq0atp-[\w\-]{22,}|EAAA[\w\-]{56,64})", Rule.DIGIT, "sq0atp-k3Q9wXe2RtY5uLpZ8vNmC1", "https://developer.squareup.com/docs/build-basics/access-tokens"),
    KeyFormat("Square", "application secret", "sq0csp-", r"sq0csp-[\w\-]{40,}", Rule.ANY, "sq0csp-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://developer.squareup.com/docs/oauth-api/overview"),
    KeyFormat("PayPal", "Braintree access token", "access_token$", r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}", Rule.ANY, "access_token$production$k3q9wxe2rty5ulpz$3f9a0c51d2e7b846a1c05d9e3f7b2864", "https://developer.paypal.com/braintree/docs"),
    KeyFormat("Adyen", "API key", "AQE", r"AQE[0-9A-Za-z+/]{40,}[0-9A-Za-z+/=\-]*", Rule.RANDOM, "AQEyhmfxLI3MaBFLw0mk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://docs.adyen.com/development-resources/api-credentials/"),
    KeyFormat("Plaid", "access token", "access-", r"access-(?:sandbox|development|production)-[0-9a-f\-]{36}", Rule.ANY, "access-production-3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://plaid.com/docs/api/tokens/"),
    KeyFormat("Shopify", "token", "shp", r"shp(?:at|ca|pa|ss|ua|tka)_[0-9a-fA-F]{32}", Rule.ANY, "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", "https://shopify.dev/docs/apps/build/authentication-authorization"),
    KeyFormat("Razorpay", "key", "rzp_", r"rzp_(?:live|test)_[0-9A-Za-z]{14,}", Rule.ANY, "rzp_live_k3Q9wXe2RtY5uL", "https://razorpay.com/docs/payments/dashboard/account-settings/api-keys/"),
    KeyFormat("Flutterwave", "secret key", "FLWSECK", r"FLWSECK(?:_TEST)?-[0-9A-Za-z]{12,}(?:-X)?", Rule.ANY, "FLWSECK-3f9a0c51d2e7b846a1c05d9e3f7b2864-X", "https://developer.flutterwave.com/docs/authentication"),
    KeyFormat("Duffel", "token", "duffel_", r"duffel_(?:test|live)_[\w\-=]{43}", Rule.ANY, "duffel_live_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://duffel.com/docs/api/overview/authentication"),
    KeyFormat("EasyPost", "API key", "EZ", r"EZ[AT]K[0-9A-Za-z]{54}", Rule.DIGIT, "EZAKk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s", "https://docs.easypost.com/docs/authentication"),
    KeyFormat("Shippo", "token", "shippo_", r"shippo_(?:live|test)_[0-9a-f]{40}", Rule.ANY, "shippo_live_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://docs.goshippo.com/docs/guides_general/authentication/"),
    KeyFormat("Lob", "API key", "live_", r"(?:live|test)_[0-9a-f]{35}", Rule.ANY, "live_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c", "https://docs.lob.com/"),
    KeyFormat("Coinbase", "OAuth token", "organizations/", r"organizations/[0-9a-f\-]{36}/apiKeys/[0-9a-f\-]{36}", Rule.ANY, "organizations/3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864/apiKeys/3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://docs.cdp.coinbase.com/get-started/docs/cdp-api-keys/"),
)  # fmt: skip

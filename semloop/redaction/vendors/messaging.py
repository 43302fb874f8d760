"""Keys of messaging, mail and telephony."""

from semloop.redaction.vendors.key_format import KeyFormat, Rule

MESSAGING = (
    KeyFormat("Slack", "token", "xox", r"xox[abposre](?:\.xox[abp])?-[\w\-]{8,}", Rule.DIGIT, "xoxb-123456789012-1234567890123-k3Q9wXe2RtY5uLpZ8vNmC1aJ", "https://api.slack.com/authentication/token-types"),
    KeyFormat("Slack", "app token", "xapp-", r"xapp-[0-9]-[0-9A-Z]+-[0-9]+-[0-9a-f]{40,}", Rule.ANY, "xapp-1-A0Q9WXE2RTY-1234567890123-3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864a1c05d9e3f7b2864", "https://api.slack.com/authentication/token-types"),
    KeyFormat("Slack", "webhook", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[0-9A-Za-z+/]{30,}", Rule.ANY, "hooks.slack.com/services/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", "https://api.slack.com/messaging/webhooks"),
    KeyFormat("Discord", "bot token", "", r"[MNO][0-9A-Za-z_\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,38}", Rule.RANDOM, "MTAxMjM0NTY3ODkwMTIzNDU2.Gk3Q9w.Xe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://discord.com/developers/docs/reference#authentication"),
    KeyFormat("Discord", "webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[\w\-]{60,}", Rule.ANY, "discord.com/api/webhooks/123456789012345678/k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3J4k5L", "https://discord.com/developers/docs/resources/webhook"),
    KeyFormat("Telegram", "bot token", ":A", r"[0-9]{8,10}:A[\w\-]{32,36}", Rule.ANY, "1234567890:AAk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB", "https://core.telegram.org/bots/api#authorizing-your-bot"),
    KeyFormat("Twilio", "API key", "SK", r"SK[0-9a-f]{32}", Rule.ANY, "SK3f9a0c51d2e7b846a1c05d9e3f7b2864", "https://www.twilio.com/docs/iam/api-keys"),
    KeyFormat("SendGrid", "API key", "SG.", r"SG\.[\w\-]{16,32}\.[\w\-]{16,64}", Rule.ANY, "SG.k3Q9wXe2RtY5uLpZ8vNmC1.aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3", "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys"),
    KeyFormat("Mailgun", "API key", "key-", r"key-[0-9a-f]{32}", Rule.ANY, "key-3f9a0c51d2e7b846a1c05d9e3f7b2864", "https://documentation.mailgun.com/docs/mailgun/api-reference/authentication/"),
    KeyFormat("Mailchimp", "API key", "-us", r"[0-9a-f]{32}-us[0-9]{1,2}", Rule.ANY, "3f9a0c51d2e7b846a1c05d9e3f7b2864-us12", "https://mailchimp.com/developer/marketing/guides/quick-start/"),
    KeyFormat("Brevo", "API key", "xkeysib-", r"x(?:keysib|smtpsib)-[0-9a-f]{64}-[0-9A-Za-z]{16}", Rule.ANY, "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", "https://developers.brevo.com/docs/getting-started"),
    KeyFormat("Resend", "API key", "re_", r"re_[0-9A-Za-z]{8}_[0-9A-Za-z]{24}", Rule.RANDOM, "re_k3Q9wXe2_RtY5uLpZ8vNmC1aJ4hGf6oSd", "https://resend.com/docs/dashboard/api-keys/introduction"),
    KeyFormat("MessageBird", "access key", "AccessKey ", r"AccessKey [0-9A-Za-z]{25}", Rule.DIGIT, "AccessKey k3Q9wXe2RtY5uLpZ8vNmC1aJ4", "https://developers.messagebird.com/api/"),
    KeyFormat("Microsoft", "Teams webhook", "webhook.office.com", r"[0-9a-z]+\.webhook\.office\.com/webhookb2/[0-9a-f\-]{36}@[0-9a-f\-]{36}/IncomingWebhook/[\w/\-]{40,}", Rule.ANY, "contoso.webhook.office.com/webhookb2/3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864@3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864/IncomingWebhook/3f9a0c51d2e7b846a1c05d9e3f7b2864/3f9a0c51-d2e7", "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/"),
    KeyFormat("Meta", "access token", "EAA", r"EAA[0-9A-Za-z]{50,}", Rule.RANDOM, "EAAG" + "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2", "https://developers.facebook.com/docs/facebook-login/guides/access-tokens"),
    KeyFormat("X", "bearer token", "AAAAAAAAAAAAAAAAAAAA", r"A{20}[0-9A-Za-z%]{60,}", Rule.ANY, "AAAAAAAAAAAAAAAAAAAAAMk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3", "https://developer.x.com/en/docs/authentication/oauth-2-0/bearer-tokens"),
    KeyFormat("Intercom", "access token", "dG9r", r"dG9r[0-9A-Za-z+/=]{40,60}", Rule.DIGIT, "dG9rOjNmOWEwYzUxX2QyZTdfNDg0Nl9hMWMwXzVkOWUzZjdiMjg2NA==", "https://developers.intercom.com/docs/build-an-integration/learn-more/authentication"),
    KeyFormat("HubSpot", "private app token", "pat-", r"pat-(?:na|eu|ap)[0-9]-[0-9a-f\-]{36}", Rule.ANY, "pat-na1-3f9a0c51-d2e7-4846-a1c0-5d9e3f7b2864", "https://developers.hubspot.com/docs/guides/apps/private-apps/overview"),
    KeyFormat("Salesforce", "session id", "!AQ", r"00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?!AQ[0-9A-Za-z._]{60,}", Rule.ANY, "00Dk3Q9wXe2RtY5!AQ" + "k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3", "https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/"),
    KeyFormat("Mailgun", "signing key", "", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}", Rule.ANY, "3f9a0c51d2e7b846a1c05d9e3f7b2864-3f9a0c51-d2e7b846", "https://documentation.mailgun.com/docs/mailgun/api-reference/authentication/"),
)  # fmt: skip

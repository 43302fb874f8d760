"""Keys of code hosting, packages and builds."""

from semloop.redaction.vendors.key_format import KeyFormat, Rule

CODE = (
    KeyFormat("GitHub", "token", "gh", r"gh[pousr]_[0-9A-Za-z]{20,}", Rule.ANY, "ghp_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw", "https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github"),
    KeyFormat("GitHub", "fine-grained token", "github_pat_", r"github_pat_[0-9A-Za-z_]{20,}", Rule.ANY, "github_pat_11AQ9WXE20k3Q9wXe2RtY5_uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3", "https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github"),
    KeyFormat("GitLab", "token", "gl", r"gl(?:pat|rt|rtr|dt|ptt|cbt|ft|imt|agent|oas|soat|wt|ffct|pat-us)-[\w\-]{16,}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?", Rule.ANY, "glpat-k3Q9wXe2RtY5uLpZ8vNm", "https://docs.gitlab.com/security/tokens/"),
    KeyFormat("GitLab", "runner registration token", "GR1348941", r"GR1348941[\w\-]{20,}", Rule.ANY, "GR1348941k3Q9wXe2RtY5uLpZ8vNm", "https://docs.gitlab.com/security/tokens/"),
    KeyFormat("Bitbucket", "app password", "ATBB", r"ATBB[0-9A-Za-z_=.\-]{24,}", Rule.DIGIT, "ATBBk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSd", "https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/"),
    KeyFormat("Atlassian", "API token", "AT", r"AT(?:ATT|CTT|STT)[0-9A-Za-z+/=_\-]{40,}", Rule.DIGIT, "ATATT3xFfGF0k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y=3F9A0C51", "https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/"),
    KeyFormat("npm", "token", "npm_", r"npm_[0-9A-Za-z]{30,}", Rule.DIGIT, "npm_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw", "https://docs.npmjs.com/about-access-tokens"),
    KeyFormat("PyPI", "token", "pypi-", r"pypi-[\w\-]{50,}", Rule.RANDOM, "pypi-AgEIcHlwaS5vcmcCJk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3y", "https://pypi.org/help/#apitoken"),
    KeyFormat("RubyGems", "API key", "rubygems_", r"rubygems_[0-9a-f]{48}", Rule.ANY, "rubygems_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864", "https://guides.rubygems.org/api-key-scopes/"),
    KeyFormat("crates.io", "token", "cio", r"cio[0-9A-Za-z]{32}", Rule.RANDOM, "ciok3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSd", "https://doc.rust-lang.org/cargo/reference/publishing.html"),
    KeyFormat("NuGet", "API key", "oy2", r"oy2[0-9a-z]{43}", Rule.DIGIT, "oy2k3q9wxe2rty5ulpz8vnmc1aj4hgf6osdb7qw1er2t3y", "https://learn.microsoft.com/nuget/nuget-org/scoped-api-keys"),
    KeyFormat("Clojars", "token", "CLOJARS_", r"CLOJARS_[0-9a-zA-Z]{50,60}", Rule.ANY, "CLOJARS_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864a1c05d9e3f7b", "https://github.com/clojars/clojars-web/wiki/Deploy-Tokens"),
    KeyFormat("Docker", "token", "dckr_", r"dckr_(?:pat|oat)_[\w\-]{24,}", Rule.ANY, "dckr_pat_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hG", "https://docs.docker.com/security/access-tokens/"),
    KeyFormat("JFrog", "API key", "AKCp", r"AKCp[0-9A-Za-z]{60,75}", Rule.DIGIT, "AKCp8k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7A8s9D0f1G2h3J4k5L6", "https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens"),
    KeyFormat("JFrog", "reference token", "cmVmd", r"cmVmd[0-9A-Za-z]{50,70}", Rule.DIGIT, "cmVmdGtuOjAxOk3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw1Er2T3yU4i5O6p7", "https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens"),
    KeyFormat("Sonar", "token", "sq", r"sq[upa]_[0-9a-f]{40}", Rule.ANY, "squ_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://docs.sonarsource.com/sonarqube/latest/user-guide/managing-tokens/"),
    KeyFormat("CircleCI", "token", "CCI", r"CCIP(?:AT|RJ)_[0-9A-Za-z]{20,24}_[0-9a-f]{40}", Rule.ANY, "CCIPAT_k3Q9wXe2RtY5uLpZ8vNmC1_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://circleci.com/docs/managing-api-tokens/"),
    KeyFormat("Buildkite", "token", "bk", r"bk(?:ua|aj|ct|pt|pr)_[0-9a-zA-Z]{32,64}", Rule.DIGIT, "bkua_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://buildkite.com/docs/apis/managing-api-tokens"),
    KeyFormat("Sourcegraph", "token", "sgp_", r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}", Rule.ANY, "sgp_3f9a0c51d2e7b846_3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e", "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token"),
    KeyFormat("Prefect", "API key", "pn", r"pn[ub]_[0-9A-Za-z]{36}", Rule.DIGIT, "pnu_k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSdB7Qw", "https://docs.prefect.io/v3/manage/cloud/manage-users/api-keys"),
    KeyFormat("Infracost", "API key", "ico-", r"ico-[0-9A-Za-z]{32}", Rule.DIGIT, "ico-k3Q9wXe2RtY5uLpZ8vNmC1aJ4hGf6oSd", "https://www.infracost.io/docs/"),
    KeyFormat("Snyk", "token", "snyk_", r"snyk_(?:uat|sat|oat)\.[0-9a-f]{8}\.[\w.\-]{40,}", Rule.ANY, "snyk_uat.3f9a0c51.eyJlIjoxNzAwMDAwMDAwLCJqdGkiOiJrM1E5d1hlMlJ0In0.k3Q9wXe2RtY5", "https://docs.snyk.io/snyk-api/authentication-for-api"),
    KeyFormat("ReadMe", "API key", "rdme_", r"rdme_[0-9a-z]{50,80}", Rule.DIGIT, "rdme_xn8s9h3f9a0c51d2e7b846a1c05d9e3f7b2864a1c05d9e3f7b2864a1c05d9e3f7b286491", "https://docs.readme.com/main/reference/intro/authentication"),
    KeyFormat("Postman", "API key", "PM", r"PM(?:AK|AT)-[0-9a-fA-F]{24}-[0-9a-fA-F]{34}", Rule.ANY, "PMAK-3f9a0c51d2e7b846a1c05d9e-3f9a0c51d2e7b846a1c05d9e3f7b2864a1", "https://learning.postman.com/docs/developer/postman-api/authentication/"),
    KeyFormat("ngrok", "token", "", r"[12][0-9A-Za-z]{26}_[0-9A-Za-z]{21}", Rule.RANDOM, "2Nk3Q9wXe2RtY5uLpZ8vNmC1aJ4_hGf6oSdB7Qw1Er2T3yU4i", "https://ngrok.com/docs/agent/"),
)  # fmt: skip

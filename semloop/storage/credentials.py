"""Credentials of the object store: static keys, or those of the AWS credential chain.

The chain is botocore's: profiles in the shared files, web identity, SSO, processes,
containers, instance metadata. It renews keys before they expire, and every client gets
its keys from here, except LanceDB, which reads the chain itself (docs/adr/0007).
"""

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from semloop.errors import ConfigError, LakeError, StorageUnavailable
from semloop.extras import need
from semloop.settings import aws_variables

if TYPE_CHECKING:
    from botocore.session import Session

KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
KEY_ID = "aws_access_key_id"
KEY_OPTIONS = (KEY_ID, "aws_secret_access_key", "aws_session_token")
# The same limits as for the object store: flows retry on their own.
CONNECT_S = 3
ANSWER_S = 10
ATTEMPTS = 2
REASON_CHARS_MAX = 200
CHECK_ROLE = "Check AWS_PROFILE, AWS_ROLE_ARN and the trust policy of the role."
CHECK_NETWORK = "Check the network, and AWS_ENDPOINT_URL_STS if it is set."


class ChainCredentials:
    """Keys from the AWS credential chain, renewed before they expire.

    Thread-safe. `source` is botocore's name of the provider, for example
    `assume-role-with-web-identity`.
    """

    def __init__(self, session: "Session") -> None:
        """Find the provider; temporary keys are requested on first use.

        Raises:
            ConfigError: no provider has keys, or a shared file is invalid.
        """
        from botocore.exceptions import BotoCoreError

        try:
            self._credentials: Any = session.get_credentials()
            self.region: str | None = session.get_config_variable("region")
        except BotoCoreError as error:
            msg = f"The AWS configuration is invalid: {_reason(error)}."
            raise ConfigError(msg, "Correct AWS_PROFILE or the shared file.") from error
        if self._credentials is None:
            msg = "A lake on S3 needs credentials: the AWS credential chain found none."
            todo = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
            raise ConfigError(msg, todo)
        self.source: str = self._credentials.method

    def keys(self) -> dict[str, str]:
        """Return currently valid keys, by `KEY_OPTIONS`, in a new dict.

        Keys of STS and of instances are valid for at least 10 more minutes, unless they
        were issued for less.

        Raises:
            LakeError: AWS refuses to issue keys.
            StorageUnavailable: the issuer of the keys does not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            keys = self._credentials.get_frozen_credentials()
        except ClientError as error:
            code = error.response["Error"].get("Code", "refused")
            msg = f"AWS refuses to issue credentials: {code}."
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise StorageUnavailable(msg, CHECK_NETWORK) from error
            raise LakeError(msg, CHECK_ROLE) from error
        except HTTPClientError as error:
            msg = f"The issuer of AWS credentials does not answer: {_reason(error)}."
            raise StorageUnavailable(msg, CHECK_NETWORK) from error
        except (BotoCoreError, OSError) as error:
            msg = f"AWS credentials cannot be fetched: {_reason(error)}."
            raise LakeError(msg, CHECK_ROLE) from error
        values = (keys.access_key, keys.secret_key, keys.token)
        return {name: v for name, v in zip(KEY_OPTIONS, values, strict=True) if v}


def chain_credentials(
    environ: Mapping[str, str] | None = None,
) -> ChainCredentials | None:
    """Return the credentials of the AWS chain; None if static keys are set.

    All callers in a process share one chain, so that keys are requested once.

    Raises:
        ConfigError: only one of the static keys is set, or no provider has keys.
    """
    variables = {k: v for k, v in aws_variables(environ).items() if v}
    missing = [name for name in KEY_VARIABLES if name not in variables]
    if not missing:
        return None
    if len(missing) == 1:
        msg = f"A lake on S3 needs credentials: {missing[0]} is not set."
        raise ConfigError(msg, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    # HOME is part of the key because shared files are in the home folder.
    return _chain((*sorted(variables.items()), ("HOME", os.environ.get("HOME", ""))))


@functools.lru_cache(maxsize=4)
def _chain(environment: tuple[tuple[str, str], ...]) -> ChainCredentials:
    """Create the chain for one environment, which botocore reads from `os.environ`."""
    session = need("botocore.session").Session()
    config = need("botocore.config").Config(
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    session.set_default_client_config(config)
    return ChainCredentials(session)


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")[:REASON_CHARS_MAX]

"""Server process of `tests/s3/expiring_key_store.py`.

A request without the currently valid key and session token is answered with 403 and the
matching S3 error code. All others are forwarded to the store.
"""

import re
import sys
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from typing_extensions import override

from tests.support.forwarding_server import ForwardingHandler, serve

# Lifetime that the STS responses announce. Clients do not cache a key that expires this
# soon, so a test can replace it without waiting for it to expire.
KEY_LIFETIME_S = 5


class Keys:
    """Issues keys; one is valid at a time, and its number identifies it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 1
        self._refused = 0

    def issue(self) -> tuple[str, str]:
        """Return the currently valid key and its session token."""
        with self._lock:
            return f"ASIATEST{self._number:08}", f"token-{self._number}"

    def replace(self) -> None:
        """Expire the key; STS issues a new one from now on."""
        with self._lock:
            self._number += 1

    def refusals(self) -> int:
        """Return the number of rejected requests."""
        with self._lock:
            return self._refused

    def refusal(self, key: str, token: str) -> str:
        """Return the S3 error code for a key and token; empty if they are valid."""
        match = re.fullmatch(r"ASIATEST(\d{8})", key)
        with self._lock:
            if not match or int(match[1]) > self._number:
                code = "InvalidAccessKeyId"
            elif token != f"token-{int(match[1])}":
                code = "InvalidToken"
            else:
                code = "" if int(match[1]) == self._number else "ExpiredToken"
            self._refused += bool(code)
            return code


class KeyCheckingHandler(ForwardingHandler):
    """Answers for STS, and forwards requests with the valid key to the store."""

    keys = Keys()

    @override
    def respond(self, body: bytes) -> None:
        if self.command == "POST" and b"Action=AssumeRole" in body:
            self.answer_xml(200, self.assume_role_response(body))
            return
        authorization = self.headers.get("Authorization", "")
        match = re.search(r"Credential=([^/]+)/", authorization)
        token = self.headers.get("X-Amz-Security-Token", "")
        if code := self.keys.refusal(match[1] if match else "", token):
            self.refuse(403, code)
            return
        self.answer(*self.request_store(body))

    def assume_role_response(self, body: bytes) -> str:
        """Return the reply of STS to a request for a key."""
        action = parse_qs(body.decode())["Action"][0]
        key, token = self.keys.issue()
        end = datetime.now(UTC) + timedelta(seconds=KEY_LIFETIME_S)
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><AssumedRoleUser><Arn>arn:aws:sts::1:assume_role_response-role/r/s"
            "</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser><Credentials>"
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken>"
            f"<Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"</{action}Result><ResponseMetadata><RequestId>1</RequestId>"
            f"</ResponseMetadata></{action}Response>"
        )


if __name__ == "__main__":
    serve(KeyCheckingHandler, KeyCheckingHandler.keys, sys.argv[1])

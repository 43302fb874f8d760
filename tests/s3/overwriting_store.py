"""A store that ignores `If-None-Match`: a proxy in front of one that honors it.

When the store rejects a write because the object exists, the proxy reports success.
"""

import hashlib
import sys

from typing_extensions import override

from tests.support.forwarding_server import ForwardingHandler, serve


class OverwritingHandler(ForwardingHandler):
    """Replaces the store's 412 by 200."""

    @override
    def respond(self, body: bytes) -> None:
        status, headers, content = self.request_store(body)
        if status == 412 and "If-None-Match" in self.headers:
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            status, headers, content = (
                200,
                [("ETag", etag), ("Content-Length", "0")],
                b"",
            )
        self.answer(status, headers, content)


if __name__ == "__main__":
    serve(OverwritingHandler, None, sys.argv[1])

"""The probes of an orchestrator, served next to the metrics.

`/ready` and `/live` answer 200 or 503 by what this process has done lately: that a port
is open says nothing about a flow. They ask neither broker nor storage, so an outage of
these restarts nothing.
"""

from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from schemas.signs_of_life import SignsOfLife
from semloop.progress.activity import SILENT_S, live_silent_s
from semloop.settings import Settings

READY, LIVE = "/ready", "/live"


def with_probes(
    metrics: WSGIApplication, signs: SignsOfLife, settings: Settings
) -> WSGIApplication:
    """Return an application that serves the probes, and the metrics elsewhere.

    Args:
        metrics: serves the metrics.
        signs: what the workers of this process have done.
        settings: for how long storage may keep a flow silent.
    """

    def serve(environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == READY:
            passes = signs.is_ready(SILENT_S)
        elif path == LIVE:
            passes = signs.is_live(live_silent_s(settings))
        else:
            return metrics(environ, respond)
        status = HTTPStatus.OK if passes else HTTPStatus.SERVICE_UNAVAILABLE
        respond(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
        return [f"{path[1:]}: {'yes' if passes else 'no'}\n".encode()]

    return serve

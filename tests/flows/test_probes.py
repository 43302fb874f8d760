"""The probes that a flow serves next to its metrics."""

import pytest
from prometheus_client import make_wsgi_app

from flows.probes import with_probes
from schemas.metrics import Metrics
from schemas.signs_of_life import SignsOfLife
from semloop.progress.activity import LIVE_SILENT_S, SILENT_S
from semloop.settings import load, process_number


def answer(metrics: Metrics, path: str) -> tuple[str, str]:
    """Return status and text of a request."""
    statuses: list[str] = []
    app = with_probes(make_wsgi_app(metrics.registry), metrics.signs, load({}))
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    parts = app(environ, lambda status, headers, info=None: statuses.append(status))  # type: ignore[arg-type]
    return statuses[0], b"".join(parts).decode()


def test_a_flow_that_starts_is_live_and_not_ready() -> None:
    metrics = Metrics()
    assert answer(metrics, "/ready") == ("503 Service Unavailable", "ready: no\n")
    assert answer(metrics, "/live") == ("200 OK", "live: yes\n")
    metrics.signs.beat(0)
    assert answer(metrics, "/ready") == ("200 OK", "ready: yes\n")


def test_a_silent_flow_is_first_not_ready_and_much_later_not_live() -> None:
    now_s = [0.0]
    metrics = Metrics()
    metrics.signs = SignsOfLife(lambda: now_s[0])
    metrics.signs.beat(0)
    codes = []
    for silent_s in (SILENT_S, SILENT_S + 1, LIVE_SILENT_S, LIVE_SILENT_S + 1):
        now_s[0] = silent_s
        codes.append([answer(metrics, path)[0][:3] for path in ("/ready", "/live")])
    assert codes == [["200", "200"], ["503", "200"], ["503", "200"], ["503", "503"]]


def test_every_other_path_serves_the_metrics() -> None:
    status, text = answer(Metrics(), "/metrics")
    assert status == "200 OK"
    assert "semloop_commits_total" in text


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({}, 0),
        ({"BYTEWAX_PROCESS_ID": "2"}, 2),
        ({"BYTEWAX_POD_NAME": "a-b-1", "BYTEWAX_STATEFULSET_NAME": "a-b"}, 1),
        ({"BYTEWAX_POD_NAME": "a-b-x2f", "BYTEWAX_STATEFULSET_NAME": "a-b"}, 0),
    ],
)
def test_a_process_of_a_cluster_knows_its_number(
    environ: dict[str, str], number: int
) -> None:
    assert process_number(environ) == number

"""Sampling of events, and the imports of the producer side."""

import subprocess
import sys
from collections import Counter

import pytest

from semloop.sampling import is_kept
from tests.support.processes import ROOT

HEAVY = (
    "torch",
    "pyarrow",
    "pydantic",
    "bytewax",
    "duckdb",
    "confluent_kafka",
    "stamina",
)


@pytest.mark.parametrize(
    ("agent", "kind", "share"),
    [
        ("a", "message", 0.1),
        ("a", "tool_call", 0.5),
        ("b", "message", 0.9),
        ("b", "tool_call", 0.25),
    ],
)
def test_sampling_keeps_the_configured_share_of_sessions(
    agent: str, kind: str, share: float
) -> None:
    sample = {"a/message": 0.1, "a": 0.5, "*/message": 0.9, "*": 0.25}
    sessions = [f"session-{n}" for n in range(4_000)]
    kept = [s for s in sessions if is_kept(kind, agent, s, sample, failed=False)]
    assert abs(len(kept) / len(sessions) - share) < 0.03
    assert kept == [s for s in kept if is_kept(kind, agent, s, sample, failed=False)]


def test_sampling_always_keeps_errors_completions_and_feedback() -> None:
    counts: Counter[str] = Counter()
    for kind in ("error", "completion", "feedback", "message", "tool_call"):
        for n in range(100):
            counts[kind] += is_kept(kind, "a", f"s-{n}", {"*": 0.0}, failed=False)
    assert counts == {
        "error": 100,
        "completion": 100,
        "feedback": 100,
        "message": 0,
        "tool_call": 0,
    }
    assert is_kept("tool_call", "a", "s", {"*": 0.0}, failed=True)
    assert is_kept("message", "a", "s", {}, failed=False)


@pytest.mark.process
def test_importing_the_agent_loads_no_heavy_package() -> None:
    code = f"import semloop, sys; semloop.Agent; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

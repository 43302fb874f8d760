"""Run `semloop` as a separate process, as users do."""

import os
import subprocess
import sys
from pathlib import Path

from semloop.settings import Settings

ROOT = Path(__file__).parents[2]
# Since 3.12 Python warns a program that forks while other threads run, as those of
# agents and Kafka clients do. An option `-W`.
FORK_WARNING_IGNORED = "ignore:This process:DeprecationWarning"


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a process that uses these settings."""
    named = {
        "SEMLOOP_LAKE": settings.lake,
        "SEMLOOP_TOPIC": settings.topic,
        "PYTHONPATH": str(ROOT),
    }
    if settings.kafka:
        named["SEMLOOP_KAFKA"] = settings.kafka
    if settings.embedding.kind != "minilm":
        named["SEMLOOP_EMBEDDER"] = settings.embedding.kind
    if settings.redaction.key:
        named["SEMLOOP_REDACTION_KEY"] = settings.redaction.key.reveal()
    return {**os.environ, **named, **more}


def start(settings: Settings, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start `semloop ARGUMENTS`; the caller must stop it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "semloop", *arguments],
        env=environment(settings, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_in(folder: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Start `semloop ARGUMENTS` in a folder, without settings from outside.

    The caller must stop it.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEMLOOP_")}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "semloop", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    settings: Settings, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run `semloop ARGUMENTS` and wait until it exits."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "semloop", *arguments],
        env=environment(settings, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )


def check(settings: Settings, *arguments: str, stdin: str = "") -> str:
    """Run `semloop ARGUMENTS`, which must succeed; return its stdout."""
    result = run(settings, *arguments, stdin=stdin)
    assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
    return result.stdout

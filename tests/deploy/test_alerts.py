"""The alerts of `deploy/prometheus`, evaluated by `promtool` on series made for them."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.processes import ROOT

ALERTS = ROOT / "deploy/prometheus/alerts.yaml"


@dataclass(frozen=True)
class Case:
    """Series with `V` for the values that fire and those that do not.

    `labels`: of the alert. `at`: when it is evaluated, from the start of the series.
    """

    alert: str
    labels: dict[str, str]
    series: dict[str, str]
    fires: str
    quiet: str
    at: str


LAGS = {
    'semloop_lag_records{flow="archive"}': "5000x200",
    'semloop_lag_seconds{flow="archive",worker="0"}': "V",
}
FLOWS = {
    f'semloop_silent_seconds{{flow="{flow}"}}': "1x60" for flow in ("memory", "metrics")
}
RUN = 'semloop_maintenance_{}_seconds{{flow="compact"}}'
CASES = (
    Case("SemLoopFlowMissing", {"flow": "archive"}, FLOWS | {
        'semloop_silent_seconds{flow="archive"}': "V"}, "_x60", "1x60", "20m"),
    Case("SemLoopLag", {"flow": "archive"}, LAGS, "60x200", "2x200", "10m"),
    Case("SemLoopNotFresh", {"flow": "archive"}, {
        'semloop_last_offset{flow="archive",partition="0"}': "0+10x200",
        'semloop_freshness_seconds{flow="archive"}': "V"}, "60x200", "2x200", "15m"),
    Case("SemLoopAgentDeadLetters", {"agent": "a"}, {
        'semloop_agent_records_total{agent="a",result="accepted"}': "0+100x200",
        'semloop_agent_records_total{agent="a",result="refused"}': "V"},
        "0+10x200", "0+1x200", "60m"),
    Case("SemLoopEmbeddingBacklog", {"flow": "memory"}, {
        'semloop_embedding_backlog_events{flow="memory",partition="0"}': "V"},
        "2000+50x200", "2000-5x200", "60m"),
    Case("SemLoopSmallFiles", {"table": "events"}, {
        'semloop_table_small_files{flow="archive",table="events"}': "V"},
        "600+10x200", "600-1x200", "90m"),
    Case("SemLoopMaintenanceOverdue", {"flow": "compact"}, {
        RUN.format("interval"): "60x200", RUN.format("age"): "V"},
        "4000x200", "600x200", "10m"),
    Case("SemLoopMaintenanceNeverRan", {"flow": "compact"}, {
        RUN.format("interval"): "60x200", RUN.format("age"): "V"},
        "_x200", "60x200", "150m"),
    Case("SemLoopMaintenanceFailed", {"flow": "vacuum"}, {
        'semloop_maintenance_unfinished_seconds{flow="vacuum"}': "V"},
        "4000x200", "0x200", "10m"),
    Case("SemLoopDiskFull", {"instance": "i"}, {
        'semloop_disk_used_ratio{flow="archive",instance="i"}': "V"},
        "0.9x200", "0.5x200", "10m"),
    Case("SemLoopCostSpike", {"namespace": "n"}, {
        'semloop_credits_total{namespace="n"}': "V"},
        "0+0.1x1400 140+10x60", "0+1x1460", "1450m"),
)  # fmt: skip


@pytest.fixture(scope="module")
def promtool() -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: package prometheus)")
    return program


def test_the_rules_are_valid(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", ALERTS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fires", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.alert))
def test_an_alert_fires_only_when_it_should(
    case: Case, fires: bool, promtool: str, tmp_path: Path
) -> None:
    values = case.fires if fires else case.quiet
    alert = _alert(case.alert)
    expected = {
        "exp_labels": case.labels | alert["labels"],
        "exp_annotations": {
            "runbook": alert["annotations"]["runbook"],
            "summary": _filled(alert["annotations"]["summary"], case.labels),
        },
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values if given == "V" else given}
            for series, given in case.series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": case.at,
                "alertname": case.alert,
                "exp_alerts": [expected] if fires else [],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    # JSON is YAML.
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _alert(name: str) -> dict[str, dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    (found,) = [r for group in groups for r in group["rules"] if r["alert"] == name]
    return dict(found)


def _filled(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text

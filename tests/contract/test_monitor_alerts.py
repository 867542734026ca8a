"""Prometheus of a local stack loads the problem's alert rules."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from ml.monitoring.rules import alert_rules
from ml.problem import load_problem
from tests.contract.conftest import Plan

PROMTOOL = shutil.which("promtool")  # here: `plan` replaces shutil.which


def test_prometheus_is_given_the_alert_rules_and_accepts_them(plan: Callable[..., Plan], tmp_path: Path) -> None:
    files = plan("local-dev", released=True).named("observability-prometheus").inputs["files"]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    configuration = tmp_path / "metrics" / "prometheus.yml"
    named = [configuration.parent / name for name in yaml.safe_load(configuration.read_text())["rule_files"]]
    assert [file.read_text() for file in named] == [alert_rules(load_problem())]
    if PROMTOOL:
        checked = subprocess.run([PROMTOOL, "check", "config", str(configuration)], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr

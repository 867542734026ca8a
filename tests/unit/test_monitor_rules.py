"""Prometheus' alert rules come from the problem's thresholds, and Prometheus accepts them."""

import re
import shutil
import subprocess
from pathlib import Path

import yaml
from click.testing import CliRunner

from ml.monitoring.command import monitor
from ml.monitoring.rules import alert_rules
from ml.problem import Problem, load_problem
from tests.monitor_data import watchful


def expressions(problem: Problem) -> dict[str, str]:
    groups = yaml.safe_load(alert_rules(problem))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def test_thresholds_are_those_of_the_problem() -> None:
    problem = watchful(load_problem(), service={"maximum_error_share": 0.037, "quantile": 0.9, "maximum_ms": 123.0})
    found = expressions(problem)
    assert found["MlopsEndpointErrors"].endswith("> 0.037")
    assert found["MlopsEndpointSlow"].startswith("histogram_quantile(0.9,")
    assert found["MlopsEndpointSlow"].endswith("> 0.123")


def test_there_is_a_rule_for_each_check_of_the_live_data() -> None:
    sections = re.findall(
        r'mlops_monitoring_alert\{section="(\w+)"\} == 1', " ".join(expressions(load_problem()).values())
    )
    assert set(sections) == {"quality", "drift", "performance", "fairness"}


def test_every_rule_has_a_severity_and_a_sentence() -> None:
    for group in yaml.safe_load(alert_rules(load_problem()))["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"].endswith(".")


def test_prometheus_accepts_the_file(tmp_path: Path) -> None:
    """`promtool` where it is installed; elsewhere the structure that it demands."""
    file = tmp_path / "alerts.yml"
    assert CliRunner().invoke(monitor, ["rules", "--out", str(file)]).exit_code == 0
    if promtool := shutil.which("promtool"):
        checked = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    for group in yaml.safe_load(file.read_text())["groups"]:
        assert all(rule.keys() == {"alert", "expr", "for", "labels", "annotations"} for rule in group["rules"])

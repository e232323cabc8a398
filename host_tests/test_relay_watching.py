"""Alert rules and dashboard: every metric they ask for is one that the relay has, and every alert says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import promql_parser
import pytest
import yaml

from tools.relay import metrics
from tools.relay.__main__ import cli
from tools.relay.core import wire
from tools.relay.core.names import FAULTS
from tools.relay.delivery.lane import Lane
from tools.relay.delivery.routes import OneGateway
from tools.relay.pages.view import View
from tools.relay.settings import Settings
from tools.relay.store.store import Store
from tools.relay.testing import Clock, report

DEPLOY = Path(__file__).parents[1] / "tools" / "relay" / "deploy"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((DEPLOY / "dashboard.json").read_text())["panels"])


TARGETS = [(panel["title"], target) for panel in panels() for target in panel["targets"]]
EXPRESSIONS = [
    *(pytest.param(alert["expr"], id=f"alert {alert['alert']}") for alert in alerts()),
    *(pytest.param(target["expr"], id=f"panel {title} {target['refId']}") for title, target in TARGETS),
]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Prometheus reads from a relay that has heard one device, has a route, and asked the gateway once."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('metrics')}/relay.sqlite3", Clock())
    payload = report(1, 5, 1, 5)
    store.accept([("vacuum1", payload, wire.decode_up(payload))])
    metrics.ANSWERS.labels("202").inc()
    metrics.watch("all", Lane("all", Settings(), OneGateway("", ""), Mock(), Mock(), Mock()))
    view = View(store, Clock())
    text = metrics.exposition(view).decode()
    view.close()
    store.close()
    return text


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_asked_for_is_one_the_relay_has(exposed: str, expression: str) -> None:
    names = set(re.findall(r"\bwearmeter_\w+", expression))
    assert names or "up{" in expression
    for name in names:
        assert re.search(rf"^{name}[ {{]", exposed, re.MULTILINE), name
    for name, labels in re.findall(r"(wearmeter_\w+){([^}]*)}", expression):
        for label in re.findall(r"(\w+)[!=]", labels):
            assert re.search(rf"^{name}{{[^}}]*\b{label}=", exposed, re.MULTILINE), (name, label)
    for faults in re.findall(r'fault=~"([^"]*)"', expression):
        assert set(faults.split("|")) <= {fault.name for fault in FAULTS}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    found = alerts()
    assert len({alert["alert"] for alert in found}) == len(found) > 8
    for alert in found:
        assert alert["labels"]["severity"] in ("page", "ticket") and alert["for"]
        assert set(alert["annotations"]) == {"summary", "action"}
        for command in re.findall(r"`wearmeter-relay ([\w-]+)", alert["annotations"]["action"]):
            assert command in cli.commands


def test_the_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_is_one_of_prometheus(expression: str) -> None:
    promql_parser.parse(expression)


def test_prometheus_own_tool_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:  # Debian's package brings 316 MB with it: set-up does not install it.
        pytest.skip("PROMTOOL IS NOT INSTALLED: only the grammar of the rules was checked (apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "alerts.yaml"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr

"""What a Prometheus server gets, and what its alerts and its dashboard make of it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from dicom_io.archives.tls import Tls
from dicom_io.errors import ConfigurationError, PluginError
from plugin.commands.files import content
from plugin.housekeeping import metrics_server
from plugin.settings import load_settings
from plugin.state.database import connect, session_factory
from plugin.state.kinds import Kind
from plugin.state.running.pulse import Pulse
from plugin.state.tables import Job
from plugin.state.tally import TALLY
from plugin.state.timeline import add_event
from plugin.upkeep.metrics.samples import ServiceMetrics
from plugin.upkeep.metrics.server import MetricsServer
from tests.certificates import Authority
from tests.repository import ROOT
from tests.services import require

DOCS = ROOT / "docs" / "monitoring.md"
ALERTS, DASHBOARD = "prometheus-alerts.yaml", "grafana-dashboard.json"


@pytest.fixture
def metrics(sessions, spool, hospital) -> ServiceMetrics:
    return ServiceMetrics(sessions, spool.root, floor_bytes=7, now=lambda _: hospital.now)


@pytest.fixture
def told(metrics, sessions) -> Iterator[Callable[[], dict[str, float]]]:
    """Ask as Prometheus does; returns every sample."""
    TALLY.flush(sessions)  # of other tests
    with closing(MetricsServer(metrics, "127.0.0.1", 0, None)) as server:
        server.start()

        def told() -> dict[str, float]:
            TALLY.flush(sessions)
            answer = httpx.get(f"http://127.0.0.1:{server.port}/metrics")
            assert answer.status_code == 200
            samples = {}
            for family in text_string_to_metric_families(answer.text):
                for one in family.samples:
                    labels = ",".join(f"{k}={v}" for k, v in sorted(one.labels.items()))
                    samples[one.name + (f"{{{labels}}}" if labels else "")] = one.value
            return samples

        yield told


def test_a_day_of_the_service_in_figures(told, hospital, sessions, spool):
    before = told()

    def grown(name: str) -> float:
        return now[name] - before.get(name, 0)

    with sessions.begin() as session:
        detail = {"model": "med3dvlm 7", "digest": "abc"}
        add_event(session, Kind.ENGINE_UP, "x", now=hospital.now, detail=detail)
    hospital.studies(2)
    hospital.send("1.2.9")
    hospital.draft("ris")
    hospital.send("1.2.10")
    hospital.send("1.2.11")
    hospital.pass_by(seconds=100)
    with sessions.begin() as session:
        later = update(Job).where(Job.study_id == 5)
        session.execute(later.values(deadline=hospital.now.replace(year=2030), urgency=0))
    with closing(Pulse(spool.root, "receive")):
        now = told()
    assert grown("ctscribe_drafts_total{state=complete}") == 3
    assert grown("ctscribe_deliveries_total{destination=pacs,outcome=delivered}") == 2
    assert grown("ctscribe_events_total{kind=received,level=info}") == 5
    assert grown("ctscribe_queue_wait_seconds_count{urgency=routine}") == 3
    assert now["ctscribe_open_deliveries{destination=ris,state=pending}"] == 1
    assert now["ctscribe_oldest_delivery_seconds{destination=ris}"] == 100
    assert now["ctscribe_jobs{state=due,urgency=routine}"] == 1
    assert now["ctscribe_jobs{state=collecting,urgency=stat}"] == 1
    assert now["ctscribe_oldest_due_job_seconds{urgency=routine}"] == 40
    assert now["ctscribe_oldest_due_job_seconds{urgency=stat}"] == 0
    assert now["ctscribe_disk_bytes{what=floor}"] == 7
    assert now["ctscribe_disk_bytes{what=total}"] > now["ctscribe_disk_bytes{what=free}"] > 0
    assert now["ctscribe_model_info{digest=abc,model=med3dvlm 7}"] == 1
    assert (now["ctscribe_engine_up"], now["ctscribe_database_up"]) == (1, 1)
    assert [v for k, v in now.items() if "part=receive,state=alive" in k] == [1]


def test_without_a_database_the_rest_is_still_told(tmp_path, spool):
    sessions = session_factory(connect(f"sqlite:///{tmp_path / 'empty.db'}"))
    families = {one.name: one for one in ServiceMetrics(sessions, spool.root).collect()}
    sessions.kw["bind"].dispose()
    assert families["ctscribe_database_up"].samples[0].value == 0
    assert {"ctscribe_processes", "ctscribe_disk_bytes"} <= families.keys()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/metrics", {}, 401),
        ("/metrics", {"Authorization": "Bearer wrong"}, 401),
        ("/metrics", {"Authorization": "Bearer right"}, 200),
        ("/other", {"Authorization": "Bearer right"}, 404),
        ("/other", {}, 401),
    ],
)
def test_whoever_lacks_the_token_is_told_nothing(metrics, path, headers, status):
    with closing(MetricsServer(metrics, "127.0.0.1", 0, "right")) as server:
        server.start()
        answer = httpx.get(f"http://127.0.0.1:{server.port}{path}", headers=headers)
        assert answer.status_code == status
        assert ("ctscribe" in answer.text) == (status == 200)


def test_by_tls_the_line_is_encrypted_and_who_says_nothing_keeps_nobody(metrics, tmp_path):
    authority = Authority(tmp_path / "ca")
    issued = authority.issue()
    tls = Tls(None, issued.certificate, issued.key).server()
    with closing(MetricsServer(metrics, "127.0.0.1", 0, "right", tls)) as server:
        server.start()
        trust, token = ssl.create_default_context(cafile=authority.file), "Bearer right"
        with socket.create_connection(("127.0.0.1", server.port)):  # and never a word
            answer = httpx.get(
                f"https://127.0.0.1:{server.port}/metrics",
                headers={"Authorization": token},
                verify=trust,
            )
        assert answer.status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Authorization": token})


def test_a_port_that_is_taken_is_one_line_and_tried_again(metrics):
    with closing(MetricsServer(metrics, "127.0.0.1", 0, None)) as first:
        first.start()
        port = first.port
        second = MetricsServer(metrics, "127.0.0.1", port, None)
        with pytest.raises(PluginError, match=f"no metrics at 127.0.0.1:{port}: Address already"):
            second.start()
    second.start()
    second.start()
    second.close()


def test_beyond_loopback_a_token_is_needed(tmp_path, sessions, monkeypatch):
    config = tmp_path / "ctscribe.toml"
    config.write_text('[metrics]\nhost = "0.0.0.0"')
    with pytest.raises(ConfigurationError, match=r"metrics: host 0.0.0.0 .* token_env"):
        load_settings(config)
    config.write_text('[metrics]\nhost = "0.0.0.0"\ntoken_env = "METRICS_TOKEN"')
    with pytest.raises(ConfigurationError, match="METRICS_TOKEN"):
        metrics_server(load_settings(config), sessions)
    monkeypatch.setenv("METRICS_TOKEN", "secret")
    metrics_server(load_settings(config), sessions).close()


def documented() -> dict[str, set[str]]:
    """Name and labels of every metric on the page."""
    rows = re.findall(r"^\| `(ctscribe_\w+)` \|([^|]*)\|", DOCS.read_text("utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_the_page_tells_every_metric_with_its_labels(metrics):
    suffix = {"counter": "_total"}
    told = {
        one.name + suffix.get(one.type, ""): set(one._labelnames)  # type: ignore[attr-defined]
        for one in metrics.collect()
    }
    assert documented() == told


def names_in(text: str) -> set[str]:
    return {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"ctscribe_\w+", text)}


@pytest.mark.parametrize("file", [ALERTS, DASHBOARD])
def test_alerts_and_dashboard_ask_for_what_there_is(file):
    assert names_in(content(file)) <= documented().keys()


def test_the_page_tells_every_alert():
    rules = yaml.safe_load(content(ALERTS))["groups"][0]["rules"]
    page = DOCS.read_text("utf-8")
    assert [one["alert"] for one in rules if f"`{one['alert']}`" not in page] == []


def promtool(*arguments: str | Path) -> str:
    require(shutil.which("promtool") is not None, "promtool (Debian package prometheus)")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_loads_the_alerts_and_they_fire_when_they_should(tmp_path):
    (tmp_path / ALERTS).write_text(content(ALERTS))
    promtool("check", "rules", tmp_path / ALERTS)
    test = Path(__file__).with_name("prometheus-alerts.test.yaml")
    shutil.copy(test, tmp_path)
    promtool("test", "rules", tmp_path / test.name)


def test_the_dashboard_loads_and_asks_in_promql(tmp_path):
    dashboard = json.loads(content(DASHBOARD))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    rules = [
        {"record": f"a{n}", "expr": expr.replace("$__rate_interval", "5m")}
        for n, expr in enumerate(asked)
    ]
    (tmp_path / "asked.yaml").write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "asked.yaml")

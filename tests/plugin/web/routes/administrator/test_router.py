"""What administrators ask over HTTP is what the command line does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select, update
from starlette.testclient import TestClient

from plugin.settings import Settings, load_settings
from plugin.state.audit import Action, AuditRow, Who
from plugin.state.kept.refusals import TurnedAway
from plugin.state.tables import Delivery, Draft, Instance, Job
from plugin.web.access.gate import Gate
from plugin.web.access.sessions import Role
from plugin.web.application import create_app
from plugin.web.routes.administrator.router import administration_router
from plugin.web.routes.office import Office
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward

SETTINGS = """
[storage]
spool = "spool"
[[destinations]]
name = "strict"
kind = "dimse"
host = "192.0.2.1"
port = 104
ae_title = "STRICT"
rejection_notes = true
[[destinations]]
name = "plain"
kind = "dimse"
host = "192.0.2.2"
port = 104
ae_title = "PLAIN"
[[models]]
name = "trial"
model = "fake"
shadow = true
[[rules]]
name = "all"
urgency = "high"
"""
ADA = Who(kind="person", name="ada", address="192.0.2.9")


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[], Settings]:
    path = tmp_path / "ctscribe.toml"
    path.write_text(SETTINGS)
    return lambda: load_settings(path)


@pytest.fixture
def service(drafted: Callable[..., Ward]) -> Ward:
    return drafted(2)


@pytest.fixture
def client(service: Ward, settings: Callable[[], Settings]) -> Iterator[TestClient]:
    office = Office(settings, service.sessions, service.spool, lambda _: ADA, ())
    app = create_app(Gate(service.sessions), [administration_router(office)], secure=False)
    with TestClient(app) as client:
        yield client


def trail(service: Ward) -> list[AuditRow]:
    with service.sessions() as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.position)))


def by_ada(service: Ward) -> list[tuple[Action, str]]:
    entries = [row.entry for row in trail(service)]
    return [(one.action, one.detail) for one in entries if one.who == ADA]


def test_a_timeline_says_where_a_study_stands(client: TestClient, service: Ward) -> None:
    listed = client.get("/api/admin/studies", params={"number": "A1"}).json()["studies"]
    assert {one["accession_number"] for one in listed} == {"A1"}
    told = client.get("/api/admin/studies/1.2.0/timeline").json()
    assert told["verdict"].startswith("draft 1 (complete): ")
    assert told["events"][0]["kind"] == "received"
    assert (Action.VIEWED, "its timeline") in by_ada(service)


def test_what_is_not_known_is_not_found(client: TestClient) -> None:
    for method, path in (
        ("GET", "studies/1.2.99/timeline"),
        ("POST", "studies/1.2.99/redraft"),
        ("POST", "studies/1.2.99/retract"),
        ("POST", "deliveries/99/retry"),
    ):
        answer = client.request(method, f"/api/admin/{path}", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path


def test_a_new_draft_is_made_of_the_same_images(
    client: TestClient, service: Ward, rows: Callable[[Any], list[Any]]
) -> None:
    answer = client.post("/api/admin/studies/1.2.0/redraft", json={"reason": "asked by phone"})
    assert answer.status_code == 202
    job = rows(Job)[-1]
    assert (job.revision, job.forced, job.state) == (2, True, "pending")
    assert (Action.ASKED, "a new draft: asked by phone") in by_ada(service)
    service.worker.work_once()
    assert [one.revision for one in rows(Draft)] == [1, 1, 2]


def test_without_images_there_is_no_new_draft(client: TestClient, service: Ward) -> None:
    with service.sessions.begin() as session:
        session.execute(update(Instance).values(processed=False))
    answer = client.post("/api/admin/studies/1.2.0/redraft", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "not-possible")
    assert "send the study again" in answer.json()["error"]


def test_a_draft_is_taken_back_once(client: TestClient, service: Ward) -> None:
    with service.sessions.begin() as session:
        session.execute(update(Delivery).values(state="proved", attempts=1, sends=1))
    told = client.post("/api/admin/studies/1.2.0/retract", json={"reason": "wrong side"}).json()
    assert (told["told"], told["by_hand"]) == (["strict"], ["plain"])
    assert (Action.ASKED, "the draft is retracted: wrong side") in by_ada(service)
    events = client.get("/api/admin/studies/1.2.0/timeline").json()["events"]
    retracted = next(one for one in events if one["kind"] == "retracted")
    assert "a person asked for it" in retracted["message"]
    assert "wrong side" not in retracted["message"]
    assert client.post("/api/admin/studies/1.2.0/retract", json={}).status_code == 409


def test_a_failed_delivery_is_tried_again(
    client: TestClient, service: Ward, rows: Callable[[Any], list[Any]]
) -> None:
    with service.sessions.begin() as session:
        session.execute(update(Delivery).values(state="failed", last_error="refused"))
    found = client.get("/api/admin/deliveries", params={"state": "failed", "limit": 3}).json()
    assert len(found["deliveries"]) == 3
    assert found["deliveries"][0]["last_error"] == "refused"
    later = {"state": "failed", "before": found["next"]}
    (last,) = client.get("/api/admin/deliveries", params=later).json()["deliveries"]
    answer = client.post(f"/api/admin/deliveries/{last['id']}/retry")
    assert (answer.status_code, answer.json()) == (202, {"due": 1})
    (pending,) = [one for one in rows(Delivery) if one.state == "pending"]
    assert pending.id == last["id"]
    assert by_ada(service)[-1][1].startswith(f"deliver again: destination {last['destination']}")


def test_queue_and_throughput(client: TestClient, service: Ward) -> None:
    service.arrive(7)
    told = client.get("/api/admin/queue").json()
    due = {"state": "due", "urgency": "routine", "count": 1}
    assert due in told["jobs"]
    assert sum(one["drafts"] for one in told["hours"]) == 2
    assert len(told["hours"]) == 24
    assert {one["destination"] for one in told["deliveries"]} == {"strict", "plain"}


def test_the_disk_says_what_stays(client: TestClient) -> None:
    told = client.get("/api/admin/disk").json()
    assert told["total_bytes"] > told["free_bytes"] > 0
    assert {one["rule"] for one in told["taken"]} >= {"images", "drafts", "rows"}
    assert told["deleted"] == []
    assert any(one["studies"] == 2 for one in told["kept"])


def test_who_was_refused_today(client: TestClient, service: Ward) -> None:
    away = TurnedAway()
    away.note("CT9", "192.0.2.1", "UnknownSender")
    away.flush(service.sessions)
    (told,) = client.get("/api/admin/refusals").json()["refusals"]
    assert (told["sender"], told["reason"], told["count"]) == ("CT9", "UnknownSender", 1)
    later = {"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    assert client.get("/api/admin/refusals", params=later).json() == {"refusals": []}


def test_other_rules_are_replayed(client: TestClient) -> None:
    shown = client.get("/api/admin/rules").json()
    assert shown["text"] == '[[rules]]\nname = "all"\nurgency = "high"'
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    other = "[[rules]]\nname = \"none\"\nwhen = 'images > 0'\ndraft = false"
    told = client.post("/api/admin/rules/replay", json={"rules": other, "since": since}).json()
    assert (told["judged"], told["gone"], len(told["changed"])) == (2, 0, 2)
    assert told["changed"][0]["new"] == "rule none: no draft"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[[rules", "not valid TOML"),
        ('[[rules]]\nname = "a"\nmodel = "gone"', "no model is called gone"),
        ('[[rules]]\nname = "a"\nwhen = "houre > 3"', "did you mean hour?"),
        ("[worker]\nattempts = 3", "no such key"),
    ],
)
def test_rules_that_are_none_are_refused_with_the_place(
    client: TestClient, rules: str, said: str
) -> None:
    trial = {"rules": rules, "since": "2026-11-01T00:00:00Z"}
    answer = client.post("/api/admin/rules/replay", json=trial)
    assert answer.status_code == 409
    assert said in answer.json()["error"]


def test_a_model_is_compared_promoted_and_rolled_back(client: TestClient, service: Ward) -> None:
    told = client.get("/api/admin/models").json()
    assert (told["current"], told["on_trial"]) == ("[engine]", ["trial"])
    found = client.get("/api/admin/models/comparison", params={"model": "trial"}).json()
    assert found["pairs"] == 2
    assert found["current_only"] == {"left pleural effusion": 2}
    promoted = client.post("/api/admin/models/promote", json={"name": "trial"}).json()
    assert promoted == {"current": "trial", "before": "[engine]"}
    assert client.post("/api/admin/models/promote", json={"name": "gone"}).status_code == 409
    assert client.post("/api/admin/models/rollback").json() == {"current": "[engine]"}
    assert client.post("/api/admin/models/rollback").status_code == 409
    assert [one for one, _ in by_ada(service)] == [Action.CONFIGURED, Action.CONFIGURED]


def test_the_trail_is_read_and_says_so(client: TestClient) -> None:
    client.get("/api/admin/studies/1.2.1/timeline")
    first = client.get("/api/admin/audit", params={"person": "ada", "limit": 1}).json()
    assert [one["entry"]["action"] for one in first["entries"]] == ["viewed"]
    again = client.get("/api/admin/audit", params={"action": "trail read"}).json()
    assert [one["entry"]["who"]["name"] for one in again["entries"]] == ["ada"]
    of_study = client.get("/api/admin/audit", params={"study": "1.2.1"}).json()["entries"]
    assert {one["entry"]["study"]["study_instance_uid"] for one in of_study} == {"1.2.1"}
    older = client.get("/api/admin/audit", params={"before": 2}).json()["entries"]
    assert [one["position"] for one in older] == [1]


@pytest.mark.parametrize(
    "query",
    [
        "studies?since=0001-01-01T00:00:00%2B14:00",
        "studies?sender=%00",
        "deliveries?before=99999999999999999999",
        "deliveries?state=lost",
        "audit?limit=100000",
    ],
)
def test_odd_values_are_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/admin/{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_nobody_else_passes(service: Ward, settings: Callable[[], Settings]) -> None:
    def who(_: Request) -> Who:
        raise AssertionError

    gate = Gate(service.sessions)
    may = [gate.allowed(Role.ADMINISTRATOR)]
    office = Office(settings, service.sessions, service.spool, who, may)
    router = administration_router(office)
    client = TestClient(create_app(gate, [router], secure=False))
    described = FastAPI()
    described.include_router(router)
    for path, methods in described.openapi()["paths"].items():
        for method, told in methods.items():
            answer = client.request(method, path.replace("{study}", "1").replace("{delivery}", "1"))
            assert answer.status_code == 401, path
            assert {"401", "403", "404", "409", "422"} <= set(told["responses"])

"""What stands beside a study, asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from dicom_io.archives.patients.identity import same_person
from plugin.state.audit import Who
from plugin.web.beside.priors import person as person_in
from plugin.web.beside.routes import beside_router
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused, answer_refused
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import drafted as drafted
from tests.plugin.feedback.conftest import ward as ward


@pytest.fixture
def client(drafted: Callable[..., Ward]) -> Iterator[TestClient]:
    """Three drafted studies of one patient."""
    service = drafted(3)
    app = FastAPI()
    app.add_exception_handler(Refused, answer_refused)
    archive = Archive(service.sessions, service.spool)

    def who(_: Request) -> Who:
        return Who(kind="person", name="reader")

    app.include_router(beside_router(archive, who, ()))
    with TestClient(app) as client:
        yield client


def test_priors_come_with_their_drafts(client: TestClient) -> None:
    priors = client.get("/api/studies/1.2.0/priors").json()["priors"]
    assert {one["study_instance_uid"] for one in priors} == {"1.2.1", "1.2.2"}
    assert priors[0]["modality"] == "CT"
    assert priors[0]["source"] == "received"
    assert "pleural effusion" in priors[0]["report"]
    assert priors[0]["state"] in ("complete", "partial")


def test_similar_cases_name_no_patient(client: TestClient) -> None:
    found = client.get("/api/studies/1.2.0/similar").json()
    assert found["of"] == 3
    assert len(found["cases"]) == 2
    assert all(0 < one["similarity"] <= 1 for one in found["cases"])
    keys = {"study_instance_uid", "similarity", "date", "description", "report", "state"}
    assert set(found["cases"][0]) == keys


def test_an_unknown_study(client: TestClient) -> None:
    for what in ("priors", "similar"):
        answer = client.get(f"/api/studies/1.2.99/{what}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def person(
    number: str = "7", issuer: str = "", name: str = "Doe^Jane", born: str = ""
) -> dict[str, Any]:
    return {
        "00100020": {"vr": "LO", "Value": [number]},
        "00100021": {"vr": "LO", "Value": [issuer] if issuer else []},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "00100030": {"vr": "DA", "Value": [born] if born else []},
    }


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (person(), True),
        (person(name="DOE^JANE"), True),
        (person(born="19700101"), True),
        (person(name="Roe^Richard"), False),
        (person(issuer="ELSEWHERE"), False),
        (person(number="8"), False),
    ],
)
def test_one_patient(other: dict[str, Any], same: bool) -> None:
    assert same_person(person_in(person()), person_in(other)) is same


def test_birth_dates_that_contradict() -> None:
    one, other = person(born="19700101"), person(born="19700102")
    assert not same_person(person_in(one), person_in(other))

import pytest
from starlette.testclient import TestClient

from tests.training.site.reviewing.work import write_work
from training.site.reviewing.desk import Desk
from training.site.reviewing.page import Door, application

HOST = "127.0.0.1:8123"


@pytest.fixture
def desk(tmp_path):
    return Desk.open(write_work(tmp_path / "work"), "Rita")


@pytest.fixture
def door():
    return Door((HOST,))


@pytest.fixture
def app(desk, door):
    return application(desk, door)


def client(app) -> TestClient:
    return TestClient(app, base_url=f"http://{HOST}")


def test_the_token_opens_the_page_once(app, door):
    address = f"/?token={door.token}"
    browser, other = client(app), client(app)
    assert browser.get(address).status_code == 200
    assert browser.get("/").status_code == 200
    assert other.get(address).status_code == 403
    assert other.get("/api/overview").status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=x", "/api/overview", "/api/reports/s-1"]
)
def test_nobody_else_sees_anything(app, path):
    answer = client(app).get(path)
    assert answer.status_code == 403
    assert "Whitfield" not in answer.text


def test_a_page_that_calls_this_machine_by_another_name_is_refused(app, door):
    browser = client(app)
    browser.get(f"/?token={door.token}")
    assert browser.get("/api/overview", headers={"Host": "evil.example"}).status_code == 403


def test_decisions_go_to_the_list(app, door, desk):
    browser = client(app)
    browser.get(f"/?token={door.token}")
    said = {"study": "s-1", "n": 1, "decision": "accept"}
    assert browser.post("/api/decide", json=said).status_code == 200
    assert browser.post("/api/add", json={"study": "s-1", "original": "quixana", "kind": "NAME"})
    assert browser.post("/api/read", json={"study": "s-1"}).status_code == 200
    overview = browser.get("/api/overview").json()
    first = overview["reports"][0]
    assert first == {"study": "s-1", "undecided": 3, "in_sample": True, "read": True}
    assert "quixana" in (desk.work / "review.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("decide", {"study": "s-9", "n": 1, "decision": "accept"}),
        ("decide", {"study": "s-1", "n": 1, "decision": "perhaps"}),
        ("add", {"study": "s-1", "original": "bladder", "kind": "NAME"}),
        ("add", {"study": "s-1", "original": "quixana", "kind": "THING"}),
        ("shred", {}),
    ],
)
def test_what_makes_no_sense_is_refused(app, door, action, said):
    browser = client(app)
    browser.get(f"/?token={door.token}")
    assert browser.post(f"/api/{action}", json=said).status_code == 400


def test_the_page_fetches_nothing_from_elsewhere(app, door):
    answer = client(app).get(f"/?token={door.token}")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "https://" not in answer.text

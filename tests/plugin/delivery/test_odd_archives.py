"""What archives do, and what comes of it: how it ends, how often is sent, what is said.

Hours pass between two attempts; every row is one archive and one draft.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydicom.uid import generate_uid

from dicom_io.archives import dimse, http
from dicom_io.archives.association import Timeouts
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from plugin.delivery.destinations import Destination, Proof
from plugin.delivery.outbox import LONGEST_PAUSE_S, OPEN
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Level
from tests.odd_archives import Oddity, odd_pacs, odd_web
from tests.plugin.delivery.drafts import Service
from tests.waiting import eventually

pytestmark = [
    # pynetdicom leaves the socket of an aborted connection to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
# A busy machine answers within seconds; who is to be too slow takes longer
QUICK = Timeouts(connect_s=10, acse_s=10, dimse_s=3)
# Ten tries, or five looks for each of three sends and one more, end every story
MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class Case:
    """What an archive does, and what must come of it."""

    odd: dict[str, object]
    state: str
    sends: int
    said: str = ""
    proof: Proof = Proof.FOUND

    @property
    def alerts(self) -> int:
        return int(self.state == "failed")


PACS = {
    "as it should be": Case({}, "proved", 1),
    "ends the association after the store": Case({"lets_go": True}, "proved", 1),
    "answers later than we wait": Case({"slow_s": 4.0}, "proved", 1),
    "has it already": Case({"answers": (0x0111,)}, "proved", 1),
    "coerces elements": Case({"answers": (0xB000,)}, "proved", 1),
    "fails and keeps it": Case({"answers": (0x0110,), "keeps_refused": True}, "proved", 1),
    "fails once": Case({"answers": (0x0110, 0)}, "proved", 2),
    "does not understand once": Case({"answers": (0xC000, 0)}, "proved", 2),
    "does not authorise at first": Case({"answers": (0x0124, 0x0124, 0)}, "proved", 3),
    "is out of resources for hours": Case({"answers": (0xA700,) * 12 + (0,)}, "proved", 13),
    "fails for ever": Case({"answers": (0x0110,)}, "failed", 5, "0x0110"),
    "never understands": Case({"answers": (0xC000,)}, "failed", 3, "0xC000"),
    "never authorises": Case({"answers": (0x0124,)}, "failed", 3, "0x0124"),
    "refuses the data set": Case({"answers": (0xA900,)}, "failed", 1, "0xA900"),
    "shows it late": Case({"hides": 4}, "proved", 1),
    "shows it very late": Case({"hides": 7}, "proved", 2),
    "puts it into a holding bin": Case({"keeps": False}, "failed", 3, "unverified"),
    "hides it from searches": Case({"hides": -1}, "failed", 3, "hides reports"),
    "gives it another UID": Case({"coerces": True}, "failed", 3, "another SOP Instance UID"),
    "cannot be searched": Case({"finds": False}, "failed", 1, "Information Model - FIND"),
    "cannot be searched, and need not": Case({"finds": False}, "accepted", 1, proof=Proof.NONE),
    "refuses the IMAGE level": Case({"refuses_images": True}, "failed", 1, "at IMAGE level"),
    "is counted at": Case({"refuses_images": True}, "proved", 1, proof=Proof.COUNTED),
    "does not know our title": Case({"knows_us": False}, "failed", 0, "AE title not recognised"),
    "folds names": Case({"patient_name": lambda name: "M?LLER^ZO?"}, "proved", 1),
    "keeps another name": Case({"patient_name": lambda name: "Else^Anna"}, "proved", 1),
    "puts its site before the ID": Case({"patient_id": "HOSP-{}".format}, "proved", 1),
    "prefixes, and has no CT": Case(
        {"patient_id": "HOSP-{}".format, "ct": False}, "failed", 1, "no CT of the study"
    ),
    "files under another patient": Case(
        {"patient_id": lambda _: "99", "patient_name": lambda _: "Else^Anna"},
        "failed",
        1,
        "another patient or study: correct it",
    ),
}
WEB = {
    "as it should be": Case({}, "proved", 1),
    "answers 409, exists": Case({"answers": (409,), "body": "exists"}, "proved", 1),
    "has it already": Case(
        {"answers": (409,), "failure": 0x0111, "keeps_refused": True}, "proved", 1
    ),
    "answers with a page": Case({"body": "<html>"}, "proved", 1),
    "answers with a page and keeps nothing": Case(
        {"body": "<html>", "keeps": False}, "failed", 3, "never found"
    ),
    "has a token that expires": Case({"answers": (401, 200)}, "proved", 2),
    "refuses the user": Case({"answers": (401,)}, "failed", 3, "401"),
    "is restarted behind a proxy": Case({"answers": (503,) * 12 + (200,)}, "proved", 13),
    "breaks over the report": Case({"answers": (500,)}, "failed", 10, "500"),
    "refuses the report": Case({"answers": (202,), "failure": 0xA900}, "failed", 1, "0xA900"),
    "cannot be searched": Case({"finds": False}, "failed", 1, "404"),
    "has an index that lags": Case({"lags": 3}, "proved", 1),
    "shows it late": Case({"hides": 4}, "proved", 1),
    "is counted at": Case({}, "proved", 1, proof=Proof.COUNTED),
}


@pytest.fixture
def service(sessions: SessionFactory, spool: Spool) -> Service:
    return Service(sessions, spool.root)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def outcome(service: Service, destination: Destination) -> str:
    """Deliver until the story ends, hours later each time; returns the state."""
    for _ in range(MOST_ATTEMPTS):
        service.deliver(destination)
        (state,) = service.states()
        if state not in OPEN:
            break
        service.clock.pass_by(2 * LONGEST_PAUSE_S)
    return state


def check(service: Service, odd: Oddity, case: Case, state: str) -> None:
    alerts = [one.message for one in service.events() if one.level == Level.ALERT]
    assert (state, odd.sent, len(alerts)) == (case.state, case.sends, case.alerts), alerts
    assert case.said in "".join(alerts)
    assert ("another patient" in "".join(alerts)) == ("another patient" in case.said)


@pytest.mark.parametrize("case", PACS.values(), ids=PACS)
def test_a_pacs_that(service: Service, closing: ExitStack, case: Case) -> None:
    odd = Oddity(**case.odd)  # type: ignore[arg-type]
    port = closing.enter_context(odd_pacs(odd))
    counts = case.proof is Proof.COUNTED
    pacs = Dimse("127.0.0.1", port, "ARCHIVE", timeouts=QUICK, counts=counts)
    service.draft("pacs", study=generate_uid())
    check(service, odd, case, outcome(service, Destination("pacs", pacs, case.proof)))


def committing(port: int) -> Destination:
    pacs = Dimse("127.0.0.1", port, "ARCHIVE", timeouts=QUICK)
    return Destination("pacs", pacs, Proof.COMMITMENT, commit=pacs.commit)


@pytest.mark.parametrize(
    ("odd", "state", "sends"),
    [
        (Oddity(finds=False), "proved", 1),
        (Oddity(lets_go=True), "proved", 1),
        (Oddity(commits=False), "failed", 3),
        (Oddity(keeps=False), "failed", 3),
    ],
)
def test_a_pacs_that_commits_itself_or_does_not(
    service: Service, closing: ExitStack, odd: Oddity, state: str, sends: int
) -> None:
    port = closing.enter_context(odd_pacs(odd))
    service.draft("pacs")
    assert (outcome(service, committing(port)), odd.sent) == (state, sends)
    alerts = [one for one in service.events() if one.level == Level.ALERT]
    assert len(alerts) == (state == "failed")


def test_a_pacs_that_reports_its_commitment_to_the_receiver(
    service: Service, closing: ExitStack, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse, "WAIT_S", 0.1)
    patience = Patience(timedelta(hours=1), timedelta(hours=2))
    receiver = running_receiver(service.sessions, spool, patience=patience)
    odd = Oddity(calls_back=closing.enter_context(receiver))
    destination = committing(closing.enter_context(odd_pacs(odd)))
    service.draft("pacs")
    service.deliver(destination)
    assert service.states() == ["sent"]
    eventually(lambda: service.committed() == [True])
    service.clock.time = datetime.now(UTC)
    service.deliver(destination)
    assert service.states() == ["proved"]
    assert odd.sent == 1


@pytest.mark.parametrize("case", WEB.values(), ids=WEB)
def test_a_dicomweb_server_that(
    service: Service, closing: ExitStack, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(http, "GET_PAUSE_S", 0.0)
    odd = Oddity(**case.odd)  # type: ignore[arg-type]
    service.draft("web", study=generate_uid())
    (report,) = (service.spool / "drafts").glob("*.dcm")
    url = closing.enter_context(odd_web(odd, report))
    web = Dicomweb(url, counts=case.proof is Proof.COUNTED)
    check(service, odd, case, outcome(service, Destination("web", web, case.proof)))

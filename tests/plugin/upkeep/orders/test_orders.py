"""What a RIS tells by HL7 v2: heard over a socket, kept, and followed."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.client import MLLPClient
from sqlalchemy import select, text

from dicom_io.hl7_messages import messages_in
from plugin.drafting.wanted.judging import Judge
from plugin.drafting.wanted.reported import ToldReports
from plugin.drafting.worker import Worker
from plugin.housekeeping import hl7_duties
from plugin.reception import intake
from plugin.rules.rules import Rules
from plugin.rules.urgency import Urgency, urgency_named
from plugin.sections.upkeep import Hl7
from plugin.settings import Settings
from plugin.state.completeness import nothing_known
from plugin.state.database import SessionFactory, connect, session_factory
from plugin.state.files.spool import Spool
from plugin.state.kept.orders import Order
from plugin.state.tables import Delivery, Draft, Event, Job
from plugin.upkeep.orders.hearing import Hearing
from plugin.upkeep.orders.listener import Listener
from plugin.upkeep.orders.messages import Told, told_by
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.delivery.drafts import Service, Shelf
from tests.plugin.intake_objects import make_slice, new_uid
from tests.plugin.model import Model

FIELDS = Hl7().accession_fields
HEAD = "MSH|^~\\&|RIS|HOSPITAL|CTSCRIBE|CT|20261128120000||{kind}|{id}|P|2.5.1"
PATIENT = "PID|1||P1^^^RIS||Rossi^Mario"


def message(*segments: str, kind: str = "ORM^O01", number: str = "M1") -> str:
    return "\r".join([HEAD.format(kind=kind, id=number), PATIENT, *segments, ""])


def order(accession: str = "A1", priority: str = "S", control: str = "NW") -> str:
    return message(f"ORC|{control}|1|||||^^^^^{priority}", obr(accession))


def obr(accession: str, status: str = "") -> str:
    fields = [""] * 26
    fields[18], fields[25] = accession, status
    return "|".join(["OBR", "1", *fields[2:]])


def result(accession: str = "A1", status: str = "F") -> str:
    return message(obr(accession, status), "OBX|1|TX|1||Nothing.", kind="ORU^R01")


def told(sent: str) -> list[Told]:
    (one,) = messages_in(sent.encode())
    return told_by(one, FIELDS)


@pytest.mark.parametrize(
    ("segments", "kind", "expected"),
    [
        (["ORC|NW|1|||||^^^^^S", obr("A1")], "ORM^O01", Told("A1", urgency=Urgency.STAT)),
        (["ORC|NW|1", "TQ1|1||||||||A", obr("A1")], "OMG^O19", Told("A1", urgency=Urgency.HIGH)),
        (
            ["ORC|NW|1", "TQ1|1||||||||T", "OBR|1||F1", "IPC|A1|||1.2.3"],
            "OMI^O23",
            Told("A1", urgency=Urgency.HIGH),
        ),
        (["ORC|NW|1||||||", "OBR|1||F1||S"], "ORM^O01", Told("F1", urgency=Urgency.STAT)),
        (["ORC|NW|1||F7|||", "OBR|1"], "ORM^O01", None),
        (["ORC|CA|1|||||^^^^^S", obr("A1")], "ORM^O01", Told("A1")),
        (["ORC|NW|1", obr("A1")], "ORM^O01", Told("A1")),
        ([obr("A1", "F")], "ORU^R01", Told("A1", reported=True)),
        ([obr("A1", "C")], "ORU^R01", Told("A1", reported=True)),
        ([obr("A1", "P")], "ORU^R01", Told("A1")),
        ([obr("A1", "F"), "ZDS|1.2.3^X"], "ORU^R01", Told("A1", "1.2.3", reported=True)),
    ],
)
def test_what_messages_tell(segments: list[str], kind: str, expected: Told | None) -> None:
    found = told(message(*segments, kind=kind))
    if expected is not None and found:
        expected = replace(expected, study_instance_uid=found[0].study_instance_uid)
    assert found == ([] if expected is None else [expected])


def test_each_order_of_a_message_is_told_by_itself() -> None:
    both = message(
        "ORC|NW|1|||||^^^^^S", obr("A1"), "ORC|NW|2|||||^^^^^R", obr("A2"), kind="ORM^O01"
    )
    assert [(one.accession_number, one.urgency) for one in told(both)] == [
        ("A1", Urgency.STAT),
        ("A2", Urgency.ROUTINE),
    ]


@pytest.mark.parametrize(
    ("word", "urgency"), [("s", 0), ("TM30", 1), ("ASAP", 1), ("R", 2), ("TX9", None), ("", None)]
)
def test_priorities_of_orders(word: str, urgency: int | None) -> None:
    assert urgency_named(word) == urgency


def kept(sessions: SessionFactory) -> list[Order]:
    with sessions() as session:
        return list(session.scalars(select(Order).order_by(Order.accession_number)))


@pytest.fixture
def hear(sessions: SessionFactory) -> Callable[[str], tuple[str, str]]:
    def hear(sent: str) -> tuple[str, str]:
        """Code and number of the acknowledgment."""
        answer = hl7.parse(Hearing(sessions, FIELDS).hear(sent.encode()).decode())
        return str(answer.segment("MSA")[1]), str(answer.segment("MSA")[2])

    return hear


def test_what_is_acknowledged_is_in_the_database(hear: Any, sessions: SessionFactory) -> None:
    assert hear(order()) == ("AA", "M1")
    assert hear(result()) == ("AA", "M1")
    (one,) = kept(sessions)
    assert (one.accession_number, one.urgency) == ("A1", Urgency.STAT)
    first = one.reported_at
    assert first is not None
    assert hear(result(status="C")) == ("AA", "M1")
    assert kept(sessions)[0].reported_at == first


@pytest.mark.parametrize(
    "sent",
    ["", "no message", message("EVN|A08", kind="ADT^A08"), message("ORC|NW|1"), order("A" * 65)],
)
def test_what_is_not_taken_is_refused_without_a_name(
    hear: Any, sessions: SessionFactory, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert hear(sent)[0] == "AR"
    assert kept(sessions) == []
    assert "Rossi" not in caplog.text


def test_a_database_that_is_away_has_it_sent_again(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'without-tables.db'}")
    answer = Hearing(session_factory(engine), FIELDS).hear(order().encode())
    engine.dispose()
    assert b"MSA|AE|M1" in answer


@pytest.fixture
def arrive(sessions: SessionFactory, spool: Spool) -> Callable[[], None]:
    def arrive() -> None:
        image = make_slice(new_uid())
        (spool.root / "instances").mkdir(exist_ok=True)
        image.save_as(spool.root / "instances/1.dcm", enforce_file_format=True)
        then = datetime.now(UTC) - timedelta(hours=1)
        with sessions.begin() as session:
            intake.record(session, [arrival()], patience=PATIENCE, now=then)

    return arrive


@pytest.mark.parametrize("first", ["order", "study"])
def test_the_order_says_how_urgent_the_study_is_whichever_comes_first(
    hear: Any, arrive: Any, sessions: SessionFactory, spool: Spool, rows: Any, first: str
) -> None:
    judge = Judge(sessions, spool, Rules(()), 60.0)
    if first == "order":
        hear(order())
    arrive()
    judge.look(datetime.now(UTC))
    assert rows(Job)[0].urgency == (Urgency.STAT if first == "order" else Urgency.ROUTINE)
    hear(order())
    judge.look(datetime.now(UTC))
    assert rows(Job)[0].urgency == Urgency.STAT


def test_a_study_that_is_reported_gets_no_draft(
    hear: Any, arrive: Any, sessions: SessionFactory, spool: Spool, rows: Any
) -> None:
    arrive()
    hear(result(status="P"))
    reported = ToldReports(sessions, nothing_known).found
    assert reported(1, "1.2") is None
    hear(result())
    Worker(sessions, spool, Model().report, {}, reported=reported).work_once()
    assert rows(Draft) == []
    assert rows(Event)[-1].message == "no draft: a final report of the study had been told by HL7"


def test_a_number_that_was_used_twice_means_the_study_that_is_named(
    hear: Any, arrive: Any, sessions: SessionFactory
) -> None:
    arrive()
    hear(message(obr("A1", "F"), "ZDS|9.9.9", kind="ORU^R01"))
    assert ToldReports(sessions, nothing_known).found(1, "1.2") is None


@pytest.mark.parametrize("drop", [True, False])
def test_a_draft_that_waits_is_not_sent_once_there_is_a_final_report(
    hear: Any, sessions: SessionFactory, spool: Spool, rows: Any, drop: bool
) -> None:
    shelf, service = Shelf(), Service(sessions, spool.root)
    service.draft("shelf")
    with sessions.begin() as session:
        session.execute(text("UPDATE studies SET accession_number = 'A1'"))
    hear(result())
    service.outbox._drop_reported = drop
    service.deliver(shelf.named())
    assert bool(shelf.sent) is not drop
    if drop:
        (delivery,) = rows(Delivery)
        assert delivery.state == "cancelled"
        said = "draft 1: not sent to shelf: a final report of the study was told by HL7"
        assert rows(Event)[-1].message == said


@pytest.fixture
def listener(sessions: SessionFactory) -> Iterator[Listener]:
    chosen = Settings(hl7=Hl7(enabled=True, port=0))
    with ExitStack() as stack:
        (duty,) = hl7_duties(chosen, sessions, stack)
        duty.do()
        duty.do()  # again and again: it listens already
        yield duty.do.__self__


def test_senders_are_answered_one_message_after_another(
    listener: Listener, sessions: SessionFactory
) -> None:
    with MLLPClient("127.0.0.1", listener.port) as ris:
        for number in ("A1", "A2"):
            answer = hl7.parse(ris.send_message(order(number)).decode().strip("\x0b\x1c\r"))
            assert str(answer.segment("MSA")[1]) == "AA"
    assert [one.accession_number for one in kept(sessions)] == ["A1", "A2"]


def test_a_message_may_come_in_pieces_and_two_in_one(
    listener: Listener, sessions: SessionFactory
) -> None:
    framed = [b"\x0b" + order(one).encode() + b"\x1c\r" for one in ("A1", "A2", "A3")]
    with socket.create_connection(("127.0.0.1", listener.port)) as line:
        line.settimeout(10)
        line.sendall(framed[0][:20])
        line.sendall(framed[0][20:] + framed[1] + framed[2])
        answers = b""
        while answers.count(b"\x1c\r") < 3:
            answers += line.recv(1 << 16)
    assert answers.count(b"MSA|AA|M1") == 3
    assert len(kept(sessions)) == 3


def test_strangers_are_not_heard(listener: Listener) -> None:
    server = listener._server
    assert server is not None
    assert server.verify_request(None, ("127.0.0.1", 1))
    assert not server.verify_request(None, ("192.0.2.7", 1))
    server.peers = [ip_network("192.0.2.0/24")]
    assert server.verify_request(None, ("192.0.2.7", 1))

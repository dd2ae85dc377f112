import re
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from lxml import etree
from sqlalchemy import select

from dicom_io.errors import PeerUnreachable
from plugin.state import audit
from plugin.state.audit import Action, AuditForwarding, Entry, Outcome, this_process
from plugin.upkeep.audit import forwarder as audit_forwarder
from plugin.upkeep.audit.forwarder import FIRST_PAUSE_S, AuditForwarder
from plugin.upkeep.audit.message import Source
from plugin.upkeep.syslog import SyslogReceiver
from tests.certificates import Authority
from tests.plugin.delivery.drafts import Clock
from tests.ports import free_port
from tests.syslog import Repository, listening, listening_udp
from tests.waiting import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAD = re.compile(rb"<(\d+)>1 (\S+) \S+ ctscribe \d+ DICOM\+RFC3881 - \xef\xbb\xbf<AuditMessage>")


@pytest.fixture
def happen(sessions):
    """Write entries whose details are numbers."""

    def happen(*numbers, outcome=Outcome.SUCCESS, more=""):
        with sessions.begin() as session:
            for number in numbers:
                detail = f"{number} {more}"
                entry = Entry(
                    action=Action.CONFIGURED, who=this_process(), detail=detail, outcome=outcome
                )
                audit.record(session, entry, now=NOON)

    return happen


@pytest.fixture
def forwarder(sessions):
    clock = Clock()

    def forwarder(port, transport="tcp", tls=None):
        receiver = SyslogReceiver("127.0.0.1", port, transport, tls, timeout_s=5)
        return AuditForwarder(sessions, "atna", receiver, Source("ctscribe"), clock)

    forwarder.clock = clock
    return forwarder


def positions(repository):
    """Which entries were read, by the number in their detail."""
    values = [re.search(rb'value="([^"]+)"', one)[1] for one in repository.messages]
    return [int(b64decode(value).split()[0]) for value in values]


def test_every_entry_arrives_once_and_in_order(happen, forwarder):
    happen(1, 2, 3)
    repository = Repository()
    with listening(repository) as port:
        forwarder(port).forward()
        happen(4)
        forwarder(port).forward()
        forwarder(port).forward()
    assert positions(repository) == [1, 2, 3, 4]


def test_a_message_has_the_head_that_the_standard_asks_for(happen, forwarder):
    happen(1)
    happen(2, outcome=Outcome.SERIOUS_FAILURE)
    repository = Repository()
    with listening(repository) as port:
        forwarder(port).forward()
    heads = [HEAD.match(message) for message in repository.messages]
    # RFC 5424 6.2.1: facility 10, severity 5 (notice) and 3 (error)
    assert [int(head[1]) for head in heads] == [85, 83]
    assert heads[0][2] == b"2026-01-01T12:00:00.000+00:00"
    etree.fromstring(repository.messages[0].partition(b"\xef\xbb\xbf")[2])


def test_what_a_repository_did_not_read_to_the_end_is_sent_again(happen, forwarder, sessions):
    happen(*range(300))
    repository = Repository()
    repository.dies_after = 250
    with listening(repository) as port:
        with pytest.raises(PeerUnreachable):
            forwarder(port).forward()
        repository.dies_after = None
        forwarder(port).forward()
        assert positions(repository) == list(range(250))  # the pause is not over
        forwarder.clock.pass_by(FIRST_PAUSE_S)
        forwarder(port).forward()
    assert positions(repository) == [*range(250), *range(200, 300)]


def test_an_outage_is_remembered_and_its_end_forgets_it(happen, forwarder, sessions):
    happen(1)
    with pytest.raises(PeerUnreachable, match="does not answer"):
        forwarder(free_port()).forward()
    with sessions() as session:
        at = session.scalars(select(AuditForwarding)).one()
        assert (at.away_since, at.attempts) == (forwarder.clock(), 1)
    forwarder.clock.pass_by(FIRST_PAUSE_S)
    repository = Repository()
    with listening(repository) as port:
        forwarder(port).forward()
    with sessions() as session:
        at = session.scalars(select(AuditForwarding)).one()
        assert (at.position, at.away_since, at.attempts, at.last_error) == (1, None, 0, None)


def test_a_batch_of_a_forwarder_that_died_is_sent_by_the_next_one(happen, forwarder):
    happen(1)
    repository = Repository()
    with listening(repository) as port:
        assert forwarder(port)._claim() is not None  # and is killed
        forwarder(port).forward()
        assert repository.messages == []
        forwarder.clock.pass_by(5 + audit_forwarder._CLAIM_S)
        forwarder(port).forward()
    assert positions(repository) == [1]


def test_over_tls_both_sides_are_known_by_their_certificates(happen, forwarder, tmp_path):
    happen(1)
    ours = Authority(tmp_path / "ours")
    repository = Repository()
    with listening(repository, ours.issue()) as port:
        with pytest.raises(PeerUnreachable, match=r"no TLS .*authority"):
            forwarder(port, "tls", Authority(tmp_path / "other").issue()).forward()
        forwarder.clock.pass_by(FIRST_PAUSE_S)
        forwarder(port, "tls", ours.issue("client")).forward()
    assert positions(repository) == [1]


def test_what_a_repository_behind_tls_did_not_read_is_sent_again(happen, forwarder, tmp_path):
    happen(*range(20), more="x" * 50_000)  # more than the kernel takes before it is read
    authority = Authority(tmp_path)
    repository = Repository()
    repository.dies_after = 10
    with listening(repository, authority.issue()) as port:
        tls = authority.issue("client")
        with pytest.raises(PeerUnreachable):
            forwarder(port, "tls", tls).forward()
        repository.dies_after = None
        forwarder.clock.pass_by(FIRST_PAUSE_S)
        forwarder(port, "tls", tls).forward()
    assert positions(repository) == [*range(10), *range(20)]


def test_over_udp_each_message_is_a_datagram(happen, forwarder):
    happen(1, 2)
    repository = Repository()
    with listening_udp(repository) as port:
        forwarder(port, "udp").forward()
        eventually(lambda: len(repository.messages) == 2)
    assert positions(repository) == [1, 2]

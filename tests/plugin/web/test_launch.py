"""Links from a RIS open one study, for a short time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.reception.intake import record
from plugin.state.database import SessionFactory
from plugin.web.dicomweb.problems import Refused
from plugin.web.launch import LONGEST_LIFE_S, Link, checked, study_of_accession
from tests.plugin.arrivals import NOW, PATIENCE, arrival

SECRET, NOW_S = b"s" * 32, 1_000_000.0


def query(link: Link, secret: bytes = SECRET) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link.signed(secret)).query, keep_blank_values=True))


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_link_says_what_was_signed(accession: str, reader: str) -> None:
    link = Link(accession, reader, 1_000_060)
    assert checked(query(link), SECRET, NOW_S) == link


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"accession": "A2"}, "bad-link"),
        ({"reader": "other"}, "bad-link"),
        ({"expires": "1000061"}, "bad-link"),
        ({"expires": "-1"}, "bad-link"),
        ({"expires": "٣"}, "bad-link"),
        ({"signature": ""}, "bad-link"),
        ({"signature": "ü"}, "bad-link"),
    ],
)
def test_another_link_is_refused(changed: dict[str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        checked({**query(Link("A1", "reader", 1_000_060)), **changed}, SECRET, NOW_S)
    assert (refused.value.status, refused.value.code) == (403, code)


@pytest.mark.parametrize("expires", [999_999, int(NOW_S) + LONGEST_LIFE_S + 1])
def test_a_link_lives_for_a_short_time(expires: int) -> None:
    with pytest.raises(Refused, match="the link is over"):
        checked(query(Link("A1", "reader", expires)), SECRET, NOW_S)


def test_another_secret_signs_nothing_here() -> None:
    with pytest.raises(Refused, match="not signed"):
        checked(query(Link("A1", "reader", 1_000_060), b"t" * 32), SECRET, NOW_S)


def test_parts_do_not_run_into_one_another() -> None:
    one, other = (query(Link(*who, 1_000_060))["signature"] for who in (("A1", "b"), ("A", "1b")))
    assert one != other


def test_the_latest_study_of_an_accession_number(sessions: SessionFactory) -> None:
    for k, uid in enumerate(("1.2", "1.3")):
        with sessions.begin() as session:
            one = replace(arrival(study=uid), association=None)
            record(session, [one], patience=PATIENCE, now=NOW + timedelta(hours=k))
    assert study_of_accession(sessions, " A1 ") == "1.3"
    for unknown in ("A9", "", " "):
        with pytest.raises(Refused, match="no study"):
            study_of_accession(sessions, unknown)

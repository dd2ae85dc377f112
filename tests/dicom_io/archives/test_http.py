from collections.abc import Callable

import httpx
import pytest

from dicom_io.archives import http
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.orthanc import Orthanc
from dicom_io.errors import AssociationRejected, PeerUnreachable


def in_turn(*statuses: int) -> tuple[Callable[[], httpx.Response], list[int]]:
    made: list[int] = []

    def request() -> httpx.Response:
        made.append(statuses[len(made)])
        return httpx.Response(made[-1])

    return request, made


def test_a_get_is_repeated_until_it_succeeds() -> None:
    request, made = in_turn(503, 503, 200)
    assert http.ask_again(request, "peer").status_code == 200
    assert made == [503, 503, 200]


def test_a_get_is_given_up_after_three_attempts() -> None:
    request, made = in_turn(503, 500, 502)
    with pytest.raises(PeerUnreachable, match="502"):
        http.ask_again(request, "peer")
    assert len(made) == 3


def test_a_refused_get_is_not_repeated() -> None:
    request, made = in_turn(403)
    with pytest.raises(AssociationRejected, match="peer refuses with 403"):
        http.ask_again(request, "peer")
    assert made == [403]


def test_a_post_is_never_repeated() -> None:
    request, made = in_turn(503)
    with pytest.raises(PeerUnreachable):
        http.ask(request, "peer")
    assert made == [503]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_status_that_may_pass_is_worth_a_retry(status: int) -> None:
    with pytest.raises(PeerUnreachable):
        http.ask(in_turn(status)[0], "peer")


def test_a_timeout_is_worth_a_retry() -> None:
    def request() -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with pytest.raises(PeerUnreachable, match="ReadTimeout"):
        http.ask(request, "peer")


def test_credentials_in_a_url_are_not_displayed() -> None:
    shown = http.displayable("http://user:secret@pacs:8042/dicom-web?token=secret")
    assert shown == "http://pacs:8042/dicom-web"


@pytest.mark.parametrize("kind", [Dicomweb, Orthanc])
def test_an_archive_does_not_show_its_password(kind: type[Dicomweb] | type[Orthanc]) -> None:
    assert "secret" not in repr(kind("http://127.0.0.1", ("user", "secret")))

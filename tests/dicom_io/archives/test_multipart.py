from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.archives.multipart import enclose, parts
from dicom_io.errors import NotRetrieved

KIND = 'multipart/related; type="application/dicom"; boundary="b"'
# what a reader that looks for the delimiter too simply would trip over
PIECES = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"-", b"b", b"x", b"\r\n--"]))
CONTENT = PIECES.map(b"".join).filter(lambda content: b"\r\n--b" not in content)
HEADS = st.sampled_from([b"", b"A: 1\r\nB: 2\r\n"])


def body_of(contents: list[bytes], head: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    return b"".join(b"--b\r\n" + head + b"\r\n" + one + b"\r\n" for one in contents) + b"--b--"


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def read(body: bytes, size: int = 7, kind: str = KIND) -> list[bytes]:
    return [b"".join(part) for part in parts(cut(body, size), kind)]


@given(
    st.lists(CONTENT, max_size=4), st.integers(1, 50), st.sampled_from([b"", b"A: 1\r\nB: 2\r\n"])
)
def test_parts_are_read_however_the_body_is_cut(contents, size, head):
    assert read(body_of(contents, head), size) == contents


def test_what_is_enclosed_is_read_again():
    body, kind = enclose(b"an object\r\n--")
    assert read(body, kind=kind) == [b"an object\r\n--"]


def test_what_stands_before_the_first_and_after_the_last_part_is_no_part():
    assert read(b"preamble\r\n" + body_of([b"1"]) + b"\r\nepilogue") == [b"1"]


def test_a_part_that_is_left_unread_is_skipped():
    second = [next(part) for part in parts(cut(body_of([b"1" * 99, b"2"]), 200), KIND)]
    assert second == [b"1" * 99, b"2"]
    assert len([None for _ in parts(cut(body_of([b"1" * 99, b"2"]), 5), KIND)]) == 2


@given(st.integers(0, 66), st.integers(1, 20))
def test_a_body_that_ends_early_is_told(length, size):
    body = body_of([b"first", b"second"])
    with pytest.raises(NotRetrieved, match="ends before"):
        read(body[: length % len(body)], size)


@pytest.mark.parametrize("kind", ["", "text/html", "multipart/related", "application/dicom"])
def test_another_type_is_told(kind):
    with pytest.raises(NotRetrieved, match="not multipart"):
        read(body_of([b"1"]), kind=kind)


def test_a_large_part_is_never_held_as_a_whole():
    def chunks() -> Iterator[bytes]:
        yield b"--b\r\n\r\n"
        for _ in range(1000):
            yield bytes(1000)
        yield b"\r\n--b--"

    (pieces,) = ([len(piece) for piece in part] for part in parts(chunks(), KIND))
    assert sum(pieces) == 1_000_000
    assert max(pieces) < 2000

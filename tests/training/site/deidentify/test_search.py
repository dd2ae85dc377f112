import pytest

from training.site.deidentify.search import Needles

NEEDLES = Needles.of([("Anna Zyxwvut", "one"), ("Anna Quixote", "two"), ("short", "three")])


@pytest.mark.parametrize("before", range(9))
def test_a_value_is_found_wherever_it_begins(before):
    content = b"\0" * before + b"Anna Zyxwvut" + b"\0" * 5
    assert set(NEEDLES.owners_in(content)) == {"one"}


def test_values_with_the_same_beginning_are_told_apart():
    assert set(NEEDLES.owners_in(b"xx anna quixote ANNA ZYXWVU")) == {"two"}


def test_what_is_cut_off_is_not_found():
    assert not set(NEEDLES.owners_in(b"Anna Zyx"))


def test_short_values_are_left_to_other_searches():
    assert not set(NEEDLES.owners_in(b"a short text"))


def test_nothing_is_found_without_values():
    assert not set(Needles.of([]).owners_in(b"Anna Zyxwvut"))


def test_a_value_between_two_chunks_of_a_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("training.site.deidentify.search._CHUNK", 16)
    path = tmp_path / "file"
    path.write_bytes(b"\0" * 10 + "Anna Zyxwvut".encode("utf-16-le") + b"\0" * 10)
    assert NEEDLES.owners_in_file(path) == {"one"}

import stat

import pytest
from pydicom.uid import UID

from dicom_io.errors import UnusableData
from training.site.deidentify.keys import ENVIRONMENT, Key, open_work

KEY = Key(b"k" * 32)


def test_the_key_is_not_shown():
    assert "kkk" not in repr(KEY)


def test_pseudonyms_are_the_same_for_the_same_key_only():
    assert KEY.patient("id 1") == KEY.patient("id 1") != KEY.patient("id 2")
    assert KEY.patient("id 1") != Key(b"l" * 32).patient("id 1")


def test_a_patient_and_a_study_of_one_number_have_nothing_in_common():
    assert KEY.patient("1")[2:] != KEY.study("1")[2:]


def test_new_uids_are_valid_and_without_root():
    uid = UID(KEY.uid("1.2.3"))
    assert uid.is_valid
    assert uid.startswith("2.25.")


def test_dates_move_back_by_one_to_ten_years():
    days = [KEY.days(f"id {n}") for n in range(200)]
    assert -3650 <= min(days) <= max(days) <= -366
    assert len(set(days)) > 150


def test_a_working_folder_is_made_for_its_owner_only(tmp_path):
    work = tmp_path / "work"
    open_work(work, tmp_path / "out")
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert stat.S_IMODE((work / "key").stat().st_mode) == 0o600


def test_the_same_folder_gives_the_same_key(tmp_path):
    first = open_work(tmp_path / "work", tmp_path / "out")
    assert open_work(tmp_path / "work", tmp_path / "out") == first


@pytest.mark.parametrize(("work", "out"), [("a/b", "a"), ("a", "a/b"), ("a", "a")])
def test_neither_folder_may_lie_in_the_other(tmp_path, work, out):
    with pytest.raises(UnusableData, match="lies in"):
        open_work(tmp_path / work, tmp_path / out)


def test_a_link_into_the_data_set_is_seen_through(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "out")
    with pytest.raises(UnusableData, match="lies in"):
        open_work(tmp_path / "work", tmp_path / "out")


@pytest.mark.parametrize("path", ["", "key"])
def test_what_others_can_read_is_refused(tmp_path, path):
    work = tmp_path / "work"
    open_work(work, tmp_path / "out")
    (work / path).chmod(0o750 if not path else 0o640)
    with pytest.raises(UnusableData, match=r"others can read .* chmod"):
        open_work(work, tmp_path / "out")


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path):
    open_work(tmp_path / "work", tmp_path / "out")
    (tmp_path / "work" / "key").unlink()
    with pytest.raises(UnusableData, match="is lost"):
        open_work(tmp_path / "work", tmp_path / "out")


def test_a_data_set_that_was_begun_elsewhere_gets_no_new_key(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "store.json").write_text("{}")
    with pytest.raises(UnusableData, match="is lost"):
        open_work(tmp_path / "work", tmp_path / "out")


def test_the_environment_may_hold_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "e" * 32)
    assert open_work(tmp_path / "work", tmp_path / "out") == Key(b"e" * 32)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["key.id"]


def test_another_key_than_before_is_refused(tmp_path, monkeypatch):
    open_work(tmp_path / "work", tmp_path / "out")
    monkeypatch.setenv(ENVIRONMENT, "e" * 32)
    with pytest.raises(UnusableData, match="not the one"):
        open_work(tmp_path / "work", tmp_path / "out")


def test_a_short_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "secret")
    with pytest.raises(UnusableData, match="fewer than 32"):
        open_work(tmp_path / "work", tmp_path / "out")

import pytest

from dicom_io.errors import TrainingError
from training.run.states import claim, latest

ABOUT = {"recipe": {"seed": 1, "contrastive": {"epochs": 3}}, "ranks": 2}


def test_a_state_that_is_half_written_is_not_found(tmp_path):
    (tmp_path / "step-00000004").mkdir()
    (tmp_path / "step-00000006.part").mkdir()
    assert latest(tmp_path) == (4, tmp_path / "step-00000004")


def test_a_run_begins_without_a_state(tmp_path):
    assert latest(tmp_path) is None


def test_the_same_run_goes_on(tmp_path):
    claim(tmp_path / "contrastive", ABOUT)
    claim(tmp_path / "contrastive", ABOUT)


def test_another_run_is_refused_with_what_differs(tmp_path):
    claim(tmp_path, ABOUT)
    other = {"recipe": {"seed": 1, "contrastive": {"epochs": 4}}, "ranks": 1}
    with pytest.raises(TrainingError, match=r"ranks was 2, is 1; recipe\.contrastive\.epochs was"):
        claim(tmp_path, other)

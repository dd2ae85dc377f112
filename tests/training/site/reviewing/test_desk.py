import pytest

from dicom_io.errors import UnusableData
from tests.training.site.reviewing.work import write_work
from training.site.redaction.site_list import NO_NAMES
from training.site.reviewing.desk import Desk
from training.site.reviewing.log import read_log, summary


@pytest.fixture
def desk(tmp_path):
    return Desk.open(write_work(tmp_path / "work"), "Rita")


def decisions(desk, study="s-1"):
    return [piece["decision"] for piece in desk.shown(study)["pieces"] if "n" in piece]


def test_the_whole_text_is_shown_with_its_changes(desk):
    pieces = desk.shown("s-1")["pieces"]
    whole = "".join(piece.get("text", piece.get("placeholder", "")) for piece in pieces)
    assert whole == (
        "Findings: Mrs [NAME], MRN [ID], was seen on [DATE] by Dr. [NAME]. Nodule of 7 mm.\n"
        "Impression: Benign. Told to her neighbour quixana."
    )


def test_a_decision_is_in_the_list_and_can_be_undone(desk):
    desk.decide("s-1", 1, "accept")
    assert decisions(Desk.open(desk.work, "Rita")) == ["accept", "", "", ""]
    desk.undo()
    assert decisions(Desk.open(desk.work, "Rita")) == ["", "", "", ""]


def test_what_is_alike_in_several_reports_is_decided_at_once_and_undone_at_once(desk):
    group = next(g for g in desk.overview()["groups"] if g["original"] == "Abernethy")
    assert group["count"] == 2
    desk.decide_alike(group["original"], group["rule"], "accept")
    assert (decisions(desk), decisions(desk, "s-2")) == (["", "", "", "accept"], ["accept", ""])
    desk.undo()
    assert (decisions(desk), decisions(desk, "s-2")) == (["", "", "", ""], ["", ""])


def test_what_was_missed_is_added_by_words_in_any_case(desk):
    desk.add("s-1", "Quixana", "NAME")
    assert "her neighbour [NAME]." in desk.review.text("s-1", accept_all=True)
    with pytest.raises(UnusableData, match="whole words"):
        desk.add("s-1", "uixan", "NAME")


def test_a_replacement_that_identifies_is_refused(desk):
    with pytest.raises(UnusableData, match="study s-1, row 3: its replacement"):
        desk.decide("s-1", 3, "change", "13.03.2021")
    assert decisions(desk) == ["", "", "", ""]


def test_reading_is_noted_with_name_time_and_what_was_missed(desk):
    desk.add("s-1", "quixana", "NAME")
    desk.note_read("s-1")
    desk.note_read("s-3")
    log = read_log(desk.work)
    assert [(log[s].reviewer, log[s].missed) for s in ("s-1", "s-3")] == [("Rita", 1), ("Rita", 0)]
    said = summary(desk.review.studies, log)
    assert (said["read_in_full"], said["of_these_with_a_leak"], said["reviewers"]) == (
        2,
        1,
        ["Rita"],
    )


def test_a_word_goes_on_the_sites_list(desk):
    desk.list_word("Quixana", is_name=False)
    desk.list_word("Quixana", is_name=False)
    assert (desk.work / NO_NAMES).read_text() == "Quixana\n"


def test_a_folder_without_proposals_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="nothing to review"):
        Desk.open(tmp_path, "Rita")

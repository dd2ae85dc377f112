import fcntl
import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import Dataset

from dicom_io.errors import NotRetrieved, PeerUnreachable, UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_volume
from tests.forked import status_of
from tests.training.site.studies import (
    SPEC,
    Patient,
    report_rows,
    wanted,
    write_archive,
    write_study,
    write_table,
)
from training.data.store import open_store, quantised, verify
from training.site import prepare as prepare_module
from training.site.deidentify.keys import Key
from training.site.deidentify.known import KnownValues
from training.site.prepare import Outcome, prepare_site
from training.site.redaction.identifiers import Recognizer
from training.site.redaction.site_list import SiteList
from training.site.redaction.spans import Change
from training.site.sources.folder import FolderSource
from training.site.sources.source import Query, StudyReference
from training.site.verify import faults

PATIENTS = [Patient(number) for number in range(1, 7)]
SECRETS = ("yxwarth", "Anton", "MRN77", "ACC99", "Nirgendwo", "498.77", "19500317")


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"), PATIENTS)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "r.csv", report_rows(PATIENTS))


@pytest.fixture(scope="module")
def prepared(archive, table, tmp_path_factory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("prepared") / "out"
    return out, prepare_site(wanted(archive, table), out, _work(out), accept_all=True)


def _work(out: Path) -> Path:
    return out.with_name("work")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_study_with_a_report_is_stored(prepared):
    out, outcome = prepared
    assert (outcome.seen, outcome.taken, outcome.rejected) == (6, 6, {})
    store = open_store(out, SPEC)
    assert len(store.images) == len(store.texts) == 6
    assert list(verify(out)) == []


def test_the_input_is_what_the_service_would_see(prepared, archive):
    out, _ = prepared
    store = open_store(out)
    key = Key((_work(out) / "key").read_text().strip().encode())
    study = read_study([next(archive.glob("*_3"))])
    stack = choose_series(study).stack
    made = prepare(build_volume(stack), SPEC, stack.window)
    name = f"{key.patient('id mrn770003')}/{key.study(PATIENTS[2].study_uid)}-1"
    wanted_input = quantised(torch.from_numpy(made.pixels[0]), "uint16")
    assert torch.equal(store.stored(name)[0], wanted_input)
    np.testing.assert_allclose(store.images[name].affine_lps, made.affine_lps)


def test_a_report_keeps_findings_and_impression_without_names(prepared):
    texts = open_store(prepared[0]).texts.values()
    assert all(
        text.startswith("Findings: There is a left pleural effusion. No ascites. The lesion number")
        and text.endswith("Impression: Left pleural effusion.")
        and "of Mr. [NAME] measures" in text
        for text in texts
    )


def test_the_split_is_recorded_with_its_seed(prepared):
    report = json.loads((prepared[0] / "report.json").read_text())
    assert report["seed"] == 0
    assert report["splits"] == {"train": 4, "validation": 1, "test": 1}
    assert report["reviewed"] is False
    assert report["years"] == [2024, 2024]


def test_nothing_that_identifies_is_in_the_data_set(prepared):
    for name, content in contents(prepared[0]).items():
        assert not [secret for secret in SECRETS if secret.encode() in content or secret in name]


def test_the_data_card_says_what_was_taken_and_rejected(prepared):
    card = json.loads((prepared[0] / "datacard.json").read_text())
    assert (card["patients"], card["studies"], card["years"]) == (6, 6, [2024, 2024])
    assert "Review of the reports: **none" in (prepared[0] / "DATACARD.md").read_text()


def test_what_a_person_kept_is_kept_and_known_to_the_verification(archive, table, tmp_path):
    out = tmp_path / "out"
    review = prepare_site(wanted(archive, table), out, _work(out)).review_list
    assert review is not None
    rows = review.read_text("utf-8-sig").splitlines()
    decided = [row.replace(",,,", ",keep,,") for row in rows]
    review.write_text("\n".join(decided))
    prepare_site(wanted(archive, table), out, _work(out))
    assert all("of Mr. Zyxwarth" in text for text in open_store(out).texts.values())
    assert len(json.loads((out / "datacard.json").read_text())["kept"]) == 6


def test_every_question_has_its_provenance(prepared):
    folder = prepared[0] / "questions"
    for questions in folder.glob("*.csv"):
        origins = (folder / f"{questions.stem}.provenance.jsonl").read_text().splitlines()
        assert len(origins) == len(questions.read_text().splitlines()) - 1 > 0


def test_the_first_call_ends_with_a_list_for_review(archive, table, tmp_path):
    out = tmp_path / "out"
    outcome = prepare_site(wanted(archive, table), out, _work(out))
    assert outcome.review_list == _work(out) / "review.csv"
    assert "Zyxwarth" in outcome.review_list.read_text()
    assert not out.exists()


def test_the_data_set_is_built_of_the_reviewed_list(archive, table, tmp_path):
    out = tmp_path / "out"
    review = prepare_site(wanted(archive, table), out, _work(out)).review_list
    assert review is not None
    review.write_text(review.read_text("utf-8-sig").replace(",,,", ",accept,,"))
    outcome = prepare_site(wanted(archive, table), out, _work(out))
    assert outcome.review_list is None
    assert json.loads((out / "report.json").read_text())["reviewed"] is True
    assert len(open_store(out).images) == 6


def test_the_working_folder_is_for_its_owner_alone(prepared):
    assert _work(prepared[0]).stat().st_mode & 0o077 == 0


def test_objects_do_not_stay(prepared):
    assert list((_work(prepared[0]) / "objects").iterdir()) == []


def test_a_second_run_changes_nothing(prepared, archive, table):
    out, first = prepared
    before = contents(out)
    assert prepare_site(wanted(archive, table), out, _work(out), accept_all=True) == first
    assert contents(out) == before


@pytest.mark.parametrize("moment", ["studies.json", "records/*", "out/texts.jsonl"])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    prepared, archive, table, tmp_path, moment
):
    out, work = tmp_path / "out", tmp_path / "work"
    work.mkdir(mode=0o700)
    for name in ("key", "key.id"):
        shutil.copy(_work(prepared[0]) / name, work)
    folder = work if "out" not in moment else tmp_path
    program = f"""
import os, signal
from pathlib import Path
from tests.training.site.studies import wanted
from training.data import shards
from training.site import prepare, work
write = shards.write_atomically
def die_at_the_moment(path, text):
    write(path, text)
    if any(Path({str(folder)!r}).glob({moment!r})):
        os.kill(os.getpid(), signal.SIGKILL)
shards.write_atomically = work.write_atomically = die_at_the_moment
wanted = wanted(Path({str(archive)!r}), Path({str(table)!r}))
prepare.prepare_site(wanted, Path({str(out)!r}), Path({str(work)!r}), accept_all=True)
"""
    assert status_of(program, tmp_path) == -signal.SIGKILL
    assert not (out / "splits.json").exists()
    prepare_site(wanted(archive, table), out, work, accept_all=True)
    assert contents(out) == contents(prepared[0])


def reasons(outcome: Outcome) -> list[str]:
    return sorted(outcome.rejected.values())


def test_studies_are_rejected_with_the_reason(tmp_path):
    archive = tmp_path / "archive"
    patients = [Patient(number) for number in range(1, 9)]
    write_archive(archive, patients[:3])
    write_study(archive / "4", patients[3], Modality="MR")
    write_study(archive / "5", patients[4], BurnedInAnnotation="YES")
    write_study(archive / "6", patients[5], AccessionNumber="")
    write_study(archive / "7", patients[6], RescaleSlope=0)
    mixed = write_study(archive / "8", patients[7])
    write_study(mixed / "b", patients[7], PatientID="OTHER", SeriesInstanceUID="1.2.3")
    rows = report_rows(patients)
    del rows[1]
    table = write_table(tmp_path / "r.csv", rows)
    outcome = prepare_site(wanted(archive, table), tmp_path / "out", tmp_path / "work")
    assert (outcome.seen, outcome.taken) == (7, 2)
    assert reasons(outcome) == [
        "its objects are of several patients",
        "no accession number",
        "no report",
        "no series that could be given to the model",
        "no series that could be given to the model",
    ]


def test_a_patients_studies_stay_in_one_part(tmp_path):
    archive = tmp_path / "archive"
    patients = [Patient(number) for number in range(1, 9)]
    for patient in patients:
        write_study(archive / str(patient.number), patient, PatientID=f"P{patient.number % 4}")
    rows = [{**row, "patient_id": ""} for row in report_rows(patients)]
    table = write_table(tmp_path / "r.csv", rows)
    out = tmp_path / "out"
    prepare_site(wanted(archive, table), out, tmp_path / "work", accept_all=True)
    store = open_store(out)
    parts = [
        {store.images[key].case for key in store.split("grouped")[part]}
        for part in ("train", "validation", "test")
    ]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 4


def test_a_person_under_several_numbers_stays_in_one_part(tmp_path):
    """1 and 2 share name and birth date, 2 names the number of 3, 3 and 4 name one more number."""
    same = {"PatientName": "ZYXWARTHB^Anton"}
    others = Dataset()
    others.PatientID = "OLD1"
    known = {
        1: {},
        2: {**same, "OtherPatientIDs": [Patient(3).id, "X"]},
        3: {"OtherPatientIDsSequence": [others]},
        4: {"OtherPatientIDs": "old1"},
        5: {"PatientName": "ZYXWARTHB^Anton", "PatientBirthDate": "19500318"},
        6: {},
    }
    archive = tmp_path / "archive"
    for number, attributes in known.items():
        write_study(archive / str(number), Patient(number), **attributes)
    table = write_table(tmp_path / "r.csv", report_rows(map(Patient, known)))
    out = tmp_path / "out"
    prepare_site(wanted(archive, table), out, tmp_path / "work", accept_all=True)
    people = Counter(image.case for image in open_store(out).images.values())
    assert sorted(people.values()) == [1, 1, 4]
    assert "3 patient numbers belong to people who have another one" in (
        out / "DATACARD.md"
    ).read_text("utf-8")
    assert list(faults(out, tmp_path / "work")) == []


def test_several_processes_make_the_same_bytes(prepared, archive, table, tmp_path):
    out, _ = prepared
    again = tmp_path / "out"
    shutil.copytree(_work(out), _work(again), ignore=shutil.ignore_patterns("records", "inputs"))
    outcome = prepare_site(
        wanted(archive, table, processes=2), again, _work(again), accept_all=True
    )
    assert outcome.taken == 6
    assert contents(again) == contents(out)


class ThirdFails(FolderSource):
    """An archive that goes away before the third study; safe to hand to other processes."""

    def fetch(self, study: StudyReference, folder: Path) -> None:
        if study.study_instance_uid == PATIENTS[2].study_uid:
            raise PeerUnreachable("the archive does not answer")
        super().fetch(study, folder)


def test_an_archive_that_goes_away_ends_several_processes_and_the_next_run_goes_on(
    archive, table, tmp_path
):
    out, work = tmp_path / "out", tmp_path / "work"
    with pytest.raises(PeerUnreachable):
        prepare_site(wanted(archive, table, source=ThirdFails(archive), processes=2), out, work)
    collected = len(list((work / "records").iterdir()))
    assert 1 <= collected < 6
    outcome = prepare_site(wanted(archive, table), out, work, accept_all=True)
    assert outcome.taken == 6


def test_days_and_limit_choose_studies(archive, table, tmp_path):
    first, last = PATIENTS[1].day, PATIENTS[4].day
    few = wanted(archive, table, query=Query(first, last), limit=3)
    outcome = prepare_site(few, tmp_path / "out", tmp_path / "work")
    assert (outcome.seen, outcome.taken) == (3, 3)


def test_a_folder_without_dicom_objects_is_refused(table, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableData, match="without a DICOM object"):
        prepare_site(wanted(tmp_path / "empty", table), tmp_path / "out", tmp_path / "work")


def test_inputs_of_another_preprocessing_are_not_mixed(prepared, archive, table):
    other = wanted(archive, table, spec=PreprocessSpec(size=(4, 8, 8)))
    with pytest.raises(UnusableData, match="another preprocessing"):
        prepare_site(other, prepared[0], _work(prepared[0]))


def test_every_usable_series_may_be_taken(tmp_path):
    archive = write_archive(tmp_path / "archive", PATIENTS[:3])
    write_study(archive / "more", PATIENTS[0], SeriesInstanceUID="1.2.3.4", SeriesNumber=9)
    table = write_table(tmp_path / "r.csv", report_rows(PATIENTS))
    every = wanted(archive, table, series="all")
    prepare_site(every, tmp_path / "out", tmp_path / "work", accept_all=True)
    assert len(open_store(tmp_path / "out").images) == 4


def test_an_image_knows_whether_it_shows_all_that_its_study_shows(tmp_path):
    archive = write_archive(tmp_path / "archive", PATIENTS[:2])
    far = {"SeriesInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5", "SeriesNumber": 9}
    write_study(archive / "more", PATIENTS[0], **far)
    table = write_table(tmp_path / "r.csv", report_rows(PATIENTS))
    prepare_site(wanted(archive, table), tmp_path / "out", tmp_path / "work", accept_all=True)
    records = open_store(tmp_path / "out").images.values()
    assert sorted(record.origin["covers_study"] for record in records) == [False, True]


def test_two_runs_do_not_work_in_one_folder(archive, table, tmp_path):
    prepare_site(wanted(archive, table), tmp_path / "out", tmp_path / "work")
    with (tmp_path / "work" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnusableData, match="another process works"):
            prepare_site(wanted(archive, table), tmp_path / "out", tmp_path / "work")


def test_a_report_that_still_names_its_patient_is_not_taken(archive, table, tmp_path, monkeypatch):
    find = prepare_module.find_identifiers

    def find_less(
        text: str, known: KnownValues, recognizers: Sequence[Recognizer], site: SiteList
    ) -> list[Change]:
        return [] if "number 3 " in text else find(text, known, recognizers, site)

    monkeypatch.setattr(prepare_module, "find_identifiers", find_less)
    out = tmp_path / "out"
    outcome = prepare_site(wanted(archive, table), out, _work(out), accept_all=True)
    assert reasons(outcome) == ["a value of its headers is left in its report"]
    assert len(open_store(out).images) == outcome.taken == 5


@dataclass
class Failing:
    """A folder whose fetches fail as they are told to, then no more."""

    folder: FolderSource
    errors: list[Exception]

    def studies(self, query: Query) -> Iterator[StudyReference]:
        return self.folder.studies(query)

    def fetch(self, study: StudyReference, folder: Path) -> None:
        if self.errors:
            raise self.errors.pop()
        self.folder.fetch(study, folder)


def test_a_study_that_did_not_come_whole_is_asked_for_again(archive, table, tmp_path):
    source = Failing(FolderSource(archive), [NotRetrieved("1 of 12 instances")])
    some = wanted(archive, table, source=source)
    first = prepare_site(some, tmp_path / "out", tmp_path / "work")
    assert reasons(first) == ["the archive did not give all of it"]
    again = prepare_site(some, tmp_path / "out", tmp_path / "work")
    assert (again.taken, again.rejected) == (6, {})


def test_an_archive_that_goes_away_ends_the_run_and_the_next_one_goes_on(archive, table, tmp_path):
    source = Failing(FolderSource(archive), [PeerUnreachable("PACS does not answer")])
    some = wanted(archive, table, source=source)
    with pytest.raises(PeerUnreachable):
        prepare_site(some, tmp_path / "out", tmp_path / "work")
    assert prepare_site(some, tmp_path / "out", tmp_path / "work").taken == 6


def test_a_fault_of_ours_rejects_one_study_and_says_nothing_of_it(archive, table, tmp_path, capfd):
    source = Failing(FolderSource(archive), [RuntimeError("Zyxwarth")])
    outcome = prepare_site(
        wanted(archive, table, source=source), tmp_path / "out", tmp_path / "work"
    )
    assert reasons(outcome) == ["its objects cannot be understood (RuntimeError)"]
    assert "Zyxwarth" not in "".join(capfd.readouterr())


def test_a_data_set_of_nothing_is_not_built(archive, tmp_path):
    table = write_table(tmp_path / "r.csv", report_rows([Patient(99)]))
    with pytest.raises(UnusableData, match="no study can be taken: 6 × no report"):
        prepare_site(wanted(archive, table), tmp_path / "out", tmp_path / "work", accept_all=True)

import json
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from tests.forked import status_of
from tests.training.data.conftest import write_case
from training.data import shards
from training.data.prepare import Prepared, prepare_m3d
from training.data.splits import PARTS
from training.data.store import Store, open_store, verify

SPEC = PreprocessSpec(size=(8, 16, 16))


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD", 4)
        yield


@pytest.fixture(scope="module")
def prepared(phantom_raw, tmp_path_factory) -> tuple[Path, Prepared]:
    out = tmp_path_factory.mktemp("prepared") / "store"
    return out, prepare_m3d(phantom_raw, out, spec=SPEC, held_out=0.2)


@pytest.fixture
def store(prepared) -> Store:
    return open_store(prepared[0], SPEC)


def test_every_series_of_the_phantoms_is_stored(prepared, store, phantom_raw):
    series = [p for p in (phantom_raw / "M3D_Cap").glob("*/*/*") if p.is_dir()]
    assert len(store.images) == len(series) == prepared[1].images
    assert prepared[1].rejected == ()


def test_the_store_is_sound(prepared):
    assert list(verify(prepared[0])) == []


def test_the_official_split_keeps_its_order(store, phantom_raw):
    listed = json.loads((phantom_raw / "M3D_Cap.json").read_text())
    for part in PARTS:
        paths = [f"M3D_Cap_npy/{key}.npy" for key in store.split("paper")[part]]
        assert paths == [pair["image"] for pair in listed[part]]


def test_the_official_split_leaks_cases_and_the_grouped_one_does_not(store):
    def cases(name: str, part: str) -> set[str]:
        return {store.images[key].case for key in store.split(name)[part]}

    assert cases("paper", "train") & (cases("paper", "validation") | cases("paper", "test"))
    assert not cases("grouped", "train") & (
        cases("grouped", "validation") | cases("grouped", "test")
    )


@pytest.mark.parametrize("part", PARTS)
def test_questions_follow_their_split(store, part):
    grouped = store.questions("grouped", part)
    assert {q.image for q in grouped} <= set(store.split("grouped")[part])
    paper = store.questions("paper", part)
    assert {q.image for q in paper} <= set(store.split("paper")[part])
    assert {q.yes_no for q in paper} == {True, False}


def test_the_report_of_an_image_is_the_findings_of_its_case(store, phantom_raw):
    key = next(iter(store.images))
    text = (phantom_raw / "M3D_Cap" / store.images[key].text).read_text()
    assert text.endswith(f"study_findings: {store.report(key)}\n")


def test_a_second_run_changes_nothing(prepared, phantom_raw):
    out, first = prepared
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert prepare_m3d(phantom_raw, out, spec=SPEC, held_out=0.2) == first
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_run_that_was_killed_goes_on_to_the_same_store(prepared, phantom_raw, tmp_path):
    out = tmp_path / "store"
    program = f"""
import os, signal
from pathlib import Path
from training.data import shards
from training.data.prepare import prepare_m3d
from dicom_io.model_input.preprocess import PreprocessSpec
shards.SHARD = 4
write = shards.write_atomically
def die_after_two(path, text):
    write(path, text)
    if len(list(Path({str(out)!r}).glob("images/*.json"))) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
shards.write_atomically = die_after_two
prepare_m3d(Path({str(phantom_raw)!r}), Path({str(out)!r}), spec={SPEC!r}, held_out=0.2)
"""
    assert status_of(program, tmp_path) == -signal.SIGKILL
    assert not (out / "splits.json").exists()
    (out / "images" / "00009.part").write_text("half a shard")
    prepare_m3d(phantom_raw, out, spec=SPEC, held_out=0.2)
    assert not list(out.rglob("*.part"))
    for path in (p for p in prepared[0].rglob("*") if p.is_file()):
        assert (out / path.relative_to(prepared[0])).read_bytes() == path.read_bytes()


def test_damaged_items_are_reported_and_nothing_takes_their_place(phantom_raw, tmp_path):
    raw = shutil.copytree(phantom_raw, tmp_path / "raw")
    cases = sorted((raw / "M3D_Cap" / "ct_case").iterdir())
    broken = next(p for p in cases[0].iterdir() if p.is_dir())
    (broken / "3.jpeg").write_bytes(b"\xff\xd8 cut")
    (cases[1] / "text.txt").unlink()
    report = prepare_m3d(raw, tmp_path / "out", spec=SPEC)
    why = {r.what: r.why for r in report.rejected}
    assert why[f"ct_case/{cases[0].name}/{broken.name}"] == "3.jpeg cannot be read as a picture"
    assert "text.txt" in why[f"ct_case/{cases[1].name}"]
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(written["rejected"]) == len(report.rejected)
    store = open_store(tmp_path / "out")
    lost = {f"ct_case/{cases[0].name}/{broken.name}"}
    lost |= {f"ct_case/{cases[1].name}/{p.name}" for p in cases[1].iterdir()}
    assert not lost & set(store.images)
    assert not lost & {key for part in PARTS for key in store.split("paper")[part]}
    assert not lost & {q.image for part in PARTS for q in store.questions("paper", part)}
    lost_questions = [r for r in report.rejected if r.why == "its image is not in the store"]
    assert lost_questions
    assert "× its image is not in the store" in report.summary()


def test_without_an_official_split_there_is_the_grouped_one(tmp_path):
    for number in range(4):
        folder = tmp_path / "raw" / "ct_case" / f"00000{number}"
        write_case(folder, f"Axial_{number}", findings=f"A cyst of {number} cm.")
    report = prepare_m3d(tmp_path / "raw", tmp_path / "out", spec=SPEC)
    assert set(report.splits) == {"grouped"}
    with pytest.raises(UnusableData, match="no split 'paper'"):
        open_store(tmp_path / "out").split("paper")


def test_what_was_left_out_of_an_image_is_in_the_report(tmp_path):
    case = write_case(tmp_path / "raw" / "ct_case" / "000001", "Axial")
    Image.new("L", (30, 20), 7).save(case / "Axial" / "4.png")
    report = prepare_m3d(tmp_path / "raw", tmp_path / "out", spec=SPEC)
    assert report.notes == {
        "ct_case/000001/Axial": ("4.png was left out: it is 20 × 30, not 12 × 10",)
    }


@pytest.mark.parametrize(
    "spec",
    [
        PreprocessSpec(window=(40, 400)),
        PreprocessSpec(companding=((-1000, 0), (1000, 1))),
        PreprocessSpec(orientation="axial"),
    ],
)
def test_a_preprocessing_that_needs_hu_or_axes_is_refused(phantom_raw, tmp_path, spec):
    with pytest.raises(UnusableData, match="no HU and no axes"):
        prepare_m3d(phantom_raw, tmp_path / "out", spec=spec)


def test_a_store_of_another_size_is_not_mixed_with_this_one(prepared, phantom_raw):
    with pytest.raises(UnusableData, match="other data or preprocessing"):
        prepare_m3d(phantom_raw, prepared[0], spec=PreprocessSpec(size=(4, 4, 4)))

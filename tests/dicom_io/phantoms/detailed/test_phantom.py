import numpy as np
import pytest

from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS, IN_VIEW, SIZES_MM
from dicom_io.phantoms.detailed.look_alikes import LOOK_ALIKES
from dicom_io.phantoms.detailed.phantom import draw_study, make_detailed_phantom
from dicom_io.phantoms.phantom import Phantom, make_phantom
from dicom_io.phantoms.scan import SCANNERS
from dicom_io.phantoms.truth import PLANES, Truth
from dicom_io.volume.orientation import acquisition_plane

SEEDS = range(12)


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_detailed_phantom(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def studies():
    return [draw_study(seed) for seed in range(600)]


def test_a_seed_decides_everything(phantoms):
    again = make_detailed_phantom(3)
    assert again.truth == phantoms[3].truth
    assert again.scan == phantoms[3].scan
    assert np.array_equal(again.volume.hu, phantoms[3].volume.hu)


def test_what_is_drawn_is_what_is_made(phantoms):
    assert [draw_study(seed).truth for seed in SEEDS] == [p.truth for p in phantoms]


def test_hu_stay_in_the_range_of_a_scanner(phantoms):
    for phantom in phantoms:
        assert phantom.volume.hu.dtype == np.int16
        assert phantom.volume.hu.min() >= -1024
        assert phantom.volume.hu.max() <= 3071


def test_the_slices_lie_in_the_plane_of_the_truth(phantoms):
    assert {p.truth.plane for p in phantoms} == set(PLANES)
    for phantom in phantoms:
        assert acquisition_plane(phantom.volume.affine_lps) == phantom.truth.plane


def test_everything_that_is_named_is_there(phantoms):
    for phantom in phantoms:
        assert set(phantom.regions) == {finding.name for finding in phantom.truth.findings}
        assert all(where.any() for where in phantom.regions.values())
        assert all(where.any() for where in phantom.look_alikes.values())


def test_small_things_are_there_in_thick_slices_too():
    for seed, study in ((s, draw_study(s)) for s in range(400)):
        stone = study.truth.finding("kidney stone")
        if stone and stone.size_mm <= 7 and study.scan.thickness_mm >= 4:
            assert make_detailed_phantom(seed).regions["kidney stone"].any()
            return
    raise AssertionError("no such seed")


@pytest.mark.parametrize("name", DETAILED_FINDINGS)
def test_a_body_without_a_finding_differs_only_where_the_finding_lies(studies, name):
    seed = next(s for s, study in enumerate(studies) if study.truth.finding(name))
    whole, other = make_detailed_phantom(seed), make_detailed_phantom(seed, without=[name])
    assert other.truth == whole.truth.without([name])
    differs = whole.volume.hu != other.volume.hu
    assert differs[whole.regions[name]].mean() > 0.3
    # blur and kernel carry a difference one voxel along each axis
    assert not (differs & ~grown(whole.regions[name])).any()


def grown(where):
    for axis in range(3):
        up, down = np.roll(where, 1, axis), np.roll(where, -1, axis)
        where = where | up | down
    return where


@pytest.mark.parametrize("name", ["pulmonary nodule", "renal cyst", "kidney stone", "pneumothorax"])
def test_a_finding_lies_on_the_patients_side(studies, name):
    tried = 0
    for seed, study in enumerate(studies):
        if (found := study.truth.finding(name)) is None:
            continue
        phantom = make_detailed_phantom(seed)
        affine = phantom.volume.affine_lps
        index = np.argwhere(phantom.regions[name])
        left = (index @ affine[:3, :3].T + affine[:3, 3])[:, 0].mean() > 0
        assert ("left" if left else "right") == found.side
        tried += 1
        if tried == 3:
            return
    raise AssertionError("too few")


def test_fluid_sinks_and_air_rises_however_the_patient_lies(studies):
    for position, sinks in (("HFS", 1), ("HFP", -1)):
        seed = next(
            s
            for s, study in enumerate(studies)
            if study.scan.position == position and study.truth.finding("pleural effusion")
        )
        phantom = make_detailed_phantom(seed)
        affine = phantom.volume.affine_lps
        where = np.argwhere(phantom.regions["pleural effusion"])
        assert sinks * (where @ affine[:3, :3].T + affine[:3, 3])[:, 1].mean() > 10


def test_every_finding_is_drawn_as_often_as_it_is_in_view(studies):
    for name in DETAILED_FINDINGS:
        seen = [s.truth for s in studies if name in IN_VIEW[s.scan.region]]
        assert 0.15 < np.mean([truth.finding(name) is not None for truth in seen]) < 0.4


def test_normal_studies_are_no_rarity(studies):
    assert 0.15 < np.mean([not study.truth.findings for study in studies]) < 0.4


def test_sizes_lie_in_their_range_and_survive_json(studies):
    for study in studies:
        assert Truth.from_dict(study.truth.to_dict()) == study.truth
        for finding in study.truth.findings:
            low, high = SIZES_MM.get(finding.name, (0, 0))
            assert low <= (finding.size_mm or 0) <= high


def test_all_scanners_and_thicknesses_are_drawn(studies):
    scans = [study.scan for study in studies]
    assert {scan.scanner for scan in scans} == set(SCANNERS)
    assert min(scan.thickness_mm for scan in scans) == 1
    assert max(scan.thickness_mm for scan in scans) == 5


def test_every_look_alike_is_painted_somewhere(phantoms):
    painted = {name for phantom in phantoms for name in phantom.look_alikes}
    assert painted == set(LOOK_ALIKES)


def test_a_kidney_shines_from_outside_in():
    early, late = (
        make_detailed_phantom(3, phase=phase, region="abdomen") for phase in ("arterial", "delayed")
    )
    assert early.truth.findings == late.truth.findings
    assert not np.array_equal(early.volume.hu, late.volume.hu)


def test_sharp_thin_slices_are_noisier_than_soft_thick_ones(studies):
    def noise(phantom):
        hu = phantom.volume.hu.astype(np.float32)
        flat = (hu > 0) & (hu < 100)
        return np.abs(np.diff(hu, axis=2))[flat[..., 1:]].mean()

    kinds = {}
    for seed, study in enumerate(studies):
        scan = study.scan
        if scan.region == "abdomen" and (scan.thickness_mm < 2) == scan.sharp:
            kinds.setdefault(scan.sharp, []).append(seed)
    sharp, soft = (np.mean([noise(make_detailed_phantom(s)) for s in kinds[k][:3]]) for k in (1, 0))
    assert sharp > 1.3 * soft


def test_plain_phantoms_know_nothing_of_it():
    plain = make_phantom(3, matrix=32)
    assert plain.scan is None
    assert plain.look_alikes == {}

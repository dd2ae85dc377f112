import numpy as np
import pytest

from dicom_io.phantoms.dicom_study import ct_images
from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.phantom import Phantom, make_phantom
from dicom_io.phantoms.truth import PLANES

SMALL = 48


def focal(phantom: Phantom):
    return [finding for finding in phantom.truth.findings if finding.name in FOCAL_FINDINGS]


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(seed, matrix=SMALL, focal=True) for seed in range(40)]


def test_every_kind_is_planted_in_about_a_third(phantoms):
    for name in FOCAL_FINDINGS:
        assert 4 <= sum(name in {f.name for f in focal(p)} for p in phantoms) <= 24


def test_each_has_a_place_and_a_size_and_paired_organs_a_side(phantoms):
    for phantom in phantoms:
        for finding in focal(phantom):
            assert finding.place
            assert 12 <= finding.size_mm <= 58
            paired = finding.name in ("pulmonary nodule", "renal cyst")
            assert (finding.side in ("left", "right")) == paired


def test_all_that_differs_from_the_body_without_them_are_the_lesions(phantoms):
    for seed, phantom in enumerate(phantoms[:12]):
        without = make_phantom(seed, matrix=SMALL)
        changed = phantom.volume.hu != without.volume.hu
        assert changed.any() == bool(focal(phantom))
        assert changed.mean() < 0.02
        assert phantom.truth.findings[: len(without.truth.findings)] == without.truth.findings


def changed_mm(phantom: Phantom) -> np.ndarray:
    """Patient coordinates (n, 3) of the voxels that the lesions changed by 20 HU or more."""
    without = make_phantom(phantom.seed, matrix=SMALL, plane=phantom.truth.plane)
    difference = phantom.volume.hu.astype(int) - without.volume.hu
    index = np.argwhere(np.abs(difference) >= 20)
    affine = phantom.volume.affine_lps
    return index @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", ["pulmonary nodule", "renal cyst"])
def test_a_lesion_lies_on_its_side_with_its_size_in_every_plane(name, plane):
    tried = 0
    for seed in range(120):
        if [f.name for f in focal(make_phantom(seed, matrix=24, focal=True))] != [name]:
            continue
        phantom = make_phantom(seed, matrix=SMALL, plane=plane, focal=True)
        found, where = focal(phantom)[0], changed_mm(phantom)
        assert np.sign(np.median(where[:, 0])) == (1 if found.side == "left" else -1)
        extent = np.ptp(where, axis=0).max()
        # between the centres of voxels, whose width is missing at the ends
        voxel = max(phantom.volume.spacing_mm)
        assert found.size_mm - voxel < extent < found.size_mm + 20
        tried += 1
        if tried == 3:
            break
    assert tried == 3


def test_a_body_has_the_same_findings_in_every_plane_and_phase():
    findings = {
        make_phantom(5, matrix=SMALL, plane=plane, phase=phase, focal=True).truth.findings
        for plane in PLANES
        for phase in ("non-contrast", "delayed")
    }
    assert len(findings) == 1


def test_series_of_one_body_are_of_one_study():
    axial, coronal = (
        next(ct_images(make_phantom(5, matrix=SMALL, plane=plane))) for plane in PLANES[:2]
    )
    assert axial.StudyInstanceUID == coronal.StudyInstanceUID
    assert axial.SeriesInstanceUID != coronal.SeriesInstanceUID
    assert axial.SOPInstanceUID != coronal.SOPInstanceUID


def test_the_phantoms_of_the_embedded_models_figures_are_still_the_same():
    """Another volume for a seed would quietly invalidate its figures."""
    hu = make_phantom(7).volume.hu
    assert hu.shape == (100, 96, 128)
    assert hu.mean() == pytest.approx(-581.0543, abs=1e-3)
    assert hu.std() == pytest.approx(468.6244, abs=1e-3)

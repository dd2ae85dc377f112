import json

import numpy as np
import pytest

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.phantoms.detailed.phantom import draw_study, make_detailed_phantom
from dicom_io.phantoms.dicom_study import ct_images, write_study
from dicom_io.phantoms.phantom import Phantom, make_phantom
from dicom_io.phantoms.scan import SCANNERS
from dicom_io.phantoms.truth import PLANES, draw_truth
from dicom_io.slices.read import read_study
from dicom_io.volume.orientation import reorient
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_volume
from tests.reporting.validators import dciodvfy


@pytest.fixture(scope="module", params=PLANES)
def phantom(request) -> Phantom:
    seeds = (s for s in range(99) if draw_truth(np.random.default_rng(s)).plane == request.param)
    return make_phantom(next(seeds), matrix=40)


@pytest.fixture(scope="module")
def series(phantom, tmp_path_factory):
    return write_study(phantom, tmp_path_factory.mktemp("study"))


def test_a_written_phantom_reads_back_as_it_was(phantom, series):
    read = build_volume(choose_series(read_study([series])).stack)
    volume = reorient(read, "displayed")
    assert np.array_equal(volume.hu, phantom.volume.hu)
    np.testing.assert_allclose(volume.affine_lps, phantom.volume.affine_lps, atol=1e-5)


def test_the_model_sees_the_same_in_memory_and_through_dicom(phantom, series):
    spec = PreprocessSpec(size=(32, 48, 48))
    through_dicom = prepare(build_volume(choose_series(read_study([series])).stack), spec)
    assert np.array_equal(through_dicom.pixels, prepare(phantom.volume, spec).pixels)


def test_the_truth_lies_beside_the_series(phantom, series):
    truth = json.loads((series.parent / "truth.json").read_text())
    assert truth == {"seed": phantom.seed, **json.loads(json.dumps(phantom.truth.to_dict()))}


def test_the_same_phantom_gives_the_same_bytes(phantom, series, tmp_path):
    again = write_study(phantom, tmp_path)
    for path in sorted(series.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_the_images_are_valid_ct_images(series):
    assert dciodvfy(sorted(series.iterdir())[0], iod="CTImage") == []


def test_uids_of_one_study_agree_and_of_images_differ(phantom):
    images = list(ct_images(phantom))
    assert len({i.StudyInstanceUID for i in images}) == 1
    assert len({i.SeriesInstanceUID for i in images}) == 1
    assert len({i.SOPInstanceUID for i in images}) == len(images)


@pytest.fixture(scope="module", params=range(len(SCANNERS)))
def detailed(request) -> Phantom:
    """The smallest phantom of a scanner's first studies: a head."""
    scanner = SCANNERS[request.param]
    seed = next(s for s in range(99) if draw_study(s).scan.scanner == scanner)
    return make_detailed_phantom(seed, region="head", plane="axial")


def test_a_phantom_with_a_scanners_habits_is_valid_and_reads_back(detailed, tmp_path):
    series = write_study(detailed, tmp_path)
    said = dciodvfy(sorted(series.iterdir())[0], iod="CTImage")
    # scanners have terms of their own for what was done to an image, and may not name the region
    assert all(line.startswith("Warning") for line in said)
    assert all(line.endswith(("<Image Type>", "<Laterality>")) for line in said)
    read = reorient(build_volume(choose_series(read_study([series])).stack), "displayed")
    assert np.array_equal(read.hu, detailed.volume.hu)
    np.testing.assert_allclose(read.affine_lps, detailed.volume.affine_lps, atol=1e-5)


def test_scanners_have_their_own_habits(detailed):
    image, scan = next(ct_images(detailed)), detailed.scan
    assert image.Manufacturer == scan.scanner.manufacturer
    assert image.ManufacturerModelName == "phantom"
    assert image.ConvolutionKernel in (*scan.scanner.soft, *scan.scanner.sharp)
    assert image.PatientPosition == scan.position
    assert (image.InstanceNumber == 1) == scan.scanner.from_above
    assert ("BodyPartExamined" in image) == scan.scanner.names_region


def test_the_detailed_phantom_of_a_seed_is_another_patient_than_the_plain_one(detailed):
    plain = make_phantom(detailed.seed, matrix=24)
    assert next(ct_images(plain)).StudyInstanceUID != next(ct_images(detailed)).StudyInstanceUID

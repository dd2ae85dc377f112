"""What a radiologist would take, where several series show the patient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.slices.read import read_study
from dicom_io.types import Study
from dicom_io.volume.orientation import reorient
from dicom_io.volume.ranking import Measure, ranked
from dicom_io.volume.series import choose_series, usable_stacks
from dicom_io.volume.volume import build_first
from tests.ct import ct_slice, save
from tests.dicom_io.volume.series_in_memory import study


def taken(*series):
    """The SeriesNumber that is taken; the series are numbered in their order."""
    return choose_series(study(*series)).series.header.SeriesNumber


def first(wanted, other):
    """Whether a series is taken wherever it stands."""
    return taken(wanted, other) == 1 and taken(other, wanted) == 2


USUAL = {"mm": 6.0, "count": 12}
THIN = {"mm": 3.0, "count": 24}


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        # whole coverage before original: five originals beside the series
        ({**THIN, "ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, {"mm": 3.0, "count": 5}),
        # what lost nothing to compression, of what is equal otherwise
        (THIN, {**THIN, "LossyImageCompression": "01"}),
        ({**THIN, "LossyImageCompression": "01"}, USUAL),
        # the whole field before thin
        (USUAL, {**THIN, "pixel_mm": 0.4}),
        # a field fitted to the body is as good as one with more air
        ({**THIN, "pixel_mm": 0.75}, USUAL),
        # usual spectrum before thin maps and single energies
        (USUAL, {**THIN, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "MAT_SPECIFIC"]}),
        (USUAL, {**THIN, "RescaleType": "US", "SeriesDescription": "Z effective"}),
        (USUAL, {**THIN, "MonoenergeticEnergyEquivalent": 70.0}),
        (USUAL, {**THIN, "MonoenergeticEnergyEquivalent": 40.0}),
        (
            {**USUAL, "MonoenergeticEnergyEquivalent": 65.0},
            {**THIN, "MonoenergeticEnergyEquivalent": 50.0},
        ),
        # a single energy of 70 keV before a sharp kernel, which 40 keV is not
        ({"MonoenergeticEnergyEquivalent": 70.0}, {"ConvolutionKernel": "Bl57f"}),
        ({"ConvolutionKernel": "Bl57f"}, {"MonoenergeticEnergyEquivalent": 40.0}),
        # the mixture of two tubes
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM7 SPI DUAL", "DET_AB"]},
            {**THIN, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM7 SPI DUAL", "DET_A"]},
        ),
        # diagnostic before attenuation correction, even if that one is longer and wider
        (
            {"SeriesDescription": "CT venous"},
            {"SeriesDescription": "AC CT WB", "count": 60, "pixel_mm": 1.6},
        ),
        # cardiac phases
        (
            {"SeriesDescription": "CorCTA BestDiast 77 %"},
            {"SeriesDescription": "CorCTA 25 %", "mm": 1.0, "count": 72},
        ),
        ({"NominalPercentageOfCardiacPhase": 70.0}, {"NominalPercentageOfCardiacPhase": 30.0}),
        # a soft reformatted series before a sharp original
        (
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MPR"], **USUAL},
            {"ConvolutionKernel": "Bl57f", "mm": 1.0, "count": 72},
        ),
        # padded, and one text
        (USUAL, {**THIN, "ImageType": ["DERIVED ", "PRIMARY", "AXIAL"]}),
        (USUAL, {**THIN, "ImageType": "['DERIVED', 'SECONDARY', 'MIP']"}),
        (
            {**THIN, "ImageType": ["DERIVED", "SECONDARY", "MPR", "CSA MPR"]},
            {"mm": 1.0, "count": 72, "ImageType": ["DERIVED", "SECONDARY", "MPR", "CSA MIP"]},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The value length")  # the text of a list is longer than a CS
def test_a_series_is_taken_before_another_whichever_comes_first(wanted, other):
    assert first(wanted, other)


def test_every_rejected_series_has_its_own_reason():
    choice = choose_series(
        study(
            USUAL,
            {**THIN, "pixel_mm": 0.4},
            {**THIN, "MonoenergeticEnergyEquivalent": 40.0},
            {"SeriesDescription": "AC CT WB"},
            {"SeriesDescription": "CorCTA 25 %"},
        )
    )
    reasons = {r.series.header.SeriesNumber: r.reason for r in choice.rejected}
    assert reasons[2].startswith("field of 26 mm only, not 64 mm")
    assert reasons[3].startswith("single energy of 40 keV, and the usual spectrum exists")
    assert reasons[4].startswith("attenuation correction of PET")
    assert reasons[5].startswith("another cardiac phase")


def test_monitoring_with_a_wide_field_is_no_measure_for_the_heart():
    assert taken({"count": 24, "pixel_mm": 0.4}, {"count": 6, "pixel_mm": 1.6}) == 1


def test_the_energy_that_is_read_stands_in_reason_and_notes():
    choice = choose_series(study({"MonoenergeticEnergyEquivalent": 70.0}))
    assert "single energy of 70 keV" in choice.reason
    assert choice.notes == ("The images show a single energy of 70 keV.",)


KINDS = st.fixed_dictionaries(
    {},
    optional={
        "mm": st.sampled_from([1.0, 3.0, 5.0]),
        "count": st.integers(5, 12),
        "pixel_mm": st.sampled_from([0.4, 1.0, 1.6]),
        "ConvolutionKernel": st.sampled_from(["Br40f", "Bl57f", "?"]),
        "ImageType": st.sampled_from(
            [["DERIVED", "PRIMARY"], ["ORIGINAL", "PRIMARY"], ["ORIGINAL", "PRIMARY", "X", "VMI"]]
        ),
        "MonoenergeticEnergyEquivalent": st.sampled_from([40.0, 70.0]),
        "SeriesDescription": st.sampled_from(["AC CT", "CorCTA 30 %", "Thorax"]),
    },
)


@settings(max_examples=30)
@given(kinds=st.lists(KINDS, min_size=2, max_size=5), data=st.data())
def test_the_choice_depends_on_no_order_and_every_reason_names_a_true_difference(kinds, data):
    whole = study(*kinds)
    order = data.draw(st.permutations(whole.series))
    choice = choose_series(whole)
    again = choose_series(Study("1", tuple(order)))
    assert again.series.series_instance_uid == choice.series.series_instance_uid
    assert len(choice.rejected) == len(kinds) - 1
    stacks = usable_stacks(whole)
    assert [id(s) for s in ranked(stacks)] == [id(s) for s in stacks]
    assert Measure.of(stacks).length_mm <= max(s.extent_mm for s in stacks)


@pytest.mark.parametrize("flip_rows", [1, -1])
@pytest.mark.parametrize("flip_columns", [1, -1])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_left_stays_left_in_every_orientation_of_the_slices(
    tmp_path, flip_rows, flip_columns, reverse, swap
):
    """A lung at the patient's left: wherever rows and columns point, it is found at high x."""
    x, y = np.eye(3)[:2]
    rows, columns = (y, x) if swap else (x, y)
    row, column = rows * flip_rows, columns * flip_columns
    size = 8
    corner = -3.5 * (row + column)
    images = []
    for k in range(6):
        at = [corner + c * row + r * column for r in range(size) for c in range(size)]
        hu = np.array([-850 if p[0] > 1 else 40 + 2 * k for p in at]).reshape(size, size)
        position = corner + np.array([0, 0, 3.0 * k])
        number = 6 - k if reverse else k + 1
        images.append(ct_slice(hu, position, number=number, orientation=(row, column)))
    _, volume = build_first(choose_series(read_study([save(images, tmp_path)])))
    seen = reorient(volume, "displayed")
    assert (seen.hu[:, :, 5:] == -850).all()  # W runs to the patient's left
    assert (seen.hu[:, 0, 0] == [50, 48, 46, 44, 42, 40]).all()  # D runs from head to feet

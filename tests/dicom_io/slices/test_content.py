"""ImageType and descriptions as devices write them."""

import pytest

from dicom_io.slices.content import (
    energy_of,
    is_attenuation_correction,
    no_cross_section,
    no_hu,
    phase_distance,
)
from dicom_io.slices.slices import in_capitals


@pytest.mark.parametrize(
    ("image_type", "name"),
    [
        (["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"], "maximum intensity projection"),
        (["DERIVED", "SECONDARY", "MPR", "CSA MIP", "CSAPARALLEL"], "maximum intensity projection"),
        (["DERIVED", "SECONDARY", "REFORMATTED", "MIN_IP"], "minimum intensity projection"),
        (["DERIVED", "SECONDARY", "OTHER", "THICK_MIP"], "maximum intensity projection"),
        ("['DERIVED', 'SECONDARY', 'MIP']", "maximum intensity projection"),
        ("DERIVED,SECONDARY,MIP", "maximum intensity projection"),
        ("ORIGINAL\\PRIMARY\\LOCALIZER", "localizer"),
        (["ORIGINAL ", "PRIMARY", " localizer "], "localizer"),
        (["DERIVED", "SECONDARY", "PROJECTION IMAGE"], "projection"),
        (["DERIVED", "SECONDARY", "CSA VRT"], "volume rendering"),
        (["DERIVED", "SECONDARY", "CURVED"], "curved reformation"),
        (["DERIVED", "SECONDARY", "REFORMATTED", "CPR"], "curved reformation"),
        (["DERIVED", "SECONDARY", "SCREEN SAVE"], "screen capture"),
        (["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MPR"], None),
        (["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], None),
        (["DERIVED", "SECONDARY", "AXIAL", "MIPS"], None),
        (None, None),
    ],
)
def test_words_of_image_type_are_found_in_every_spelling(image_type, name):
    assert no_cross_section(in_capitals(image_type)) == name


@pytest.mark.parametrize(
    "padded", ["DERIVED ", " derived", "'DERIVED'", "['DERIVED']", "DERIVED\0"]
)
def test_the_first_value_is_read_without_its_padding(padded):
    assert in_capitals([padded, "PRIMARY"])[0] == "DERIVED"


def test_a_description_is_believed_of_derived_images_only():
    for derived in ("Thorax MIP 10 mm", "tMIP", "Curved MPR LAD", "CPR RCA"):
        assert no_cross_section(("DERIVED", "SECONDARY"), derived)
    assert no_cross_section(("ORIGINAL", "PRIMARY", "AXIAL"), "Thorax, MIP to follow") is None


@pytest.mark.parametrize(
    "value",
    [
        *("MAT_SPECIFIC", "MAT_REMOVED", "MAT_FRACTIONAL", "MAT_MODIFIED", "MAT_VALUE_BASED"),
        *(
            "IODINE",
            "MATERIAL",
            "MD_IODINE",
            "EFF_ATOMIC_NUM",
            "ELECTRON_DENSITY",
            "CT_SOM5 TTP",
            "RCBF",
            "SUBTRACTION",
        ),
    ],
)
def test_values_of_multi_energy_and_perfusion_are_no_hu(value):
    assert no_hu(("ORIGINAL", "PRIMARY", "AXIAL", value))


@pytest.mark.parametrize("value", ["VMI", "NONE", "CT_SOM5 SPI", "DET_A", "MEAN", "HELIX"])
def test_single_energies_and_usual_values_are_hu(value):
    assert no_hu(("ORIGINAL", "PRIMARY", "AXIAL", value)) is None


@pytest.mark.parametrize(
    ("description", "is_map"),
    [
        ("Z effective", True),
        ("Iodine map 3.0", True),
        ("Iodine density", True),
        ("Fat fraction", True),
        ("Head CBV 5.0", True),
        ("VNC 3.0", True),
        ("Water (Iodine)", True),
        ("Iodine(Water) 2.5", True),
        ("Rho/Z Abdomen", True),
        ("Effective Z", True),
        ("Calcium Suppression index 50", True),
        ("CaSupp 25", True),
        ("Virtual Unenhanced", True),
        ("Uric acid pairs", True),
        ("CTA bone removal", True),
        ("CTA for subtraction", False),
        ("DE Uric acid M_0.5", False),
        ("True non contrast", False),
        ("Calcium score", False),
        ("Hip and water bed", False),
        ("Abdomen iodine contrast venous", False),
        ("Thorax 3.0 Br40", False),
    ],
)
def test_a_description_names_maps_where_the_image_type_ends_early(description, is_map):
    assert bool(no_hu(("DERIVED", "SECONDARY", "AXIAL"), description)) == is_map
    assert no_hu(("ORIGINAL", "PRIMARY", "AXIAL", "NONE"), description) is None
    assert no_hu(("ORIGINAL", "PRIMARY", "AXIAL", "VMI"), description) is None


@pytest.mark.parametrize("value", ["CT_SOM5 SPI", "SPECTRAL"])
def test_a_vendors_word_in_the_image_type_hides_no_map_that_the_description_names(value):
    assert no_hu(("DERIVED", "PRIMARY", "AXIAL", value), "VNC 1.5 Qr40")
    assert no_hu(("DERIVED", "PRIMARY", "AXIAL", value), "Thorax 1.5 Br40") is None


def test_the_image_type_names_maps_as_descriptions_do():
    assert no_hu(("DERIVED", "PRIMARY", "AXIAL", "VNC")) == "HU with a material removed or changed"


@pytest.mark.parametrize(
    ("image_type", "kev", "description", "name"),
    [
        ("VMI", 70.0, "", "single energy of 70 keV"),
        ("VMI", None, "Mono+ 55 keV", "single energy of 55 keV"),
        ("NONE", None, "MONO_40KEV", "single energy of 40 keV"),
        ("NONE", None, "MonoE40", "single energy of 40 keV"),
        ("MONOE_40KEV", None, "", "single energy of 40 keV"),
        ("VMI", None, "", "single energy, not stated"),
        ("DET_A", None, "", "one tube of two"),
        ("NONE", None, "DE 2.0 Q30f B_Sn150kV", "one tube of two"),
        ("DET_AB", None, "DE 2.0 Q30f F_0.6", ""),
        ("NONE", None, "Thorax 120kV", ""),
    ],
)
def test_energies_are_known_by_attribute_then_image_type_then_description(
    image_type, kev, description, name
):
    assert energy_of(("ORIGINAL", "PRIMARY", "AXIAL", image_type), kev, description).name == name


def test_the_usual_spectrum_comes_before_70_kev_and_that_before_one_tube_and_the_rest():
    kinds = ("ORIGINAL", "PRIMARY", "AXIAL")
    ordered = [
        energy_of(kinds, None),
        *(energy_of((*kinds, "VMI"), kev) for kev in (70, 68, 80)),
        energy_of((*kinds, "DET_A"), None),
        energy_of((*kinds, "VMI"), None),
        *(energy_of((*kinds, "VMI"), kev) for kev in (55, 40, 190)),
    ]
    grades = [energy.grade for energy in ordered]
    assert grades == sorted(grades)


@pytest.mark.parametrize(
    ("description", "corrects"),
    [
        ("AC CT WB 3.0 B31f", True),
        ("CTAC 3.27", True),
        ("CT WB AC", True),
        ("WB AC 5.0", True),
        ("CT attenuation correction", True),
        ("Shoulder, AC joint", False),
        ("CT WB venous 3.0 B40f", False),
        ("Vacuum", False),
    ],
)
def test_attenuation_correction_is_known_by_its_description(description, corrects):
    assert is_attenuation_correction(description) == corrects


@pytest.mark.parametrize(
    ("percent", "description", "distance"),
    [
        (75.0, "", 0),
        (None, "DS_CorCTA 0.6 Bv40 3 BestDiast 77 %", 0),
        (None, "DS_CorCTA 0.6 Bv40 3 25 %", 5),
        (None, "Cardiac 40%", 3),
        (None, "BestSyst 41 %", 3),
        (None, "Thorax ASIR 40%", 0),
        (None, "", 0),
        (500.0, "", 7),
    ],
)
def test_a_cardiac_phase_is_measured_from_mid_diastole(percent, description, distance):
    assert phase_distance(percent, description) == distance

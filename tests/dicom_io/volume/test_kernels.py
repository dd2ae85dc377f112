import pytest

from dicom_io.volume.kernels import sharpness


@pytest.mark.parametrize(
    ("kernel", "is_"),
    [
        ("H31s", "soft"),
        ("B30f", "soft"),
        ("Br40d", "soft"),
        ("['J30s', '3']", "soft"),
        ("H70h", "sharp"),
        ("Bl57", "sharp"),
        ("Hr64", "sharp"),
        ("STANDARD", "soft"),
        ("STD+", "soft"),
        ("SOFT", "soft"),
        ("BONEPLUS", "sharp"),
        ("LUNG", "sharp"),
        ("FC13", "soft"),
        ("FC26", "soft"),
        ("FC81", "sharp"),
        ("UB", "soft"),
        ("B", "soft"),
        ("YA", "sharp"),
        ("L", "sharp"),
        ("", "unknown"),
        ("XYZ", "unknown"),
    ],
)
def test_the_names_of_the_manufacturers_are_known(kernel, is_):
    assert sharpness(kernel) == is_


def test_the_description_is_asked_where_the_kernel_says_nothing():
    assert sharpness("", "Thorax Lung 1.0") == "sharp"
    assert sharpness("", "Brain 5 mm") == "soft"
    assert sharpness("UB", "bone") == "soft"

import logging
import warnings
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_io.errors import IdentifiedContent
from tests.ct import ct_slice
from training.site.deidentify.headers import deidentify, origin, patient_of, quiet
from training.site.deidentify.keys import Key

KEY = Key(b"k" * 32)


def image(**attributes) -> Dataset:
    with quiet():
        return ct_slice(np.zeros((4, 4)), (0, 0, 0), **attributes)


def test_an_image_keeps_its_pixels_and_its_geometry():
    before = image()
    after = deidentify(before, KEY)
    for keyword in ("PixelData", "ImagePositionPatient", "PixelSpacing", "RescaleIntercept"):
        assert after[keyword].value == before[keyword].value


def test_the_original_is_not_changed():
    before = image(SeriesDescription="Abdomen Test^Torso")
    copy = before.copy()
    deidentify(before, KEY)
    assert before == copy


def test_uids_are_replaced_alike_everywhere():
    one, two = deidentify(image(), KEY), deidentify(image(), KEY)
    assert one.StudyInstanceUID == two.StudyInstanceUID == KEY.uid("1.2.826.0.1.3680043.8.498.1")
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID != two.SOPInstanceUID


def test_the_patient_becomes_a_pseudonym():
    assert deidentify(image(), KEY).PatientID == KEY.patient("id t1")
    assert "PatientName" not in deidentify(image(), KEY)


def test_dates_of_one_patient_keep_their_distance():
    first = deidentify(image(StudyDate="20200228"), KEY)
    second = deidentify(image(StudyDate="20200301"), KEY)
    days = [datetime.strptime(ds.StudyDate, "%Y%m%d") for ds in (first, second)]
    assert days[1] - days[0] == timedelta(days=2)
    assert days[0].year < 2020


def test_a_contrast_delay_survives_the_shift_of_times():
    after = deidentify(image(ContrastBolusStartTime="235930", AcquisitionTime="000040"), KEY)
    start, acquired = (
        int(t[:2]) * 3600 + int(t[2:4]) * 60 + int(t[4:6])
        for t in (after.ContrastBolusStartTime, after.AcquisitionTime)
    )
    assert (acquired - start) % 86400 == 70
    assert after.ContrastBolusStartTime != "235930"


@pytest.mark.parametrize("date", ["2020", "202013", "20201332", "2020-1-1", "20200101-20200103"])
def test_dates_that_are_none_are_dropped(date):
    assert "StudyDate" not in deidentify(image(StudyDate=date), KEY)


def test_an_age_becomes_a_decade_and_ninety_is_the_last():
    ages = {"067Y": "60s", "009M": "0s", "093Y": "90+", "104Y": "90+", "": None}
    for age, decade in ages.items():
        assert origin(deidentify(image(PatientAge=age), KEY))["age_decade"] == decade


def test_an_age_comes_from_the_birth_date_where_none_is_stated():
    after = deidentify(image(PatientBirthDate="19500615", StudyDate="20200101"), KEY)
    assert origin(after)["age_decade"] == "60s"


def test_a_description_keeps_its_technical_words_only():
    text = "Thorax Herr Bone-Mueller 1,25 mm B70f 12.03.1950"
    after = deidentify(image(SeriesDescription=text), KEY)
    assert after.SeriesDescription == "thorax bone 1,25 mm"


def test_a_technical_word_that_is_the_patients_name_goes():
    after = deidentify(image(PatientName="Bone^Jane", SeriesDescription="Bone Jane CTA"), KEY)
    assert after.SeriesDescription == "cta"


@pytest.mark.parametrize(
    ("keyword", "value", "survives"),
    [
        ("Manufacturer", "GE MEDICAL SYSTEMS", "GE"),
        ("Manufacturer", "Hans Maier", "OTHER"),
        ("ManufacturerModelName", "SOMATOM Definition AS+ SN 4711", "SOMATOM Definition AS+"),
        ("ManufacturerModelName", "Maier 64", "OTHER"),
        ("ConvolutionKernel", "Br40d", "Br40d"),
        ("RescaleType", "MAIER", "OTHER"),
        ("PatientSex", "MAIER", "OTHER"),
        ("ContrastBolusAgent", "Omnipaque for Maier", "CONTRAST AGENT"),
    ],
)
def test_a_word_survives_where_it_says_nothing(keyword, value, survives):
    assert deidentify(image(**{keyword: value}), KEY)[keyword].value == survives


def test_unknown_kernels_stay_different_words():
    one, two = (deidentify(image(ConvolutionKernel=k), KEY) for k in ("Maier", "Huber"))
    assert one.ConvolutionKernel != two.ConvolutionKernel
    assert "aier" not in str(one.ConvolutionKernel)
    assert origin(one)["kernel"] is None


@pytest.mark.parametrize(
    ("reason", "attributes"),
    [
        ("no CT image", {"SOPClassUID": SecondaryCaptureImageStorage}),
        ("burned", {"BurnedInAnnotation": "YES"}),
        ("burned", {"BurnedInAnnotation": "yes "}),
        ("face", {"RecognizableVisualFeatures": "YES"}),
        ("secondary capture", {"ConversionType": "WSD"}),
        ("screen", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
        ("colour", {"SamplesPerPixel": 3}),
        ("8 bits", {"BitsStored": 8}),
    ],
)
def test_an_image_that_may_show_text_is_refused(reason, attributes):
    with pytest.raises(IdentifiedContent, match=reason):
        deidentify(image(**attributes), KEY)


def test_frames_of_a_multi_frame_object_keep_their_geometry_and_nothing_else():
    before = image()
    frame, position, content = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [1, 2, 3]
    content.FrameComments, content.StackID = "Maier", "Maier"
    frame.PlanePositionSequence = Sequence([position])
    frame.FrameContentSequence = Sequence([content])
    frame.add_new((0x0009, 0x0010), "LO", "MAIER")
    before.PerFrameFunctionalGroupsSequence = Sequence([frame])
    after = deidentify(before, KEY).PerFrameFunctionalGroupsSequence[0]
    assert after.PlanePositionSequence[0].ImagePositionPatient == [1, 2, 3]
    assert "aier" not in str(after).lower()


def test_an_element_of_another_vr_than_the_standards_is_dropped():
    before = image()
    before.add(pydicom.DataElement(0x00180050, "LO", "Maier"))
    assert "SliceThickness" not in deidentify(before, KEY)


def test_patients_without_id_are_told_apart_by_name_and_birth_date():
    def patient(**attributes):
        return patient_of(image(PatientID="", **attributes))

    maier = patient(PatientName="Maier^A", PatientBirthDate="19500101")
    assert maier == patient(PatientName="MAIER^A", PatientBirthDate="19500101")
    assert maier != patient(PatientName="Maier^A", PatientBirthDate="19600101")
    assert patient(PatientName="Maier^A") == "study 1.2.826.0.1.3680043.8.498.1"


def test_nothing_that_a_library_warns_of_is_heard(caplog):
    with quiet(), warnings.catch_warnings(record=True) as heard:
        logging.getLogger("pydicom").warning("MAIER")
        Dataset().PatientBirthDate = "MAIER"
    assert not caplog.records
    assert not heard


def test_who_is_quiet_within_quiet_lets_nobody_speak_until_the_first_has_ended(caplog):
    logger = logging.getLogger("pydicom")
    before = logger.level
    with quiet():
        with quiet():
            logger.critical("MAIER")
        logger.critical("MAIER")
    assert not caplog.records
    assert logger.level == before

from pydicom import Dataset

from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME, is_own


def header(**attributes):
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_the_device_uid_tells_an_own_object():
    assert is_own(header(Modality="SR", DeviceUID=DEVICE_UID))
    assert is_own(header(DeviceUID=["1.2.3", DEVICE_UID]))


def test_maker_and_model_tell_an_own_report_where_the_uid_was_dropped():
    assert is_own(
        header(Modality="SR", Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL_NAME)
    )


def test_a_ct_of_the_same_maker_is_a_study_like_any_other():
    ct = header(Modality="CT", Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL_NAME)
    assert not is_own(ct)


def test_objects_of_others_are_not_own():
    assert not is_own(header())
    assert not is_own(header(Modality="SR", Manufacturer="Other", DeviceUID="1.2.3"))
    assert not is_own(header(DeviceUID=None))

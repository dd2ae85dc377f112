"""Who we are in the objects we write, and how to tell them from everybody else's.

No import but pydicom, so that the receiver can ask `is_own` of what arrives.
"""

from uuid import NAMESPACE_OID, uuid5

from pydicom import Dataset
from pydicom.multival import MultiValue

MANUFACTURER = "ctscribe project"
MODEL_NAME = "ctscribe"

# PS3.5 B.2: the version 5 UUID of the DNS name "ctscribe", fixed for all installations and versions
DEVICE_UID = "2.25.177124644059165327819875561385594098920"


def is_own(dataset: Dataset) -> bool:
    """Tell whether this software wrote a draft object, whatever archive it comes back from.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Any header; the pixel data is not needed.

    Notes
    -----
    DeviceUID (PS3.3 C.7.5.1) decides. Archives that drop it keep manufacturer and model; these
    count for reports only, because the phantoms of this project are studies like any other.
    """
    device_uid = dataset.get("DeviceUID")
    stated = device_uid if isinstance(device_uid, MultiValue) else [device_uid]
    if DEVICE_UID in map(str, stated):
        return True
    marks = [dataset.get(word) for word in ("Modality", "Manufacturer", "ManufacturerModelName")]
    return marks == ["SR", MANUFACTURER, MODEL_NAME]


def uid_in_form(uid: str, form: str) -> str:
    """Return the UID that a report of this software has in another form; always the same one."""
    return f"2.25.{uuid5(NAMESPACE_OID, f'{uid}/{form}').int}"

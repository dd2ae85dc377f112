"""The one border where our errors become DIMSE statuses (PS3.4 B.2.3)."""

from __future__ import annotations

from dicom_io import errors

SUCCESS = 0x0000
# PS3.4 B.2.3: 0xA7xx tells the peer to keep the object and try again later
OUT_OF_RESOURCES = 0xA700
# PS3.4 B.2.3: the data set does not match the SOP Class
DATA_SET_MISMATCH = 0xA900
# PS3.4 B.2.3: the data set cannot be understood
CANNOT_UNDERSTAND = 0xC000
# PS3.7 C.5.9: the request could not be carried out, for no reason that the peer can mend
PROCESSING_FAILURE = 0x0110

_STATUS: dict[type[errors.CtscribeError], int] = {
    errors.StoreFull: OUT_OF_RESOURCES,
    errors.OutOfDeviceMemory: OUT_OF_RESOURCES,
    errors.EngineUnavailable: OUT_OF_RESOURCES,
    errors.EngineFault: OUT_OF_RESOURCES,
    errors.PeerUnreachable: OUT_OF_RESOURCES,
    errors.DecoderUnavailable: OUT_OF_RESOURCES,
    errors.MissingAttribute: DATA_SET_MISMATCH,
    errors.DataSetMismatch: DATA_SET_MISMATCH,
    errors.DicomError: CANNOT_UNDERSTAND,
    errors.CtscribeError: PROCESSING_FAILURE,
}


def dimse_status(error: errors.CtscribeError) -> int:
    """Return the C-STORE status for an error: that of its nearest mapped class."""
    return next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)

import pytest

from dicom_io import errors
from plugin.reception.dimse_status import OUT_OF_RESOURCES, PROCESSING_FAILURE, dimse_status


def every_class(root: type[errors.CtscribeError]) -> list[type[errors.CtscribeError]]:
    return [root, *(found for child in root.__subclasses__() for found in every_class(child))]


@pytest.mark.parametrize("error", every_class(errors.CtscribeError))
def test_every_error_class_has_a_failure_status(error):
    assert dimse_status(error("what and where")) >= 0x0110


@pytest.mark.parametrize("error", [e for e in every_class(errors.CtscribeError) if e.retryable])
def test_a_retryable_error_asks_the_peer_to_keep_the_object_and_try_again(error):
    assert dimse_status(error("later")) == OUT_OF_RESOURCES


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.StoreFull, 0xA700),
        (errors.MissingAttribute, 0xA900),
        (errors.GeometryError, 0xC000),
        (errors.CheckpointMismatch, PROCESSING_FAILURE),
    ],
)
def test_a_class_takes_the_status_of_its_nearest_mapped_ancestor(error, status):
    assert dimse_status(error("what and where")) == status

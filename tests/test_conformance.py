"""The conformance statement says what the code does."""

import re

import pytest
from pydicom.uid import UID, EnhancedSRStorage
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_io.archives import retrieval
from dicom_io.archives.association import PATIENCE, UNCOMPRESSED, Timeouts
from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME
from plugin.reception import dimse_status as statuses
from plugin.reception import instance_store as store
from plugin.reception import receiver
from plugin.reception.association.patient_socket import LARGEST_PDU
from plugin.settings import Receiver
from reporting.draft import DRAFT_NOTICE
from reporting.objects.sr import SERIES_NUMBER_BASE
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "conformance.md").read_text("utf-8")


MOST_CONTEXTS = 128
"""PS3.8 9.3.2.2: identifiers of presentation contexts are odd and fit a byte."""


def section(heading: str) -> str:
    return re.split(r"^#+ ", PAGE.partition(heading)[2], maxsplit=1, flags=re.M)[0]


def test_the_transfer_syntaxes_are_those_of_the_receiver():
    rows = re.findall(
        r"^\| [^|]+ \| (1\.2\.840[\d.]+) \|$", section("### Presentation contexts"), re.M
    )
    assert rows == list(receiver.TRANSFER_SYNTAXES)
    assert all(UID(uid).is_transfer_syntax for uid in rows)


def test_the_statuses_are_those_that_are_answered():
    listed = {int(s, 16) for s in re.findall(r"^\| (0x[0-9A-F]{4})", section("### C-STORE"), re.M)}
    answered = {statuses.SUCCESS, store.KEPT_ASIDE, *statuses._STATUS.values()}
    assert listed == answered


def test_images_are_retrieved_in_every_syntax_that_the_receiver_takes():
    offered = {*UNCOMPRESSED, *retrieval.COMPRESSED}
    left = set(receiver.TRANSFER_SYNTAXES) - offered
    assert {UID(uid).name for uid in left} == {
        "Deflated Explicit VR Little Endian",
        "Explicit VR Big Endian",
    }
    contexts = list(retrieval.storage_contexts())
    assert len(contexts) < MOST_CONTEXTS


@pytest.mark.parametrize(
    "fact",
    [
        f"| maximum PDU length received | {receiver.MAXIMUM_PDU} |",
        f"A PDU of up to {LARGEST_PDU >> 20} MiB is taken",
        f"| {Receiver().maximum_associations} for each receiver process",
        f"complete {receiver.Limits().pdu_timeout_s:.0f} s after its first byte",
        f"requested {receiver.Limits().acse_timeout_s:.0f} s after the connection",
        f"for {Receiver().network_timeout_s:.0f} s (`receiver.network_timeout_s`)",
        f"`{Receiver().redraft_ae_title}`",
        f"(application entity `{Receiver().ae_title}`",
        f"waits {Timeouts().connect_s:.0f} s for the connection",
        f"{Timeouts().acse_s:.0f} s for the answer to an association request",
        f"{Timeouts().dimse_s:.0f} s for the answer to a command",
        f"({EnhancedSRStorage})",
        f"({StudyRootQueryRetrieveInformationModelGet})",
        f"({StudyRootQueryRetrieveInformationModelMove})",
        f"{PATIENCE.dimse_s:.0f} s for the answer to a command, as an archive",
        f"answered with 0x{retrieval.REFUSED:04X}",
        f"| DeviceUID | {DEVICE_UID},",
        f"`{DRAFT_NOTICE}`",
        f"| SeriesNumber | {SERIES_NUMBER_BASE} + revision |",
        f"`{MANUFACTURER}`, `{MODEL_NAME}`",
    ],
)
def test_a_fact_stands_in_the_page(fact):
    assert fact in " ".join(PAGE.split())

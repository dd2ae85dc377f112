"""From a table of the settings to a draft that was delivered in its form."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_io.archives.orthanc import Orthanc
from plugin.assembly import destination
from plugin.delivery.delivery import deliver_to
from plugin.delivery.formed import FormedArchive
from plugin.delivery.outbox import Outbox
from plugin.settings import load_settings
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Delivery, DeliveryState, Draft, Job, Study
from reporting.objects.sr import build_sr
from tests.mllp import Ris, listening
from tests.plugin.delivery.drafts import Clock
from tests.reporting.studies import ct_header, draft_of

RIS = 'name = "ris"\nkind = "hl7"\nhost = "127.0.0.1"\nport = {port}\nreceiving_application = "RIS"'
PACS = 'name = "pacs"\nkind = "orthanc"\nurl = "http://127.0.0.1:1"'


def settings_of(folder: Path, table: str):
    path = folder / "ctscribe.toml"
    path.write_text(f"[[destinations]]\n{table}\n")
    return load_settings(path).destinations[0]


@pytest.mark.parametrize(
    ("forms", "names"),
    [
        ("", ["enhanced-sr", "text-sr"]),
        ('forms = ["pdf"]', ["pdf"]),
        ('forms = ["image", "text-sr"]', ["image", "text-sr"]),
    ],
)
def test_an_archive_is_offered_the_forms_of_its_table(tmp_path, forms, names):
    target = destination(settings_of(tmp_path, f"{PACS}\n{forms}")).archive
    assert isinstance(target, FormedArchive)
    assert [form.name for form in target.forms] == names


def test_with_the_report_alone_it_is_the_archive_itself(tmp_path):
    target = destination(settings_of(tmp_path, f'{PACS}\nforms = ["enhanced-sr"]')).archive
    assert isinstance(target, Orthanc)


def test_a_draft_is_delivered_once_the_ris_acknowledges_it(
    tmp_path: Path, sessions: SessionFactory, spool: Spool
) -> None:
    sr = build_sr(draft_of(), [ct_header()])
    clock = Clock()
    with sessions.begin() as session:
        times = dict.fromkeys(["first_received_at", "last_received_at"], clock())
        study = Study(study_instance_uid=sr.StudyInstanceUID, **times)
        times = dict.fromkeys(["deadline", "hard_deadline", "not_before", "created_at"], clock())
        draft = Draft(
            study=study,
            job=Job(study=study, revision=1, **times),
            revision=1,
            state="complete",
            sop_instance_uid=sr.SOPInstanceUID,
            series_instance_uid=sr.SeriesInstanceUID,
            path=spool.write_draft(sr),
            selected_digest="0" * 64,
            created_at=clock(),
        )
        draft.deliveries = [Delivery(destination="ris", kind="hl7", not_before=clock())]
        session.add(draft)
    ris = Ris()
    with listening(ris) as port:
        target = destination(settings_of(tmp_path, RIS.format(port=port)))
        deliver_to(Outbox(sessions, spool.root, clock), target)
    (message,) = ris.messages
    assert str(message.segment("MSH")[5]) == "RIS"
    with sessions() as session:
        assert session.scalar(select(Delivery.state)) == DeliveryState.ACCEPTED

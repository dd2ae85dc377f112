"""An archive that gets drafts in the form that it can keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import Dataset, dcmread
from sqlalchemy import select

from dicom_io.archives.archive import Target
from dicom_io.archives.proving.proof import Found, InstanceReference
from dicom_io.device import uid_in_form
from dicom_io.errors import AssociationRejected, SopClassRefused
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.tables import Draft, Level
from plugin.state.timeline import add_event_once

# PS3.7 C.5.8: SOP class not supported
_NOT_SUPPORTED = 0x0122

Told = Callable[[str, str], None]
"""Is told the SOP Instance UID of a draft, and what became of it."""


def _nobody(sop_instance_uid: str, message: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Form:
    """A form of a draft: its name, and what makes it of the Enhanced SR, if it is another."""

    name: str
    make: Callable[[Dataset], Dataset] | None = None

    def reference(self, sr: InstanceReference) -> InstanceReference:
        """Return under which UIDs an archive holds a report in this form."""
        if self.make is None:
            return sr
        return replace(
            sr,
            series_instance_uid=uid_in_form(sr.series_instance_uid, self.name),
            sop_instance_uid=uid_in_form(sr.sop_instance_uid, self.name),
        )


@dataclass(frozen=True)
class FormedArchive:
    """An archive, and the forms that are offered to it, the best first.

    Which form it took is not kept: the UIDs in every form follow from those of the draft, so that
    a later process looks for each of them.

    Parameters
    ----------
    archive : Target
        Where drafts are kept.
    forms : sequence of Form
        The next one is offered where the archive does not take the class of the one before.
    told : callable
        Is told where it was not the first.
    """

    archive: Target
    forms: Sequence[Form]
    told: Told = _nobody

    def store(self, *paths: Path) -> None:
        """Store drafts, each in the first form that the archive takes."""
        for path in paths:
            self._store(path)

    def find(self, reference: InstanceReference) -> Found:
        """Look for a draft in every form that the archive may have taken."""
        for form in self.forms:
            found = self.archive.find(form.reference(reference))
            if found.instances:
                break
        return found

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        """Ask the archive."""
        return self.archive.count(study_instance_uid)

    def check(self) -> None:
        """Verify that the archive answers."""
        self.archive.check()

    def _store(self, path: Path) -> None:
        refused: list[str] = []
        for form in self.forms:
            try:
                self._store_as(form, path)
            except AssociationRejected as error:
                if not is_the_class(error) or form is self.forms[-1]:
                    raise
                refused.append(form.name)
                continue
            if refused:
                uid = str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
                self.told(uid, f"{form.name}, for it does not take {', '.join(refused)}")
            return

    def _store_as(self, form: Form, path: Path) -> None:
        if form.make is None:
            self.archive.store(path)
            return
        with TemporaryDirectory() as folder:
            made = Path(folder, "draft.dcm")
            form.make(dcmread(path)).save_as(made, enforce_file_format=True)
            self.archive.store(made)


def tell_form(
    sessions: SessionFactory, destination: str, sop_instance_uid: str, message: str
) -> None:
    """Write into the timeline in which form a draft was sent.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    destination : str
        Where it was sent.
    sop_instance_uid, message : str
        As `FormedArchive` tells them.
    """
    with sessions.begin() as session:
        draft = session.scalar(select(Draft).where(Draft.sop_instance_uid == sop_instance_uid))
        if draft is not None:
            text = f"draft {draft.revision}: {destination} gets it as {message}"
            now, level = now_of(session), Level.WARNING
            add_event_once(session, Kind.FORM, text, now=now, study_id=draft.study_id, level=level)


def is_the_class(error: AssociationRejected) -> bool:
    """Tell whether an archive refused an object for its class."""
    return isinstance(error, SopClassRefused) or error.status == _NOT_SUPPORTED

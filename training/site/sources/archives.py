"""Archives as sources: Orthanc, a DICOMweb server, a PACS by its AE title."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from dicom_io.archives.archive import Archive
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.http import Bearer, Login
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.retrieval import Listener
from dicom_io.errors import UnusableData
from training.site.sources.source import Query, Source, StudyReference

USER, PASSWORD, TOKEN = (f"CTSCRIBE_SOURCE_{name}" for name in ("USER", "PASSWORD", "TOKEN"))
"""Environment variables with the credentials for an archive."""

DICOM_PORT = 104
CALLING_AE_TITLE = "CTSCRIBE"


@dataclass(frozen=True)
class ArchiveSource:
    """An archive of any kind."""

    archive: Archive

    @property
    def may_be_shared(self) -> bool:
        """An archive that moves objects to a port here finds one process there."""
        return not (isinstance(self.archive, Dimse) and self.archive.listener)

    def studies(self, query: Query) -> Iterator[StudyReference]:
        """List studies by date and UID, each once; those that do not match were not asked for."""
        answers = self.archive.search(query.date_range, query.modality)
        studies = {StudyReference.of(one) for one in answers}
        wanted = (study for study in studies if query.covers(study.study_date))
        yield from sorted(wanted, key=lambda s: (s.study_date, s.study_instance_uid, s.patient_id))

    def fetch(self, study: StudyReference, folder: Path) -> None:
        self.archive.fetch(study.study_instance_uid, folder)


def open_archive(name: str) -> Source:
    """Make a source of the address of an archive.

    `orthanc+http://HOST:PORT`, `dicomweb+https://HOST/ROOT`, or
    `dimse://CALLED@HOST:PORT?calling=TITLE`, which gets by C-GET; with `listen=[ADDRESS:]PORT` it
    lets the archive move to that port here. Credentials come from the environment.

    Raises
    ------
    UnusableData
        It is no such address.
    """
    kind, plus, url = name.partition("+")
    if name.startswith("dimse://"):
        return ArchiveSource(_dimse(name))
    if not plus or not re.match(r"https?://[^/]", url) or kind not in ("orthanc", "dicomweb"):
        raise UnusableData(
            "SOURCE is neither a folder nor an archive: orthanc+http://HOST:PORT, "
            "dicomweb+https://HOST/ROOT or dimse://TITLE@HOST:PORT"
        )
    if "@" in urlsplit(url).netloc:
        raise UnusableData(f"credentials stand in {USER} and {PASSWORD}, not in SOURCE")
    if kind == "orthanc":
        return ArchiveSource(Orthanc(url, _login()))
    return ArchiveSource(Dicomweb(url, _login()))


def _login() -> Login | None:
    if token := os.environ.get(TOKEN):
        return Bearer(token)
    user = os.environ.get(USER)
    return (user, os.environ.get(PASSWORD, "")) if user else None


def _dimse(name: str) -> Dimse:
    parts = urlsplit(name)
    options = dict(parse_qsl(parts.query))
    unknown = set(options) - {"calling", "listen"}
    title = parts.netloc.partition("@")[0]
    named = re.fullmatch(r"[^@]{1,16}@([^@:]+)(?::(\d{1,5}))?", parts.netloc)
    if unknown or not named:
        raise UnusableData("a PACS is named dimse://TITLE@HOST:PORT?calling=TITLE&listen=PORT")
    return Dimse(
        named[1],
        int(named[2] or DICOM_PORT),
        title,
        options.get("calling", CALLING_AE_TITLE),
        _listener(options["listen"]) if "listen" in options else None,
    )


def _listener(text: str) -> Listener:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UnusableData(f"listen={text} is no port, and no ADDRESS:PORT")
    return Listener(host or "0.0.0.0", int(port))  # noqa: S104  the archive is another machine

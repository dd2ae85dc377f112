"""Archives as sources: Orthanc, a DICOMweb server, a PACS by its AE title."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydicom import Dataset

from dicom_io.archives import orthanc
from dicom_io.archives.query_retrieve import Archive, Listener
from dicom_io.archives.wado import WadoServer
from dicom_io.errors import UnusableData
from training.site.sources.source import Query, Source, StudyReference

USER, PASSWORD, TOKEN = (f"CTSCRIBE_SOURCE_{name}" for name in ("USER", "PASSWORD", "TOKEN"))
"""Environment variables with the credentials for an archive."""

DICOM_PORT = 104
CALLING_AE_TITLE = "CTSCRIBE"


@dataclass(frozen=True)
class OrthancSource:
    """Orthanc by its REST API."""

    url: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    def studies(self, query: Query) -> Iterator[StudyReference]:
        found = orthanc.find_studies(
            query.date_range, query.modality, self.url, credentials=self.credentials
        )
        yield from _in_order(found, query)

    def fetch(self, study: StudyReference, folder: Path) -> None:
        uid = study.study_instance_uid
        orthanc.fetch_study(uid, folder, self.url, credentials=self.credentials)


@dataclass(frozen=True)
class DicomwebSource:
    """A DICOMweb server by QIDO-RS and WADO-RS."""

    server: WadoServer

    def studies(self, query: Query) -> Iterator[StudyReference]:
        yield from _in_order(self.server.find_studies(query.date_range, query.modality), query)

    def fetch(self, study: StudyReference, folder: Path) -> None:
        self.server.fetch_study(study.study_instance_uid, folder)


@dataclass(frozen=True)
class DimseSource:
    """A PACS by C-FIND, and C-GET or C-MOVE."""

    archive: Archive

    def studies(self, query: Query) -> Iterator[StudyReference]:
        """List studies, day by day where both ends are given: archives cap long answers."""
        yield from _in_order(self.archive.find_studies(_days(query), query.modality), query)

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
        return DimseSource(_archive(name))
    if not plus or not re.match(r"https?://[^/]", url) or kind not in ("orthanc", "dicomweb"):
        raise UnusableData(
            "SOURCE is neither a folder nor an archive: orthanc+http://HOST:PORT, "
            "dicomweb+https://HOST/ROOT or dimse://TITLE@HOST:PORT"
        )
    if "@" in urlsplit(url).netloc:
        raise UnusableData(f"credentials stand in {USER} and {PASSWORD}, not in SOURCE")
    if kind == "orthanc":
        return OrthancSource(url, _credentials())
    return DicomwebSource(WadoServer(url, _credentials(), os.environ.get(TOKEN)))


def _credentials() -> tuple[str, str] | None:
    user = os.environ.get(USER)
    return (user, os.environ.get(PASSWORD, "")) if user else None


def _archive(name: str) -> Archive:
    parts = urlsplit(name)
    options = dict(parse_qsl(parts.query))
    unknown = set(options) - {"calling", "listen"}
    title = parts.netloc.partition("@")[0]
    named = re.fullmatch(r"[^@]{1,16}@([^@:]+)(?::(\d{1,5}))?", parts.netloc)
    if unknown or not named:
        raise UnusableData("a PACS is named dimse://TITLE@HOST:PORT?calling=TITLE&listen=PORT")
    return Archive(
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


def _days(query: Query) -> Iterable[str]:
    if not (query.first and query.last):
        return [query.date_range]
    count = (query.last - query.first).days + 1
    return [f"{query.first + timedelta(days=day):%Y%m%d}" for day in range(count)]


def _in_order(found: Iterable[Dataset], query: Query) -> list[StudyReference]:
    """The answers by date and UID, each once; those that do not match were not asked for."""
    studies = {StudyReference.of(one) for one in found}
    wanted = (study for study in studies if query.covers(study.study_date))
    return sorted(wanted, key=lambda s: (s.study_date, s.study_instance_uid, s.patient_id))

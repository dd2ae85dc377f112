"""A folder of DICOM files as a source: any names, nested, with anything else beside them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dicom_io.errors import DicomError, UnusableData
from dicom_io.slices.read import read_instance
from training.site.sources.source import Query, StudyReference, stated


class FolderSource:
    """Reads the headers of every file below a folder; the files stay where they are."""

    may_be_shared = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def studies(self, query: Query) -> Iterator[StudyReference]:
        """List the studies; files that are no DICOM objects are passed over.

        Raises
        ------
        UnusableData
            No file below the folder is a DICOM object.
        """
        found: dict[str, StudyReference] = {}
        paths: dict[str, list[str]] = defaultdict(list)
        wanted: set[str] = set()
        for path in _files(self.folder):
            try:
                header = read_instance(path).header
            except DicomError:
                continue
            study = StudyReference.of(header)
            uid = study.study_instance_uid
            found.setdefault(uid, study)
            paths[uid].append(str(path.resolve()))
            if stated(header, "Modality") == query.modality:
                wanted.add(uid)
        if not found:
            raise UnusableData("SOURCE is a folder without a DICOM object")
        for study in sorted(found.values(), key=lambda s: (s.study_date, s.study_instance_uid)):
            if study.study_instance_uid in wanted and query.covers(study.study_date):
                yield replace(study, paths=tuple(paths[study.study_instance_uid]))

    def fetch(self, study: StudyReference, folder: Path) -> None:
        """Link the files: their own names may hold a patient's."""
        for number, path in enumerate(study.paths):
            (folder / f"{number:06d}.dcm").symlink_to(path)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where) / name for name in sorted(names))

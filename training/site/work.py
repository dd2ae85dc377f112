"""The working folder: what is known so far, so that a run may end at any moment and go on.

::

    WORK/key, key.id      the secret key (`keys`)
    WORK/making.json      how inputs are made
    WORK/studies.json     what the source listed
    WORK/objects/STUDY    the objects of the study that is being read
    WORK/inputs/STUDY     its model inputs, in safetensors
    WORK/records/STUDY.json  what was found in it; there once the study is done
    WORK/known/STUDY.json    the values that identify its patient (`known`)
    WORK/review.csv       the review list (`review`); review-texts.csv: the whole texts
    WORK/proposed.json    what the review page shows; read.json: who read what (`reviewing`)
    WORK/names.txt, no_names.txt  the site's own list (`site_list`)

Everything in it may identify a patient.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dicom_io.errors import UnusableData
from training.data.shards import write_atomically
from training.site.reports.reports import SignedReport
from training.site.sources.source import StudyReference


@dataclass(frozen=True)
class Image:
    """A model input that was made of one series of a study.

    Parameters
    ----------
    file : str
        In `WORK/inputs`.
    sha256 : str
        Of that file.
    affine_lps : list of list of float
        As in `training.data.store.ImageRecord`.
    notes : tuple of str
    origin : dict
        What may be told of scanner, acquisition and patient.
    """

    file: str
    sha256: str
    affine_lps: list[list[float]]
    notes: tuple[str, ...]
    origin: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """What was found in a study.

    Parameters
    ----------
    study, patient : str
        Pseudonyms.
    rejected : str
        Why it cannot be used, in words that say nothing of the patient; nothing where it can.
    detail : str
        The same in full, for the person who has the working folder.
    left_out : dict of str to int
        How many objects were left out, by reason.
    reports : tuple of SignedReport
        Those that lie in the study.
    also_known_as : tuple of str
        Pseudonyms of the other numbers and of the name that the patient is known under.
    images : tuple of Image
    """

    study: str
    patient: str = ""
    rejected: str = ""
    detail: str = field(default="", repr=False)
    left_out: dict[str, int] = field(default_factory=dict)
    reports: tuple[SignedReport, ...] = field(default=(), repr=False)
    also_known_as: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()


_RECORD = TypeAdapter(Record)
_STUDIES = TypeAdapter(list[StudyReference])


class Work:
    """The working folder of one data set.

    Parameters
    ----------
    folder : Path
        As `keys.open_work` left it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("objects", "inputs", "records"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)

    @property
    def review_list(self) -> Path:
        return self.folder / "review.csv"

    def require(self, making: dict[str, Any]) -> None:
        """Make sure that the inputs here are made in one way.

        Raises
        ------
        UnusableData
            They were made in another one.
        """
        path = self.folder / "making.json"
        if not path.exists():
            write_atomically(path, json.dumps(making, indent=1))
        # through JSON, which knows no tuples
        elif json.loads(path.read_text("utf-8")) != json.loads(json.dumps(making)):
            raise UnusableData(
                f"the inputs in {self.folder} were made with another preprocessing or choice of "
                "series: name another working folder"
            )

    def listed(
        self, question: dict[str, Any], ask: Callable[[], Iterable[StudyReference]]
    ) -> list[StudyReference]:
        """What the source listed when it was first asked this: later it would list others."""
        path = self.folder / "studies.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if known.get("question") != question:
            known = {"question": question, "studies": [asdict(study) for study in ask()]}
            write_atomically(path, json.dumps(known, indent=1))
        return _STUDIES.validate_python(known["studies"])

    def record(self, study: str) -> Record | None:
        """What was found in a study; None where it is not done."""
        path = self._record(study)
        return _RECORD.validate_json(path.read_bytes()) if path.exists() else None

    def finish(self, record: Record) -> None:
        """Keep what was found in a study, which is done with it."""
        write_atomically(self._record(record.study), json.dumps(asdict(record), indent=1))

    @contextmanager
    def objects(self, study: str) -> Iterator[Path]:
        """An empty folder for the objects of a study, which goes at the end of the block."""
        folder = self.folder / "objects" / study
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def input(self, name: str) -> Path:
        """Where a model input lies."""
        return self.folder / "inputs" / name

    def _record(self, study: str) -> Path:
        return self.folder / "records" / f"{study}.json"

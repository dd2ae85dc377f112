"""What a worker is given: the pipeline, and whom it asks about a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from dicom_io.errors import EngineError
from plugin.drafting.writing.confidence import Confidence
from plugin.drafting.writing.heat import Heat
from reporting.edition import Predecessor


class Drafted(Protocol):
    """What the pipeline makes of a study."""

    @property
    def sr(self) -> Dataset: ...
    @property
    def series_instance_uid(self) -> str: ...
    @property
    def selected_digest(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def selection(self) -> Sequence[str]: ...
    @property
    def lacks(self) -> Sequence[str]: ...
    @property
    def embedding(self) -> bytes: ...
    @property
    def heat(self) -> Sequence[Heat]: ...
    @property
    def confidence(self) -> Confidence: ...
    @property
    def beside(self) -> Sequence[Dataset]: ...


class MakeReport(Protocol):
    """Writes the report of the study in some files.

    None where the series that would be read is that of the digest `unless`.
    """

    def __call__(
        self,
        paths: Sequence[Path],
        *,
        revision: int,
        predecessor: Predecessor | None,
        incomplete: str | None,
        unless: str | None,
        remarks: Sequence[str] = (),
    ) -> Drafted | None: ...


class Missing(Protocol):
    """Says what of a study has not arrived, None where nothing is known to be missing."""

    def __call__(self, study_id: int, study_instance_uid: str) -> str | None: ...


def no_such_model(name: str) -> MakeReport:
    """Stand in where the settings have no models."""
    raise EngineError(f"no model is called {name}")

"""What a site's data set is to hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from dicom_io.model_input.preprocess import PreprocessSpec
from training.site.deidentify.private import PrivateElement
from training.site.redaction.recognizer import SpacyRecognizer
from training.site.reports.reports import SignedReport
from training.site.sources.source import Query, Source

SeriesMode = Literal["best", "all"]
ReportsFrom = Literal["sr", "table", "hl7"]


@dataclass(frozen=True)
class Wanted:
    """What is wanted, as the command said it.

    Parameters
    ----------
    source : Source
        Of the studies.
    source_name : str
        What the command called it, so that another one does not go on with its list.
    query : Query
        Which studies.
    limit : int, optional
        How many at most.
    reports_from : {"sr", "table", "hl7"}
        Where the reports are.
    reports : tuple of SignedReport
        Those of a table or of messages; empty where they lie in the studies.
    checkpoint : str
        Whose preprocessing `spec` is.
    spec : PreprocessSpec
    series : {"best", "all"}
        Whether the series that the service would choose is taken, or every usable one.
    held_out, seed : float, int
        Of the `grouped` split.
    private : tuple of PrivateElement
        Private elements that the site knows to be safe.
    recognizer : SpacyRecognizer, optional
        Adds to what the rules find in the reports.
    search_pixels : bool
        Whether series in which text can be read are refused.
    processes : int
        How many collect studies at once.
    """

    source: Source
    source_name: str
    query: Query
    limit: int | None
    reports_from: ReportsFrom
    reports: tuple[SignedReport, ...]
    checkpoint: str
    spec: PreprocessSpec
    series: SeriesMode = "best"
    held_out: float = 0.05
    seed: int = 0
    private: tuple[PrivateElement, ...] = ()
    recognizer: SpacyRecognizer | None = None
    search_pixels: bool = True
    processes: int = 1

    @property
    def for_collecting(self) -> Wanted:
        """The same without what only texts need, for processes that collect."""
        return replace(self, reports=(), recognizer=None)

    @property
    def question(self) -> dict[str, Any]:
        """What the source is asked, in plain values."""
        query = {"days": self.query.date_range, "modality": self.query.modality}
        return {"source": self.source_name, **query, "limit": self.limit}

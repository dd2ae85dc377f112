"""How old a study is: a prior that somebody fetches is not a study that waits for a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from dicom_io.errors import DicomError
from dicom_io.slices.read import read_instance


def why_too_old(paths: Sequence[Path], most_days: int, today: date) -> str | None:
    """Say that a study is older than it may be; None if it is not, or gives no date.

    Parameters
    ----------
    paths : sequence of Path
        The study's files; the first that is readable is asked for its StudyDate.
    most_days : int
        The limit.
    today : date
        The day to count from.
    """
    day = next((found for path in paths if (found := _study_date(path))), None)
    if day is None or (today - day).days <= most_days:
        return None
    return (
        f"the study is of {day}, which is more than {most_days} days ago "
        "(worker.max_study_age_days)"
    )


def _study_date(path: Path) -> date | None:
    """Read StudyDate (PS3.5 6.2, DA); None where it is absent or no date."""
    try:
        header = read_instance(path).header
        return datetime.strptime(str(header.get("StudyDate") or "").strip(), "%Y%m%d").date()
    except (DicomError, ValueError):
        return None

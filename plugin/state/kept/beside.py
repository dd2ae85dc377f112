"""Where the objects lie that stand beside a draft: their names follow from the draft's UID."""

from __future__ import annotations

from pathlib import Path

from dicom_io.device import uid_in_form

BESIDE = ("evidence", "key-images")
"""As `reporting.objects.beside` names them, which no delivery imports."""


def paths_beside_file(draft: str) -> list[str]:
    """Return them for the path of a draft's own file."""
    return paths_beside(Path(draft).stem)


def paths_beside(sop_instance_uid: str) -> list[str]:
    """Return the paths, relative to the spool, that they have if they were made."""
    return [f"drafts/{uid_in_form(sop_instance_uid, name)}.dcm" for name in BESIDE]

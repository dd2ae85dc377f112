"""The calibration that belongs to a checkpoint's weights."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.description import Description
from engine.checkpoints.folder import MANIFEST, seal_again
from engine.checkpoints.layouts.native import OUT_OF_DISTRIBUTION
from engine.judgement.baselines import EVIDENCE
from engine.judgement.calibration import CALIBRATION, Calibration, read_calibration

MEASURED = (CALIBRATION, EVIDENCE, OUT_OF_DISTRIBUTION)
"""What is measured once a model is trained. It changes none of its answers."""


def trained_digest(found: Description) -> str:
    """Return SHA-256 of weights, settings and tokenizer, without what was measured of them."""
    manifest = found.folder / MANIFEST
    if not manifest.is_file():  # a published layout's digest holds nothing else
        return found.digest
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    return sha256("".join(line for line in lines if not _is_measured(line)).encode()).hexdigest()


def own_calibration(found: Description) -> Calibration | None:
    """Read the calibration beside a checkpoint's weights; None where it has none.

    Raises
    ------
    CheckpointMismatch
        It is damaged, or was fitted for other weights or settings.
    """
    calibration = read_calibration(found.folder)
    if calibration is not None and calibration.model != trained_digest(found):
        raise CheckpointMismatch(
            f"{found.folder / CALIBRATION} was fitted for other weights or settings; "
            "calibrate the model again, or remove the file"
        )
    return calibration


def keep_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a calibration beside a checkpoint's weights, and vouch for it where a manifest does."""
    path = calibration.save(folder)
    seal_again(folder)
    return path


def discard_calibration(folder: Path) -> None:
    """Remove a calibration, so that the model can be calibrated again."""
    (folder / CALIBRATION).unlink(missing_ok=True)
    seal_again(folder)


def _is_measured(line: str) -> bool:
    return line.rstrip("\n").partition("  ")[2] in MEASURED

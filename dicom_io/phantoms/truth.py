"""What a phantom shows: plane, phase and planted findings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

Plane = Literal["axial", "coronal", "sagittal"]
Phase = Literal["non-contrast", "arterial", "portal venous", "delayed"]
Side = Literal["left", "right", "bilateral"]
Kind = Literal["plain", "detailed"]
"""Of phantoms (`dicom_io.phantoms.detailed`)."""

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
PHASES: tuple[Phase, ...] = ("non-contrast", "arterial", "portal venous", "delayed")
FINDINGS = (
    "cardiomegaly",
    "pleural effusion",
    "hepatic steatosis",
    "splenomegaly",
    "ascites",
)


@dataclass(frozen=True)
class Finding:
    """One planted finding.

    Parameters
    ----------
    name : str
        One of `FINDINGS`.
    side : {"left", "right", "bilateral"}, optional
        The patient's side, where the finding has one.
    extent : float
        0 (just there) to 1 (large); below 0 where a phantom's grade makes it subtle.
    place : str, optional
        Where in its organ, e.g. "upper pole"; only focal findings have one.
    size_mm : int, optional
        Diameter; only focal findings have one.
    """

    name: str
    side: Side | None
    extent: float
    place: str | None = None
    size_mm: int | None = None


@dataclass(frozen=True)
class Truth:
    """What a phantom shows.

    Parameters
    ----------
    plane, phase : str
    findings : tuple of Finding
    region : str, optional
        What is in view, which only detailed phantoms say (`dicom_io.phantoms.detailed.findings`).
    """

    plane: Plane
    phase: Phase
    findings: tuple[Finding, ...]
    region: str | None = None

    def finding(self, name: str) -> Finding | None:
        return next((finding for finding in self.findings if finding.name == name), None)

    def without(self, names: Collection[str]) -> Truth:
        """Return what is true once some findings are gone."""
        left = tuple(finding for finding in self.findings if finding.name not in names)
        return replace(self, findings=left)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Truth:
        findings = tuple(Finding(**finding) for finding in values["findings"])
        return cls(values["plane"], values["phase"], findings, values.get("region"))


def draw_truth(rng: np.random.Generator) -> Truth:
    """Draw plane, phase and findings; each finding is there in about a third of the studies."""
    findings = []
    for name in FINDINGS:
        if rng.random() < (0.45 if name == "pleural effusion" else 0.33):
            side: Side | None = None
            if name == "pleural effusion":
                side = ("left", "right", "bilateral")[rng.integers(3)]
            findings.append(Finding(name, side, float(rng.random())))
    plane = PLANES[rng.choice(3, p=(0.6, 0.2, 0.2))]
    return Truth(plane, PHASES[rng.integers(4)], tuple(findings))

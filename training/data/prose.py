"""The report of a phantom as people write them: findings in varied words, with side and size."""

from __future__ import annotations

import numpy as np

from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.truth import FINDINGS, Finding, Truth
from training.data.wordings import PROSE, pick

_SILENCE = 0.35
"""Of the findings that are absent, the fraction that a report does not mention."""


def study_findings(truth: Truth, rng: np.random.Generator) -> str:
    """Write the findings of a phantom: every one that is there, and some that are not.

    The report belongs to a case, so it names neither plane nor phase.
    """
    sentences = []
    for name in rng.permutation((*FINDINGS, *FOCAL_FINDINGS)):
        finding = truth.finding(str(name))
        if finding is not None:
            sentences.append(present(finding, rng))
        elif rng.random() > _SILENCE:
            sentences.append(pick(PROSE["absent"][str(name)], rng))
    return " ".join(sentences) or "No abnormality of the chest or abdomen."


def present(finding: Finding, rng: np.random.Generator) -> str:
    """One sentence that asserts a finding with its side, place and size."""
    bilateral = finding.side == "bilateral"
    wordings = PROSE["present"][f"bilateral {finding.name}" if bilateral else finding.name]
    side = finding.side or ""
    return pick(wordings, rng).format(
        side=side, Side=side.capitalize(), place=finding.place, size=finding.size_mm
    )

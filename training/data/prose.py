"""The report of a phantom as people write them: findings in varied words, with side and size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.phantom import FINDINGS, Finding, Truth

_PRESENT: Mapping[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "The heart is enlarged.",
        "There is cardiomegaly.",
        "Enlarged cardiac silhouette, consistent with cardiomegaly.",
    ),
    "pleural effusion": (
        "There is a {side} pleural effusion.",
        "{Side} pleural effusion.",
        "Layering fluid on the {side}, in keeping with a pleural effusion.",
    ),
    "bilateral pleural effusion": (
        "There are bilateral pleural effusions.",
        "Bilateral pleural effusions.",
        "Layering fluid on both sides, in keeping with bilateral pleural effusions.",
    ),
    "hepatic steatosis": (
        "The liver is of low attenuation, consistent with hepatic steatosis.",
        "Diffuse fatty liver.",
        "There is hepatic steatosis.",
    ),
    "splenomegaly": (
        "The spleen is enlarged.",
        "There is splenomegaly.",
        "Enlarged spleen without a focal lesion.",
    ),
    "ascites": (
        "There is ascites.",
        "Free fluid in the abdomen, consistent with ascites.",
        "Ascites is seen in the paracolic gutters and the pelvis.",
    ),
    "pulmonary nodule": (
        "There is a {size} mm nodule in the {place} of the {side} lung.",
        "{Side} {place} pulmonary nodule measuring {size} mm.",
        "A solid pulmonary nodule of {size} mm is seen in the {side} {place}.",
    ),
    "liver lesion": (
        "A hypodense liver lesion of {size} mm lies in the {place} of the right lobe.",
        "Hypoattenuating lesion of {size} mm in the {place} of the right lobe of the liver.",
        "There is a {size} mm focal liver lesion in the {place} of the right lobe.",
    ),
    "renal cyst": (
        "There is a {size} mm cyst at the {place} of the {side} kidney.",
        "{Side} renal cyst at the {place}, {size} mm.",
        "A simple renal cyst of {size} mm arises from the {place} of the {side} kidney.",
    ),
    "aortic aneurysm": (
        "Infrarenal aneurysm of the abdominal aorta measuring {size} mm.",
        "There is an {place} aortic aneurysm with a diameter of {size} mm.",
        "The infrarenal aorta is aneurysmal at {size} mm.",
    ),
}
_ABSENT: Mapping[str, tuple[str, ...]] = {
    "cardiomegaly": ("The heart is of normal size.", "No cardiomegaly."),
    "pleural effusion": ("No pleural effusion.", "The pleural spaces are clear."),
    "hepatic steatosis": ("The liver is of normal attenuation.", "No hepatic steatosis."),
    "splenomegaly": ("The spleen is of normal size.", "No splenomegaly."),
    "ascites": ("No ascites.", "No free fluid in the abdomen."),
    "pulmonary nodule": ("No pulmonary nodule.", "The aerated lungs show no nodule."),
    "liver lesion": ("No focal liver lesion.", "The liver shows no focal lesion."),
    "renal cyst": ("The kidneys show no cyst.", "No renal cyst."),
    "aortic aneurysm": ("The aorta is of normal calibre.", "No aortic aneurysm."),
}
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
            sentences.append(_pick(_ABSENT[str(name)], rng))
    return " ".join(sentences) or "No abnormality of the chest or abdomen."


def present(finding: Finding, rng: np.random.Generator) -> str:
    """One sentence that asserts a finding with its side, place and size."""
    bilateral = finding.side == "bilateral"
    wordings = _PRESENT[f"bilateral {finding.name}" if bilateral else finding.name]
    side = finding.side or ""
    return _pick(wordings, rng).format(
        side=side, Side=side.capitalize(), place=finding.place, size=finding.size_mm
    )


def _pick(wordings: tuple[str, ...], rng: np.random.Generator) -> str:
    return wordings[rng.integers(len(wordings))]

"""The 18 labels of CT-RATE (Hamamci 2024), read from what a report names."""

from __future__ import annotations

from collections.abc import Iterable

from training.evaluation.findings.reader import Mention

CT_RATE: dict[str, tuple[str, ...]] = {
    "Medical material": ("medical material",),
    "Arterial wall calcification": ("arterial wall calcification",),
    "Cardiomegaly": ("cardiomegaly",),
    "Pericardial effusion": ("pericardial effusion",),
    "Coronary artery wall calcification": ("coronary calcification",),
    "Hiatal hernia": ("hiatal hernia",),
    "Lymphadenopathy": ("lymphadenopathy",),
    "Emphysema": ("emphysema",),
    "Atelectasis": ("atelectasis",),
    "Lung nodule": ("pulmonary nodule", "lung mass"),
    "Lung opacity": ("lung opacity", "ground-glass opacity"),
    "Pulmonary fibrotic sequela": ("pulmonary fibrosis",),
    "Pleural effusion": ("pleural effusion",),
    "Mosaic attenuation pattern": ("mosaic attenuation",),
    "Peribronchial thickening": ("peribronchial thickening",),
    "Consolidation": ("consolidation",),
    "Bronchiectasis": ("bronchiectasis",),
    "Interlobular septal thickening": ("interlobular septal thickening",),
}
"""Each label with the findings of the vocabulary that make it true."""


def labels_of(mentions: Iterable[Mention]) -> dict[str, bool]:
    """Say of each label whether a report asserts it."""
    said = {mention.finding for mention in mentions if mention.status == "present"}
    return {label: not said.isdisjoint(findings) for label, findings in CT_RATE.items()}

"""A plug-in as a site would write one: it needs a file of weights."""

from pathlib import Path

import numpy as np

from dicom_io.errors import UnusableData


class Length:
    """How long a text is, by the scale that its weights hold."""

    name = "length"

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def score(self, predictions, references):
        return np.array([len(text) * self.scale for text in predictions])


def metric(weights: Path | None) -> Length:
    if weights is None:
        raise UnusableData("metric length needs weights: length=FOLDER with scale.txt")
    return Length(float((weights / "scale.txt").read_text()))

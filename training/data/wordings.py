"""What is said of phantoms (`wordings.toml`), and what M3D asks for (`report_questions.txt`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np

_HERE = files("training.data")
_TABLES: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]] = tomllib.loads(
    (_HERE / "wordings.toml").read_text("utf-8")
)
TAUGHT, PROSE = _TABLES["taught"], _TABLES["prose"]
"""What the embedded model is taught, and freer wordings."""

M3D_REPORT_QUESTIONS = tuple((_HERE / "report_questions.txt").read_text("utf-8").splitlines())
"""The questions that ask for a report: one is drawn each time an image is seen.

M3D-LaMed and Med3DVLM train and evaluate with these 42 sentences (`Caption_templates` of the
authors' prompt_templates.py), whose third and fourteenth are the same, so that it is drawn twice as
often. They are quoted as they are, grammar included: published weights know no others.
"""


def pick(wordings: Sequence[str], rng: np.random.Generator) -> str:
    """Draw one."""
    return wordings[int(rng.integers(len(wordings)))]

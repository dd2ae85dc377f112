"""Questions of M3D's five types on phantoms, with their true answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dicom_io.phantom import FINDINGS, PHASES, PLANES, Finding, Truth
from dicom_io.phantom_focal import FOCAL_FINDINGS
from training.data.questions import LETTERS, Question

PLANE, PHASE, ORGAN, ABNORMALITY, LOCATION = range(1, 6)

_ORGANS = {
    "cardiomegaly": "heart",
    "hepatic steatosis": "liver",
    "splenomegaly": "spleen",
    "pulmonary nodule": "lung",
    "renal cyst": "kidney",
    "aortic aneurysm": "aorta",
    "liver lesion": "liver",
}
_AREAS = {**_ORGANS, "pleural effusion": "pleural space", "ascites": "peritoneal cavity"}
_SIGNS = {
    "cardiomegaly": "Which organ of the chest or abdomen shows cardiomegaly?",
    "hepatic steatosis": "Which organ shows the low attenuation of steatosis?",
    "splenomegaly": "Which organ of the upper abdomen is enlarged?",
    "pulmonary nodule": "Which organ has a solid nodule?",
    "renal cyst": "Which organ has a cyst?",
    "aortic aneurysm": "Which vessel is aneurysmal?",
    "liver lesion": "Which organ has a hypodense focal lesion?",
}
_PLACES = {
    "pulmonary nodule": ("upper lobe", "lower lobe", "middle lobe", "hilum"),
    "liver lesion": ("superior part", "inferior part", "left lobe", "porta hepatis"),
    "renal cyst": ("upper pole", "lower pole", "interpolar region", "renal pelvis"),
    "aortic aneurysm": ("infrarenal", "suprarenal", "thoracic", "iliac"),
}
_SIDES = ("left", "right", "bilateral", "midline")
_OTHER_ORGANS = ("heart", "liver", "spleen", "kidney", "lung", "aorta", "bladder", "pancreas")


def questions(truth: Truth, image: str, rng: np.random.Generator) -> Iterator[Question]:
    """Ask about a phantom: closed questions, which can be asked openly too.

    Every right answer is the only right one among its choices.
    """
    yield _closed(image, PLANE, "Which plane is this CT image in?", truth.plane, PLANES, rng)
    yield _closed(image, PHASE, "Which contrast phase is shown?", truth.phase, PHASES, rng)
    for finding in truth.findings:
        yield from _about(truth, finding, image, rng)


def yes_no_questions(truth: Truth, image: str, rng: np.random.Generator) -> Iterator[Question]:
    """Ask whether findings are there, as often about absent as about present ones."""
    present = [finding.name for finding in truth.findings]
    absent = [name for name in (*FINDINGS, *FOCAL_FINDINGS) if name not in present]
    asked = [*present, *rng.permutation(absent)[: max(1, len(present))]]
    for name in asked:
        answer = "Yes" if name in present else "No"
        question = f"Is there {_with_article(str(name))}?"
        choices = ("Yes", "No", "NA", "NA")
        letter = LETTERS[choices.index(answer)]
        yield Question(image, ABNORMALITY, question, answer, choices, letter)


def _about(
    truth: Truth, finding: Finding, image: str, rng: np.random.Generator
) -> Iterator[Question]:
    name, side = finding.name, finding.side
    if name in _ORGANS:
        organ = _ORGANS[name]
        yield _closed(image, ORGAN, _SIGNS[name], organ, (organ, *_other_organs(truth)), rng)
    area = f"{side} {_AREAS[name]}" if side in ("left", "right") else _AREAS[name]
    if sum(_AREAS[f.name] == _AREAS[name] for f in truth.findings) == 1:
        others = [n for n in (*FINDINGS, *FOCAL_FINDINGS) if truth.finding(n) is None]
        question = f"Which abnormality is seen in the {area}?"
        yield _closed(image, ABNORMALITY, question, name, (name, *others), rng)
    if side is not None:
        yield _closed(image, LOCATION, f"On which side is the {name}?", side, _SIDES, rng)
    if finding.place is not None:
        question = f"Where in the {area} is the {name}?"
        yield _closed(image, LOCATION, question, finding.place, _PLACES[name], rng)


def _other_organs(truth: Truth) -> tuple[str, ...]:
    affected = {_ORGANS.get(finding.name) for finding in truth.findings}
    return tuple(organ for organ in _OTHER_ORGANS if organ not in affected)


def _closed(
    image: str,
    kind: int,
    question: str,
    answer: str,
    candidates: Sequence[str],
    rng: np.random.Generator,
) -> Question:
    """Put the answer among three wrong ones, or as many as there are, at a random letter."""
    wrong = [str(c) for c in rng.permutation([c for c in candidates if c != answer])][:3]
    wrong += ["oblique"] if kind == PLANE else []
    choices = tuple(str(c) for c in rng.permutation([answer, *wrong]))
    letter = LETTERS[choices.index(answer)]
    return Question(image, kind, question, answer, choices, letter)


def _with_article(name: str) -> str:
    countable = name in (*FOCAL_FINDINGS, "pleural effusion")
    article = "an" if name[0] in "aeiou" else "a"
    return f"{article} {name}" if countable else name

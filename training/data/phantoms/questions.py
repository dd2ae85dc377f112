"""Questions of M3D's five types on phantoms, with their true answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.truth import FINDINGS, PHASES, PLANES, Truth
from training.data.questions import (
    ABNORMALITY,
    LOCATION,
    ORGAN,
    ORGAN_OF,
    PHASE,
    PLANE,
    WHICH_PHASE,
    WHICH_PLANE,
    Question,
    closed,
    presence,
)

KNOWN = (*FINDINGS, *FOCAL_FINDINGS)
NONE = "none"
"""The answer where what a question asks for is not there."""

_AREAS = {
    **ORGAN_OF,
    "pleural effusion": "pleural space",
    "pneumothorax": "pleural space",
    "kidney stone": "kidney",
    "ascites": "peritoneal cavity",
}
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
    "kidney stone": ("upper pole", "lower pole", "interpolar region", "renal pelvis"),
}
_SIDED = ("pleural effusion", "pulmonary nodule", "renal cyst", "kidney stone", "pneumothorax")
_SIDES = ("left", "right", "bilateral", NONE)
_OTHER_ORGANS = ("heart", "liver", "spleen", "kidney", "lung", "aorta", "bladder", "pancreas")


def questions(
    truth: Truth, image: str, rng: np.random.Generator, known: Sequence[str] = KNOWN
) -> Iterator[Question]:
    """Ask about a phantom: closed questions, which can be asked openly too.

    Every right answer is the only right one among its choices, and no question tells by being
    asked that its finding is there.

    Parameters
    ----------
    truth : Truth
    image : str
        Key of the image.
    rng : numpy.random.Generator
        Draws what is asked, and the order of the choices.
    known : sequence of str
        The findings that may be asked about.
    """
    yield closed(image, PLANE, WHICH_PLANE, truth.plane, (*PLANES, "oblique"), rng)
    yield closed(image, PHASE, WHICH_PHASE, truth.phase, PHASES, rng)
    for name in _asked(truth, rng, known):
        yield from _about(truth, name, image, rng, known)


def yes_no_questions(
    truth: Truth, image: str, rng: np.random.Generator, known: Sequence[str] = KNOWN
) -> Iterator[Question]:
    """Ask whether findings are there, as often about absent as about present ones.

    Parameters
    ----------
    truth : Truth
        What the phantom shows.
    image : str
        Its key.
    rng : Generator
        Chooses what is asked.
    known : sequence of str
        Findings to ask about.
    """
    for name in _asked(truth, rng, known):
        yield presence(image, name, truth.finding(name) is not None)


def _asked(truth: Truth, rng: np.random.Generator, known: Sequence[str]) -> Iterator[str]:
    """Yield every finding that is there, and as many that are not, but at least one."""
    present = [finding.name for finding in truth.findings]
    absent = [name for name in known if name not in present]
    yield from present
    yield from map(str, rng.permutation(absent)[: max(1, len(present))])


def _about(
    truth: Truth, name: str, image: str, rng: np.random.Generator, known: Sequence[str]
) -> Iterator[Question]:
    finding = truth.finding(name)
    there = finding is not None
    if name in _SIGNS:
        yield _found(image, ORGAN, _SIGNS[name], ORGAN_OF[name], _organs(truth), there, rng)
    if sum(_AREAS[f.name] == _AREAS[name] for f in truth.findings) == there:
        side = str(rng.choice(("left", "right", ""))) if name in _SIDED else ""
        question = f"Which abnormality is seen in the {_area(name, side)}?"
        absent = [n for n in known if truth.finding(n) is None]
        here = finding is not None and (side in ("", finding.side) or finding.side == "bilateral")
        yield _found(image, ABNORMALITY, question, name, absent, here, rng)
    if name in _SIDED:
        answer = finding.side if finding is not None and finding.side else NONE
        yield closed(image, LOCATION, f"On which side is the {name}?", answer, _SIDES, rng)
    if finding is not None and finding.place is not None:
        question = f"Where in the {_area(name, finding.side)} is the {name}?"
        yield closed(image, LOCATION, question, finding.place, _PLACES[name], rng)


def _area(name: str, side: str | None) -> str:
    return f"{side} {_AREAS[name]}" if side else _AREAS[name]


def _organs(truth: Truth) -> list[str]:
    """Organs that show nothing."""
    affected = {ORGAN_OF.get(finding.name) for finding in truth.findings}
    return [organ for organ in _OTHER_ORGANS if organ not in affected]


def _found(
    image: str,
    kind: int,
    question: str,
    thing: str,
    others: Sequence[str],
    there: bool,
    rng: np.random.Generator,
) -> Question:
    """Ask for what may not be there: the thing itself, none, and two others are the choices."""
    answer = thing if there else NONE
    wrong = [str(o) for o in rng.permutation([o for o in others if o != thing])][:2]
    return closed(image, kind, question, answer, (thing, NONE, *wrong), rng)

"""Simple statements of a report: a finding that is there or not, and on which side.

A sentence counts only if it is nothing but a finding, a side and words that change neither; and a
finding only if every mention of it in the report is in such sentences and they agree. All else, a
suspicion or a comparison, is passed over: what is stated here is exactly what was said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from training.site.deidentify.folding import unaccented

Side = Literal["left", "right", "bilateral"]

# English, German, French, Spanish; lower case without accents
TERMS = {
    "pleural effusion": r"pleural effusions?|pleuraerg(?:uss|usse|uß|usses)"
    r"|epanchements? pleura(?:l|ux)|derrames? pleural(?:es)?",
    "pneumothorax": r"pneumothora(?:x|ces)|neumotorax",
    "pericardial effusion": r"pericardial effusion|perikarderguss|epanchement pericardique"
    r"|derrame pericardico",
    "cardiomegaly": r"cardiomegaly|kardiomegalie|cardiomegalie|cardiomegalia",
    "hepatic steatosis": r"hepatic steatosis|fatty liver|steatosis hepatis|leberverfettung"
    r"|steatose hepatique|esteatosis hepatica",
    "splenomegaly": r"splenomegaly|splenomegalie|esplenomegalia",
    "ascites": r"ascites|aszites|ascite",
    "hydronephrosis": r"hydronephrosis|hydronephrose|hidronefrosis",
    "gallstones": r"gallstones?|cholelithiasis|cholezystolithiasis|lithiase vesiculaire"
    r"|colelitiasis",
    "renal cyst": r"renal cysts?|kidney cysts?|nierenzysten?|kystes? rena(?:l|ux)"
    r"|quistes? renal(?:es)?",
    "pulmonary nodule": r"pulmonary nodules?|lung nodules?|lungenrundherde?"
    r"|nodules? pulmonaires?|nodulos? pulmonar(?:es)?",
    "aortic aneurysm": r"aortic aneurysm|aortenaneurysma|anevrisme aortique|aneurisma aortico",
}
_SIDES: dict[Side, str] = {
    "left": r"left(?:-sided)?|links(?:seitige[rsn]?)?|linker|gauche|izquierd[oa]s?",
    "right": r"right(?:-sided)?|rechts(?:seitige[rsn]?)?|rechter|droite?s?|derech[oa]s?",
    "bilateral": r"bilateral(?:es|er|e)?|both sides|beidseits|beidseitige[rsn]?"
    r"|bilatera(?:le?s?|ux)",
}
_NO = r"no|without|kein(?:e|en|er)?|ohne|pas d[e']|absence d[e']|aucune?|sin|no hay|no se observan?"
_EVIDENCE = r"evidence of|nachweis (?:eines|einer|von)|signes? d[e']|evidencia de|relevante[rsn]?"
_FILLERS = (
    r"there is|there are|is|are|seen|present|noted|a|an|the|small|large|mild|moderate|simple|single"
    r"|ein(?:e|en|er)?|kleine[rsn]?|grosse[rsn]?|geringe[rsn]?|einzelne[rsn]?|zeigt sich|liegt vor"
    r"|il y a|une?|des|petite?s?|discrete?s?|simples?|hay|se observan?|un[oa]?s?"
    r"|pequen[oa]s?|leves?|on|at|the side|side|a|du cote|cote"
)


@dataclass(frozen=True)
class Statement:
    """A finding that a report says is there, or is not.

    Parameters
    ----------
    finding : str
        A key of `TERMS`.
    present : bool
    side : {"left", "right", "bilateral"}, optional
        None where no sentence gives one.
    sentence : str
        The first that says it.
    """

    finding: str
    present: bool
    side: Side | None
    sentence: str = field(repr=False)


def statements(text: str) -> list[Statement]:
    """Read the statements of a report, by finding."""
    said: dict[str, list[Statement]] = defaultdict(list)
    doubtful: set[str] = set()
    for sentence in _sentences(text):
        mentioned = _mentioned(sentence)
        simple = _simple(sentence, mentioned)
        if simple:
            said[simple.finding].append(simple)
        else:
            doubtful |= set(mentioned)
    agreed = {
        finding: found[0]
        for finding, found in said.items()
        if len({(one.present, one.side) for one in found}) == 1
    }
    return [agreed[finding] for finding in sorted(agreed) if finding not in doubtful]


# English, German, French, Spanish; lower case without accents
_ORGANS = {
    "heart": r"heart|herz|c[oœ]e?ur|corazon",
    "liver": r"liver|leber|foie|higado",
    "spleen": r"spleen|milz|rate|bazo",
    "kidney": r"kidneys|(?:beide )?nieren|reins|rinones",
    "gallbladder": r"gallbladder|gallenblase|vesicule(?: biliaire)?|vesicula(?: biliar)?",
    "pancreas": r"pancreas|pankreas",
    "lung": r"lungs|lunge(?:n)?|poumons|pulmones",
    "aorta": r"(?:abdominal )?aorta|aorte",
    "bladder": r"(?:urinary )?bladder|harnblase|vessie|vejiga",
}
_NORMAL = r"normal(?:e[rsn]?|es|aux)?|unremarkable|unauffallig(?:e[rsn]?)?|regelrecht|o\.? ?b"
_LINKS = r"is|are|of|the|der|die|das|ist|sind|le|la|les|est|sont|el|los|es|son"


def normal_organs(text: str) -> list[tuple[str, str]]:
    """Organs of which a sentence says that they are normal and nothing else, with that sentence."""
    found: dict[str, str] = {}
    mentioned: Counter[str] = Counter()
    for sentence in _sentences(text):
        folded = _folded(sentence)
        for organ, words in _ORGANS.items():
            rest, count = re.subn(rf"\b(?:{words})\b", " ", folded)
            mentioned[organ] += bool(count)
            rest, said = re.subn(rf"\b(?:{_NORMAL})(?!\w)", " ", rest)
            if count == said == 1 and not re.sub(rf"\b(?:{_LINKS})\b|\.", " ", rest).strip():
                found[organ] = sentence
    return [(organ, found[organ]) for organ in sorted(found) if mentioned[organ] == 1]


def _sentences(text: str) -> Iterator[str]:
    """Sentences without the headings of `Sections.text`; an abbreviation ends none."""
    for line in text.splitlines():
        begun = ""
        for part in re.split(r"(?<=[.;!?])\s+", re.sub(r"^(?:Findings|Impression): ", "", line)):
            begun = f"{begun} {part}".strip()
            # "V. a." or "Susp." casts doubt on what follows, so a lone word belongs to it
            if " " in part or _mentioned(part):
                yield begun
                begun = ""
        if begun:
            yield begun


def _mentioned(sentence: str) -> list[str]:
    folded = _folded(sentence)
    return [name for name, terms in TERMS.items() if re.search(rf"\b(?:{terms})\b", folded)]


def _simple(sentence: str, mentioned: list[str]) -> Statement | None:
    """The statement of a sentence of one finding, one side at most and fillers; else None."""
    if len(mentioned) != 1:
        return None
    rest, count = re.subn(rf"\b(?:{TERMS[mentioned[0]]})\b", " ", _folded(sentence))
    absent = re.match(rf"(?:il n'y a |there is |there are )?(?:{_NO})(?=[\s'])\s*", rest)
    if absent:
        rest = re.sub(rf"^(?:{_EVIDENCE})", "", rest[absent.end() :].lstrip())
    sides = [side for side, words in _SIDES.items() if re.search(rf"\b(?:{words})\b", rest)]
    for words in (*_SIDES.values(), _FILLERS):
        rest = re.sub(rf"\b(?:{words})\b", " ", rest)
    if count != 1 or len(sides) > 1 or re.search(r"\w", rest) or "?" in rest or "," in rest:
        return None
    if absent and sides:
        return None  # "no left effusion" says nothing of the right one
    return Statement(mentioned[0], not absent, sides[0] if sides else None, sentence)


def _folded(text: str) -> str:
    return unaccented(unicodedata.normalize("NFC", text)).rstrip(". ")

"""M3D as it is downloaded: folders of slices with a report, a split by file, questions as CSV.

::

    RAW/M3D_Cap/ct_case/000001/text.txt
    RAW/M3D_Cap/ct_case/000001/Axial_C__portal_venous_phase/0.jpeg, 1.jpeg, ...
    RAW/M3D_Cap/ct_quizze/...
    RAW/M3D_Cap.json
    RAW/M3D-VQA/M3D_VQA_train.csv, ..._val.csv, ..._test.csv, M3D_VQA_yn_train.csv

The slices are 8-bit pictures of a windowed CT as a reader sees it. They have no spacing and no HU.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dicom_io.counted import counted
from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.types import Volume
from training.data.questions import Question, oddities, parse_row, read_rows
from training.data.shards import Made, Planned, Rejected
from training.data.splits import PARTS, Part

GREY_WINDOW = (127.5, 255.0)
"""The window of a picture: its 256 grey values."""

_FOLDER = re.compile(r"(ct_case|ct_quizze)(_\d+)?")
_SLICES = {".jpeg", ".jpg", ".png"}
_SHORTEST_TEXT = 5
_FEWEST_SLICES = 2
# Of the alpha channel, and of the EXIF orientation (Exif 2.3, 4.6.4)
_OPAQUE, _UPRIGHT = 255, 1
_EIGHT_BIT = {"L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "YCbCr"}
# Slices head to feet, rows front to back, columns right to left: what `prepare` leaves as it is
_AS_DISPLAYED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class Raw:
    """What a raw data set holds.

    Parameters
    ----------
    planned : tuple of Planned
        Every series with a report, by key.
    texts : dict of str to str
        The report of each case under `{case}/text.txt`.
    split : dict, optional
        The official split, as keys that may not be there; None where there is no M3D_Cap.json.
    rejected : tuple of Rejected
    """

    planned: tuple[Planned, ...]
    texts: dict[str, str]
    split: dict[Part, list[str]] | None
    rejected: tuple[Rejected, ...]


def read_raw(raw: Path) -> Raw:
    """Look through a raw data set without reading its pictures.

    Raises
    ------
    UnusableData
        It is none.
    """
    planned: list[Planned] = []
    rejected: list[Rejected] = []
    texts: dict[str, str] = {}
    cases, again = _cases(raw)
    for case, folder in sorted(cases.items()):
        try:
            texts[f"{case}/text.txt"] = _report(folder)
        except UnusableData as error:
            rejected.append(Rejected(case, str(error)))
            continue
        series = sorted(path for path in folder.iterdir() if path.is_dir())
        if not series:
            rejected.append(Rejected(case, "it has no folder of slices"))
        named: dict[str, Path] = {}
        for path in series:
            key = f"{case}/{plain_name(path.name)}"
            if key in named:
                rejected.append(Rejected(key, "another series of the case has the same plain name"))
            else:
                named[key] = path
        planned += [Planned(k, case, f"{case}/text.txt", str(p)) for k, p in named.items()]
    if not planned:
        raise UnusableData(f"{raw} has no case of M3D: ct_case/NUMBER/SERIES/0.jpeg with text.txt")
    split, unknown = _official_split(raw, {image.key for image in planned})
    return Raw(tuple(planned), texts, split, (*again, *rejected, *unknown))


def read_official_questions(
    raw: Path, images: Iterable[str]
) -> tuple[list[Question], list[Rejected], dict[str, tuple[str, ...]]]:
    """Read every CSV file of questions.

    Those on images that are not stored are rejected, and so are repetitions within a file.

    Returns
    -------
    questions : list of Question
    rejected : list of Rejected
    notes : dict of str to tuple of str
        What is odd about questions that were taken, by file and line.
    """
    known = set(images)
    questions: list[Question] = []
    rejected: list[Rejected] = []
    notes: dict[str, tuple[str, ...]] = {}
    for path in _question_files(raw):
        before: dict[Question, int] = {}
        answers: dict[tuple[str, str, tuple[str, ...]], Question] = {}
        for line, row in read_rows(path):
            place = f"{path.name}, line {line}"
            try:
                question = parse_row(row, path.stem)
                question = replace(question, image=key_of(question.image))
                if question.image not in known:
                    raise UnusableData("its image is not in the store")
                if before.setdefault(question, line) != line:
                    raise UnusableData(f"the same question stands on line {before[question]}")
            except UnusableData as error:
                rejected.append(Rejected(place, str(error)))
                continue
            questions.append(question)
            asked = (question.image, question.question, tuple(sorted(question.choices)))
            first = answers.setdefault(asked, question)
            odd = [*oddities(question)]
            if first.answer != question.answer:
                odd.append(f"line {before[first]} asks the same and has another answer")
            if odd:
                notes[place] = tuple(odd)
    return questions, rejected, notes


def make_input(spec: PreprocessSpec, image: Planned) -> Made:
    """Stack the slices of a series and prepare them as the checkpoint's inputs are prepared.

    Equal to M3D's own preparation: min–max over the volume, crop to values > 0, resize.
    """
    slices, notes = read_slices(Path(image.source))
    if slices.min() == slices.max():
        raise UnusableData("every pixel has the same value")
    volume = Volume(slices.astype(np.int16), _AS_DISPLAYED)
    return Made(prepare(volume, spec, window=GREY_WINDOW).pixels, None, notes)


def read_slices(folder: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read a folder of numbered pictures.

    Returns
    -------
    slices : ndarray of uint8, shape (D, H, W)
        In the order of their numbers.
    notes : tuple of str
        Pictures that were left out because most have another size (such as a scout view), numbers
        that are not there, and pictures that were turned or are partly transparent.

    Raises
    ------
    UnusableData
        A picture cannot be read, shows nothing or has no number; less than half have one size; only
        one is left.
    """
    numbered = _numbered(folder)
    pictures, odd = {}, Counter[str]()
    for number, path in sorted(numbered.items()):
        pictures[number], how = _picture(path)
        odd.update(how)
    shape, count = Counter(p.shape for p in pictures.values()).most_common(1)[0]
    if 2 * count <= len(pictures) and len(pictures) > 1:
        raise UnusableData("its slices have no common size")
    notes = [
        f"{numbered[number].name} was left out: it is {p.shape[0]} × {p.shape[1]}, not "
        f"{shape[0]} × {shape[1]}"
        for number, p in pictures.items()
        if p.shape != shape
    ]
    gaps = max(pictures) - min(pictures) + 1 - len(pictures)
    if gaps:
        notes.append(f"numbers missing between the first slice and the last: {gaps}")
    notes += [f"{counted(count, 'slice')}: {how}" for how, count in odd.items()]
    kept = [p for p in pictures.values() if p.shape == shape]
    if len(kept) < _FEWEST_SLICES:
        raise UnusableData("one slice is no volume")
    return np.stack(kept), tuple(notes)


def extract_findings(text: str) -> str:
    """The report in M3D's text file: the study findings, else the discussion, else all of it."""
    for heading in ("study_findings:", "discussion:"):
        _, found, rest = text.partition(heading)
        findings = " ".join(rest.split("\n")).strip()
        if found and len(re.sub(r"[\n ]", "", findings)) >= _SHORTEST_TEXT:
            return findings
    return " ".join(text.split("\n")).strip()


def plain_name(name: str) -> str:
    """A name without diacritics, as M3D's lists have it."""
    letters = unicodedata.normalize("NFD", name)
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")


def key_of(path: str) -> str:
    """Key of an image by the path that M3D's lists give it, e.g. `M3D_Cap_npy/{key}.npy`."""
    *_, folder, case, series = ("", "", *Path(path).parts)
    name = re.sub(r"\.(npy|nii\.gz|nii)$", "", series)
    return f"{folder}/{case}/{plain_name(name)}"


def _cases(raw: Path) -> tuple[dict[str, Path], list[Rejected]]:
    """Find the folders of cases by key; archives may be in parts."""
    cases: dict[str, Path] = {}
    again: list[Rejected] = []
    for folder in sorted([raw, *_near(raw, "ct_*")]):
        match = _FOLDER.fullmatch(folder.name)
        if not match or not folder.is_dir():
            continue
        for path in sorted(path for path in folder.iterdir() if path.is_dir()):
            case = f"{match[1]}/{path.name}"
            if cases.setdefault(case, path) != path:
                where = f"{path.parent.relative_to(raw)} has it too"
                again.append(Rejected(case, f"taken from the first folder that has it; {where}"))
    return cases, again


def _question_files(raw: Path) -> list[Path]:
    paths = _near(raw, "M3D_VQA*.csv")
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        raise UnusableData(f"{raw} has several files {', '.join(twice)}; leave one of each there")
    return paths


def _near(raw: Path, name: str) -> list[Path]:
    """Find files or folders at most two levels down: below lie millions of slices."""
    return sorted(path for depth in ("", "*/", "*/*/") for path in raw.glob(depth + name))


def _report(case: Path) -> str:
    paths = sorted(case.glob("*.txt"))
    named = [path for path in paths if path.name == "text.txt"] or paths
    if len(named) != 1:
        raise UnusableData(f"it has {len(named)} text files, and none of them is text.txt")
    try:
        text = extract_findings(named[0].read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnusableData(f"{named[0].name} is not UTF-8") from error
    if len(text) < _SHORTEST_TEXT:
        raise UnusableData(f"{named[0].name} has no report")
    return text


def _official_split(
    raw: Path, keys: set[str]
) -> tuple[dict[Part, list[str]] | None, list[Rejected]]:
    paths = _near(raw, "M3D_Cap.json")
    if not paths:
        return None, []
    if len(paths) > 1:
        raise UnusableData(f"{raw} has {len(paths)} files M3D_Cap.json; leave one there")
    try:
        listed: Mapping[str, list[Mapping[str, str]]] = json.loads(paths[0].read_text("utf-8-sig"))
        keyed = {part: [key_of(pair["image"]) for pair in listed[part]] for part in PARTS}
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableData(f"{paths[0].name} is no split of M3D-Cap: {error!r}") from error
    split, rejected = _in_one_part(keyed)
    absent = (key for part in PARTS for key in split[part] if key not in keys)
    rejected += [Rejected(key, "M3D_Cap.json lists it, and it is not there") for key in absent]
    return split, rejected


def _in_one_part(
    listed: Mapping[Part, Sequence[str]],
) -> tuple[dict[Part, list[str]], list[Rejected]]:
    """Leave each image in the first part that has it: what was trained on tests nothing."""
    split: dict[Part, list[str]] = {}
    rejected: list[Rejected] = []
    seen: dict[str, Part] = {}
    for part in PARTS:
        split[part] = []
        for key in listed[part]:
            if key not in seen:
                seen[key] = part
                split[part].append(key)
            elif seen[key] == part:
                rejected.append(Rejected(key, f"M3D_Cap.json has it twice in {part}: once is left"))
            else:
                where = f"in {seen[key]} and in {part}: it is left in {seen[key]}"
                rejected.append(Rejected(key, f"M3D_Cap.json has it {where}"))
    return split, rejected


def _numbered(folder: Path) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SLICES:
            continue
        if not path.stem.isdecimal():
            raise UnusableData(f"{path.name} has no number")
        if int(path.stem) in numbered:
            raise UnusableData(f"number {path.stem} is there twice")
        numbered[int(path.stem)] = path
    if not numbered:
        raise UnusableData("it has no slices")
    return numbered


def _picture(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read a picture as a viewer shows it, and say what was done to it or ignored."""
    try:
        with Image.open(path) as image:
            if image.mode not in _EIGHT_BIT:
                raise UnusableData(f"{path.name} has more than 8 bits a pixel ({image.mode})")
            notes = []
            if image.has_transparency_data:
                opaque = np.asarray(image.convert("RGBA").getchannel("A"))
                if not opaque.any():
                    raise UnusableData(f"{path.name} is fully transparent: it shows nothing")
                if opaque.min() < _OPAQUE:
                    notes.append("partly transparent; the grey values below were taken")
            if image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT:
                notes.append("turned as their EXIF orientation says")
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright.convert("L")), tuple(notes)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableData(f"{path.name} cannot be read as a picture") from error

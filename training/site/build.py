"""The store is built of the inputs that were made and the texts that were reviewed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from dicom_io.errors import UnusableData
from training.data.shards import (
    Made,
    Planned,
    Rejected,
    begun,
    fill,
    plan_digest,
    write_atomically,
    write_question_files,
    write_splits,
    write_texts,
)
from training.data.splits import PARTS, grouped_split, linked
from training.data.store import Header, Store, as_unit_interval, sha256
from training.site.card import write_card
from training.site.questions.questions import Asked, questions_of
from training.site.wanted import Wanted
from training.site.work import Image, Record, Work

QUESTIONS = "site"
"""Name of the file of questions."""


@dataclass(frozen=True)
class Taken:
    """A study that goes into the store, with its text as it was reviewed.

    `kept` is what a person left in it, or wrote into it, knowing what the rules say of it. `person`
    stands for all numbers that the patient is known under.
    """

    record: Record
    text: str = field(repr=False)
    kept: tuple[str, ...] = field(default=(), repr=False)
    person: str = ""

    @property
    def text_key(self) -> str:
        return f"{self.person}/{self.record.study}"

    def planned(self) -> list[Planned]:
        return [
            Planned(f"{self.text_key}-{n}", self.person, self.text_key, image.file)
            for n, image in enumerate(self.record.images, start=1)
        ]


def build_store(
    out: Path, taken: Sequence[Taken], work: Work, wanted: Wanted, facts: Mapping[str, Any]
) -> Store:
    """Write the data set, or go on with it.

    Parameters
    ----------
    out : Path
        Folder of the store.
    taken : sequence of Taken
        The studies, at least one.
    work : Work
        Where their inputs are.
    wanted : Wanted
        How these were made, and how the split is drawn.
    facts : mapping
        What report.json and the data card say besides.

    Raises
    ------
    UnusableData
        `out` holds something else.
    """
    people = _people(taken)
    taken = [replace(one, person=people[one.record.patient]) for one in taken]
    taken.sort(key=lambda one: one.text_key)
    planned = [image for one in taken for image in one.planned()]
    images = {image.file: image for one in taken for image in one.record.images}
    header = Header(wanted.spec, "uint16", "site", _digest(planned, images))
    with begun(out, header):
        # while the texts of an earlier run are replaced, the store is unfinished
        (out / "splits.json").unlink(missing_ok=True)
        write_texts(out, {one.text_key: one.text for one in taken})
        damaged = fill(out, header, planned, partial(_made, work, images), processes=1)
        store = Store(out, header)
        asked = [q for record in store.images.values() for q in _asked(store, record.key)]
        _write_questions(out, asked)
        drawn: dict[str, Any] = {"held_out": wanted.held_out, "seed": wanted.seed}
        splits = {"grouped": grouped_split(store.images.values(), store.texts, **drawn)}
        facts = {**facts, "patients_joined": len(people) - len(set(people.values()))}
        facts = {**facts, **drawn, "questions": len(asked), "images": len(store.images)}
        facts["splits"] = {part: len(splits["grouped"][part]) for part in PARTS}
        facts["rejected"] = [*facts["rejected"], *map(asdict, damaged)]
        write_atomically(out / "report.json", json.dumps(facts, indent=1))
        write_card(out, store, {**facts, "kept": {t.text_key: t.kept for t in taken if t.kept}})
        write_splits(out, splits, store.images)
    return store


def _people(taken: Sequence[Taken]) -> dict[str, str]:
    """Name the person behind each patient: several numbers may be one's."""
    marks: dict[str, set[str]] = defaultdict(set)
    for one in taken:
        marks[one.record.patient].update(one.record.also_known_as)
    return linked(marks)


def _digest(planned: Sequence[Planned], images: Mapping[str, Image]) -> str:
    """Of the plan and of every input, so that a store never mixes two makings."""
    digest = hashlib.sha256(plan_digest(planned).encode())
    for image in planned:
        digest.update(images[image.source].sha256.encode())
    return digest.hexdigest()


def _made(work: Work, images: Mapping[str, Image], planned: Planned) -> Made:
    image, path = images[planned.source], work.input(planned.source)
    if not path.exists() or sha256(path) != image.sha256:
        raise UnusableData("its input in the working folder is not the one that was made")
    pixels = as_unit_interval(load_file(path)["input"])[None].numpy()
    return Made(pixels, np.array(image.affine_lps), image.notes, image.origin)


def _asked(store: Store, key: str) -> list[Asked]:
    return list(questions_of(store.images[key], store.report(key), QUESTIONS))


def _write_questions(out: Path, asked: Sequence[Asked]) -> None:
    """Write M3D's columns, and beside them where each answer comes from, line by line."""
    shutil.rmtree(out / "questions", ignore_errors=True)
    write_question_files(out, [one.question for one in asked])
    for source in {one.question.source for one in asked}:
        chosen = (one.provenance for one in asked if one.question.source == source)
        lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in chosen)
        write_atomically(out / "questions" / f"{source}.provenance.jsonl", lines)


def rejections(rejected: Mapping[str, str]) -> list[dict[str, str]]:
    """Studies that were not taken, by pseudonym, as report.json lists them."""
    return [asdict(Rejected(study, why)) for study, why in sorted(rejected.items())]

"""`ctscribe prepare m3d`: a raw M3D data set becomes a training store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dicom_io.counted import counted
from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.m3d import make_input, read_official_questions, read_raw
from training.data.questions import Question
from training.data.shards import (
    Rejected,
    begun,
    fill,
    plan_digest,
    write_atomically,
    write_question_files,
    write_splits,
    write_texts,
)
from training.data.splits import PARTS, Part, grouped_split
from training.data.store import Header, Store


@dataclass(frozen=True)
class Prepared:
    """What became of a raw data set."""

    images: int
    texts: int
    questions: int
    splits: dict[str, dict[Part, int]]
    rejected: tuple[Rejected, ...]
    notes: dict[str, tuple[str, ...]]

    def summary(self) -> str:
        """Say it in a few lines."""
        lines = [
            ", ".join(
                (
                    counted(self.images, "image"),
                    counted(self.texts, "report"),
                    counted(self.questions, "question"),
                )
            )
        ]
        for name, parts in self.splits.items():
            counts = ", ".join(f"{part} {count}" for part, count in parts.items())
            lines.append(f"split {name}: {counts}")
        lines.append(
            f"{len(self.rejected)} rejected, {len(self.notes)} images or questions with notes"
        )
        reasons = Counter(rejected.why for rejected in self.rejected)
        lines += [f"  {count} × {why}" for why, count in reasons.most_common(10)]
        return "\n".join(lines)


def prepare_m3d(
    raw: Path,
    out: Path,
    *,
    spec: PreprocessSpec,
    processes: int = 1,
    held_out: float = 0.05,
    seed: int = 0,
) -> Prepared:
    """Make a store of a raw M3D data set, or go on where an earlier run stopped.

    Parameters
    ----------
    raw : Path
        The data set as it is downloaded (`training.data.m3d`).
    out : Path
        Folder of the store.
    spec : PreprocessSpec
        How inputs are made. Pictures have no HU, so it may name neither window nor curve.
    processes : int
        That make inputs at the same time.
    held_out, seed : float, int
        Of the `grouped` split.

    Raises
    ------
    UnusableData
        There is no data set, or `out` holds something else.
    """
    if spec.window is not None or spec.companding is not None or spec.orientation != "displayed":
        raise UnusableData("M3D's pictures have no HU and no axes: no window, curve or orientation")
    found = read_raw(raw)
    header = Header(spec, "uint8", "m3d", plan_digest(found.planned))
    with begun(out, header):
        write_texts(out, found.texts)
        rejected = [*found.rejected]
        rejected += fill(out, header, found.planned, partial(make_input, spec), processes=processes)
        store = Store(out, header)
        questions, unasked, odd = read_official_questions(raw, store.images)
        write_question_files(out, questions)
        splits = {"grouped": grouped_split(store.images.values(), store.texts, held_out, seed)}
        if found.split is not None:
            splits["paper"] = {
                part: [key for key in found.split[part] if key in store.images] for part in PARTS
            }
        report = _report(store, questions, splits, [*rejected, *unasked], odd)
        write_atomically(out / "report.json", json.dumps(asdict(report), indent=1))
        write_splits(out, splits, store.images)
    return report


def _report(
    store: Store,
    questions: Sequence[Question],
    splits: dict[str, dict[Part, list[str]]],
    rejected: Sequence[Rejected],
    odd: Mapping[str, tuple[str, ...]],
) -> Prepared:
    noted = {key: record.notes for key, record in store.images.items() if record.notes}
    return Prepared(
        images=len(store.images),
        texts=len({record.text for record in store.images.values()}),
        questions=len(questions),
        splits={p: {part: len(split[part]) for part in PARTS} for p, split in splits.items()},
        rejected=tuple(rejected),
        notes={**noted, **odd},
    )

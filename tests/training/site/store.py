"""A small data set as `ctscribe prepare site` writes it."""

from pathlib import Path
from typing import Any

import numpy as np

from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.shards import Made, Planned, begun, fill, write_splits, write_texts
from training.data.splits import grouped_split
from training.data.store import Header, Store
from training.site.card import write_card
from training.site.deidentify.keys import Key

KEY = Key(b"k" * 32)
ORIGIN = {
    "manufacturer": "GE",
    "model": "LightSpeed VCT",
    "kernel": "STANDARD",
    "kvp": 120.0,
    "contrast": True,
    "sex": "F",
    "age_decade": "60s",
    "study_date": "2017-03-01",
    "plane": "axial",
    "phase": "portal venous",
}


def text_key(n: int) -> str:
    return f"{KEY.patient(f'id {n}')}/{KEY.study(str(n))}"


def write_store(
    out: Path,
    texts: list[str],
    *,
    origin: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    facts: dict[str, Any] | None = None,
) -> Path:
    """A data set with a patient for each text."""
    spec = PreprocessSpec(size=(2, 4, 4))
    keys = [text_key(n) for n in range(len(texts))]
    planned = [Planned(f"{key}-1", key.partition("/")[0], key, "") for key in keys]

    def make(image: Planned) -> Made:
        study = {"study": image.text.rpartition("/")[2], "series": KEY.uid(image.key)}
        told = {**ORIGIN, **study, **(origin or {})}
        return Made(np.full((1, 2, 4, 4), 0.5, np.float32), np.eye(4), notes, told)

    header = Header(spec, "uint16", "site", "plan")
    with begun(out, header):
        write_texts(out, dict(zip(keys, texts, strict=True)))
        fill(out, header, planned, make, processes=1)
        store = Store(out, header)
        write_card(out, store, facts or {})
        split = grouped_split(store.images.values(), store.texts, 0.2, 0)
        write_splits(out, {"grouped": split}, store.images)
    return out
